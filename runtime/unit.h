/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A unit of systemd that is taken along: what systemd says of it, the record for the next kernel, and
 * its check.
 */
#ifndef SKU_UNIT_H
#define SKU_UNIT_H

#include <sys/types.h>

#include "buffer.h"
#include "check.h"
#include "problem.h"

#define UNIT_RECORD "unit"
#define UNIT_NAME_SIZE 256

/* Starts out as zeroes. */
struct unit {
	char name[UNIT_NAME_SIZE]; /* empty: none */
	pid_t main;
	char identifier[64];      /* in the journal */
	unsigned int priority;    /* there, as of syslog(3), facility and level */
	/* Of the system that is left only. */
	char type[32];
	char state[32];
	char cgroup[512]; /* below the mount of cgroups, with a leading / */
	char directories[512]; /* below /run, of its own, with blanks between them */
};

int unit_ask(const char *name, struct unit *unit, struct problem *problem);
int unit_write(const struct unit *unit, struct buffer *text, struct problem *problem);
int unit_read(const struct buffer *text, struct unit *unit, struct problem *problem);
void check_unit(const struct unit *unit, struct check *check);

#endif
