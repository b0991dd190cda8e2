/* SPDX-License-Identifier: GPL-2.0-only */
/* Lines of bounded length, read from a file descriptor. */
#ifndef SKU_LINES_H
#define SKU_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Longer than the kernel's COMMAND_LINE_SIZE (2048 on arm64) with two file names before it. */
#define LINE_MAX_SIZE 4096

/* Starts out as zeroes. */
struct lines {
	size_t used;   /* bytes in @buffer */
	size_t given;  /* of these, the bytes of the line that was returned last */
	bool dropping; /* inside a line that is too long */
	char buffer[LINE_MAX_SIZE];
};

int lines_take(struct lines *lines, char **line);
ssize_t lines_fill(struct lines *lines, int fd);

#endif
