// SPDX-License-Identifier: GPL-2.0-only
#include "lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Forget the line that was returned last, and keep what follows it. */
static void drop_given(struct lines *lines)
{
	lines->used -= lines->given;
	memmove(lines->buffer, lines->buffer + lines->given, lines->used);
	lines->given = 0;
}

/* Return whether lines_read() has a line to return without reading. */
bool lines_ready(const struct lines *lines)
{
	return memchr(lines->buffer + lines->given, '\n', lines->used - lines->given);
}

/*
 * Wait for the next line from @fd; *@line, without the newline, stays valid until the next call.
 * Return 1; 0 at the end of the file; -E2BIG for a line that did not fit, which is dropped whole;
 * or another negative errno. @lines starts out as zeroes.
 */
int lines_read(struct lines *lines, int fd, char **line)
{
	drop_given(lines);
	for (;;) {
		char *newline = memchr(lines->buffer, '\n', lines->used);
		ssize_t n;

		if (newline) {
			bool dropped = lines->dropping;

			*newline = '\0';
			*line = lines->buffer;
			lines->given = (size_t)(newline - lines->buffer) + 1;
			lines->dropping = false;
			return dropped ? -E2BIG : 1;
		}
		if (lines->used == sizeof(lines->buffer)) {
			lines->dropping = true;
			lines->used = 0;
		}
		n = read(fd, lines->buffer + lines->used, sizeof(lines->buffer) - lines->used);
		if (n == 0)
			return 0;
		if (n > 0)
			lines->used += (size_t)n;
		else if (errno != EINTR)
			return -errno;
	}
}
