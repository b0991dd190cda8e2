/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an application has below /run: the directories of its sockets and open files, such as
 * /run/mysqld, with the files in them. The next kernel begins with an empty /run.
 */
#ifndef SKU_RUNFILES_H
#define SKU_RUNFILES_H

#include "buffer.h"
#include "problem.h"
#include "tasks.h"

#define RUNFILES_RECORD "run"

/* Starts out as zeroes: names directly below /run. */
struct runfiles {
	size_t count;
	char (*names)[256];
};

int runfiles_find(const struct tasks *tasks, const char *more, struct runfiles *found,
		  struct problem *problem);
int runfiles_write(const struct runfiles *found, struct buffer *record, struct problem *problem);
int runfiles_make(const struct buffer *record, struct problem *problem);
void runfiles_free(struct runfiles *found);

#endif
