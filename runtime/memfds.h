/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shared memory of an application over the jump, by the kernel's live update (luo.h): kept under the
 * kernel that is left, taken back under the next one. What is not kept, CRIU copies.
 */
#ifndef SKU_MEMFDS_H
#define SKU_MEMFDS_H

#include <stdbool.h>
#include <sys/types.h>

#include "problem.h"
#include "shared.h"
#include "tasks.h"

/* Under the kernel that is left. */

struct keeping {
	int session; /* of the live update; -1: everything is copied */
	char why[SHARED_WHY_SIZE]; /* then */
	struct shared shared;
};

#define KEEPING_NONE { .session = -1 }

void keeping_begin(struct keeping *keeping, const char *name, bool next_takes);
int keeping_take(struct keeping *keeping, const struct tasks *tasks, struct problem *problem);
int keeping_seal(const struct keeping *keeping, int session, struct problem *problem);
void keeping_end(struct keeping *keeping);
int keeping_foresee(const struct tasks *tasks, bool next_takes, bool next_is_known,
		    struct shared *shared, struct problem *problem);
void keeping_say(const struct shared *shared);

/* Under the next one. */

struct held {
	pid_t holder; /* who has the files until they are the application's; 0: nobody */
	int *fds;     /* under which descriptor, for each file of the record */
	struct shared shared;
};

int held_take(struct held *held, int session, const char *name, struct problem *problem);
int held_check(const struct held *held, struct problem *problem);
int held_rescue(const struct held *held, size_t file, int to, struct problem *problem);
void held_end(struct held *held);
void held_free(struct held *held);

#endif
