/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacing the kernel under an application that stays alive. */
#ifndef SKU_UPDATE_H
#define SKU_UPDATE_H

#include <stdbool.h>
#include <sys/types.h>

#include "bundle.h"
#include "freezer.h"
#include "problem.h"

struct unit;

/* In the order in which they are gone through; none comes after the last. */
enum phase {
	PHASE_CHECK,
	PHASE_LOAD,
	PHASE_SILENCE,
	PHASE_FREEZE,
	PHASE_DETACH,
	PHASE_DUMP,
	PHASE_SEAL,
	PHASE_JUMP,
	PHASES,
};

#define UPDATE_TIMEOUT_S 300

/* What `skuctl` exits with. */
enum status {
	STATUS_OK = 0,
	STATUS_INTERNAL = 1,
	STATUS_USER = 2,
	STATUS_CHECK = 3,
	STATUS_ROLLED_BACK = 4,
	STATUS_TIMED_OUT = 5,
	STATUS_STUCK = 6,
};

struct update_options {
	pid_t pid;
	const struct unit *unit; /* that the process is the main one of, or NULL */
	const char *image; /* NULL: what `skuctl load` has loaded */
	const char *initrd;
	const char *cmdline;
	const struct bundle *bundle;   /* where they are from, or NULL */
	const struct problem *refused; /* why it is not taken, or NULL */
	const char *name;                     /* of the session */
	const struct freezer *freezer;
	const char *freeze_command;	      /* of the freezer that is two commands */
	const char *restore_command;
	unsigned int timeout_s;               /* for all of it */
	unsigned int phase_timeout_s[PHASES]; /* 0: none of its own */
	int pause_before;                     /* enum phase, or -1 */
	bool verify;                          /* keep checksums of the memory */
	bool no_pid_reserve;
	bool dry_run;
	bool json;
};

extern const char *const phase_names[PHASES];

enum status update_load(const struct update_options *options);
enum status update(const struct update_options *options);

#endif
