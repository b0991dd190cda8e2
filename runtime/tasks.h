/* SPDX-License-Identifier: GPL-2.0-only */
/* The tasks of an application: a process and all that descend from it. */
#ifndef SKU_TASKS_H
#define SKU_TASKS_H

#include <stddef.h>
#include <sys/types.h>

#include "buffer.h"
#include "problem.h"

/* Starts out as zeroes. */
struct tasks {
	size_t count;
	pid_t *pids; /* parents before their children */
};

int tasks_gather(pid_t root, struct tasks *tasks, struct problem *problem);
int tasks_numbers(const struct tasks *tasks, struct buffer *list, struct problem *problem);
void tasks_continue(const struct tasks *tasks);
void tasks_kill(const struct tasks *tasks);
void tasks_free(struct tasks *tasks);
int tasks_state(pid_t pid);

#define _cleanup_tasks_ _cleanup_(tasks_free)

#endif
