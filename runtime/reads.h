/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a kernel can read of what another one hands over: texts that are in its Image, and that it
 * tells while it runs. Their format is in Documentation/admin-guide/mm/pin_mem.rst, of the series.
 */
#ifndef SKU_READS_H
#define SKU_READS_H

#include <stdbool.h>
#include <stddef.h>

#include "problem.h"

#define READS_LINES_MAX 64

/* Starts out as zeroes. */
struct reads {
	size_t count;
	struct {
		char name[32];
		char versions[96]; /* with blanks between; the last is the one that is written */
	} lines[READS_LINES_MAX];
};

int reads_find(const char *path, const char *data, size_t size, struct reads *reads,
	       struct problem *problem);
int reads_running(const char *root, struct reads *reads, struct problem *problem);
int reads_compare(const struct reads *running, const struct reads *next, const char *path,
		  bool no_pid_reserve, struct problem *problem);
bool reads_memfds(const struct reads *running, const struct reads *next);

#endif
