/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stops an application and writes it down, and makes it again under the next kernel. A freezer
 * is one of these tables. The update does all the rest: checks, silence, memory, records, the jump,
 * and the way back.
 */
#ifndef SKU_FREEZER_H
#define SKU_FREEZER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "buffer.h"
#include "criu_plugin.h"
#include "problem.h"
#include "state.h"

/* An application that is being frozen, and what its freezer asks the update for. */
struct freezing {
	pid_t pid; /* its first process */
	const char *unit; /* of systemd, or NULL */
	const char *freeze_command; /* of the freezer that is two commands */
	const char *restore_command;
	struct state *state;	 /* what undoes the update must know of, as it happens */
	struct problem *problem; /* of everything that returns an int here */
	/* Less than 0: give up. Asked at least as often as every 50 ms. */
	int (*may_go_on)(struct freezing *freezing);
	/* Process @pid stands still: its memory is taken, but for @spared. */
	int (*stopped)(struct freezing *freezing, pid_t pid, struct plugin_area *spared, size_t count);
};

struct freezer {
	const char *name;    /* as in --freezer */
	const char *program; /* what its process is called, for who ends it */
	/*
	 * Tells of every process that stands still, and leaves its memory alone; its connections live,
	 * so that nothing may come for them before it begins. Otherwise silence begins when it is done:
	 * how to stop may be told over a connection.
	 */
	bool keeps_memory;

	/* Under the kernel that is left. */

	/* See what stands in its way. */
	int (*check)(const struct freezing *freezing, struct problem *problem);
	/* Do what can be done while the application serves; NULL: nothing. */
	int (*begin_freeze)(struct freezing *freezing);
	/*
	 * Stop the application and write it down to files in STATE_IMAGES, which become records. What
	 * works at that is state.helper, and has ended on its own when this returns 0.
	 */
	int (*freeze)(struct freezing *freezing);
	/* The update is given up: let its helper end; NULL: it does. */
	void (*abandon_freeze)(void);
	/*
	 * Have it go on where letting its stopped processes run is not enough; NULL: it always is.
	 * Run by the guard, after the helper has ended.
	 */
	int (*undo)(struct state *state, struct problem *problem);

	/* Under the next one. */

	/*
	 * Do what can be done with STATE_IMAGES empty; NULL: nothing. Whether it fails does not matter.
	 * A file that it leaves there stays: its image is put beside it, with IMAGES_LATER behind its
	 * name.
	 */
	void (*begin_restore)(void);
	/* Make the processes from the images; with keeps_memory, stopped. */
	int (*restore)(const char *restore_command, pid_t pid, struct problem *problem);
	/* Take back begin_restore(). */
	void (*abandon_restore)(void);
};

/* Text: the freezer's name, and from the next line on its command. Without it, it is CRIU. */
#define FREEZER_RECORD "freezer"

extern const struct freezer freezer_criu;
extern const struct freezer freezer_command;

const struct freezer *freezer_find(const char *name);

#endif
