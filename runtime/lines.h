/* SPDX-License-Identifier: GPL-2.0-only */
/* Lines of bounded length, read from a file descriptor. */
#ifndef SKU_LINES_H
#define SKU_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* Longer than the kernel's COMMAND_LINE_SIZE (2048 on arm64) with two file names before it. */
#define LINE_MAX_SIZE 4096

struct lines {
	size_t used;   /* bytes in @buffer */
	size_t given;  /* of these, the bytes of the line that was returned last */
	bool dropping; /* inside a line that is too long */
	char buffer[LINE_MAX_SIZE];
};

bool lines_ready(const struct lines *lines);
int lines_read(struct lines *lines, int fd, char **line);

#endif
