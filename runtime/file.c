// SPDX-License-Identifier: GPL-2.0-only
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

/* Write all of @data. Return 0 or a negative errno. */
int file_write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Read the start of a file as one string without its last newline; "" when it cannot be read. */
void file_text(const char *path, char *text, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 1;

	while (fd >= 0 && n > 0 && used < size - 1) {
		n = read(fd, text + used, size - 1 - used);
		if (n > 0)
			used += (size_t)n;
	}
	if (used && text[used - 1] == '\n')
		used--;
	text[used] = '\0';
}

/*
 * Regular files only, as all of debugfs, sysfs and proc are: the first process must not wait for
 * what a device or a pipe may never do. O_NONBLOCK keeps the open itself from waiting.
 */
static int open_regular(const char *path, int flags, struct problem *problem)
{
	_cleanup_close_ int fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat about;
	int given;

	if (fd < 0)
		return problem_set(problem, errno,
				   errno == ENOENT ? "see that the kernel has the feature, and that "
						     "its file system is mounted" : NULL,
				   "cannot open %s", path);
	if (fstat(fd, &about) < 0)
		return problem_set(problem, errno, NULL, "cannot look at %s", path);
	if (!S_ISREG(about.st_mode))
		return problem_set(problem, 0, NULL, "cannot take %s: not a regular file", path);
	given = fd;
	fd = -1;
	return given;
}

/*
 * Write @text to the start of an existing file, in one write, as pseudo files want it. Return 0 or
 * a negative errno, with @problem set.
 */
int file_put(const char *path, const char *text, struct problem *problem)
{
	_cleanup_close_ int fd = open_regular(path, O_WRONLY, problem);
	size_t size = strlen(text);
	ssize_t n;

	if (fd < 0)
		return fd;
	do
		n = write(fd, text, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return problem_set(problem, errno, NULL, "cannot write to %s", path);
	if ((size_t)n != size)
		return problem_set(problem, EIO, "the file took a part of the text only",
				   "cannot write to %s", path);
	return 0;
}

/*
 * Read a file into @buffer. Return how many bytes it has; a negative errno, with @problem set, also
 * when it has more than @size.
 */
ssize_t file_get(const char *path, char *buffer, size_t size, struct problem *problem)
{
	_cleanup_close_ int fd = open_regular(path, O_RDONLY, problem);
	size_t used = 0;

	if (fd < 0)
		return fd;
	for (;;) {
		/* One byte of its own tells a file that just fits from one that does not. */
		char extra;
		bool full = used == size;
		ssize_t n = read(fd, full ? &extra : buffer + used, full ? 1 : size - used);

		if (n == 0)
			return (ssize_t)used;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return problem_set(problem, errno, NULL, "cannot read %s", path);
		if (full)
			return problem_set(problem, EFBIG, "read a shorter file",
					   "cannot send %s, which has more than %zu bytes", path,
					   size);
		used += (size_t)n;
	}
}
