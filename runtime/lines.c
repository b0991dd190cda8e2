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

/*
 * Take the next line that is there whole; *@line, without the newline, stays valid until the next
 * call. Return 1; -EAGAIN when lines_fill() must come first; -E2BIG for a line that did not fit,
 * which is dropped whole.
 */
int lines_take(struct lines *lines, char **line)
{
	bool dropped = lines->dropping;
	char *newline;

	drop_given(lines);
	newline = memchr(lines->buffer, '\n', lines->used);
	if (!newline) {
		if (lines->used == sizeof(lines->buffer)) {
			lines->dropping = true;
			lines->used = 0;
		}
		return -EAGAIN;
	}
	*newline = '\0';
	*line = lines->buffer;
	lines->given = (size_t)(newline - lines->buffer) + 1;
	lines->dropping = false;
	return dropped ? -E2BIG : 1;
}

/*
 * Read once from @fd; to be called when lines_take() has said -EAGAIN, and only then is there room.
 * Return how many bytes came, 0 at the end of the file, or a negative errno.
 */
ssize_t lines_fill(struct lines *lines, int fd)
{
	ssize_t n;

	do
		n = read(fd, lines->buffer + lines->used, sizeof(lines->buffer) - lines->used);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	lines->used += (size_t)n;
	return n;
}
