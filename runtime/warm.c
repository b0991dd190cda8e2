// SPDX-License-Identifier: GPL-2.0-only
#include "warm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LIST_MAX (64UL << 10)
#define FILE_MAX (16UL << 20) /* of each, what is read */

static bool has(const struct buffer *list, const char *path, size_t size)
{
	const char *at = list->data;
	const char *end = at + list->used;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		if ((size_t)(newline - at) == size && !memcmp(at, path, size))
			return true;
		at = newline + 1;
	}
	return false;
}

/*
 * Add the files that process @pid has mapped to run code from to @list, each once and a line each.
 * It is a list of wishes: what does not fit is left out.
 */
int warm_gather(pid_t pid, struct buffer *list)
{
	_cleanup_file_ FILE *maps = NULL;
	char line[4352];
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps)) {
		const char *name = strchr(line, '/');
		char may[8];

		if (!name || sscanf(line, "%*s %7s", may) != 1 || !strchr(may, 'x') ||
		    list->used + strlen(name) > LIST_MAX || !strchr(name, '\n') ||
		    has(list, name, strcspn(name, "\n")))
			continue;
		if (buffer_add(list, name, strcspn(name, "\n") + 1) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void read_one(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat about;

	if (fd < 0 || fstat(fd, &about) < 0 || !S_ISREG(about.st_mode))
		return;
	readahead(fd, 0, (size_t)about.st_size < FILE_MAX ? (size_t)about.st_size : FILE_MAX);
}

/*
 * Have a process of its own read them into the page cache. Return its pid, for waitpid(2), or a
 * negative errno. The list comes from the kernel before this one.
 */
pid_t warm_read(const struct buffer *list)
{
	const char *at = list->data;
	const char *end = at + list->used;
	pid_t pid;

	if (list->used > LIST_MAX)
		return -E2BIG;
	pid = fork();
	if (pid)
		return pid < 0 ? -errno : pid;
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t size = newline ? (size_t)(newline - at) : 0;
		char path[4096];

		if (!newline || size >= sizeof(path))
			break;
		memcpy(path, at, size);
		path[size] = '\0';
		read_one(path);
		at = newline + 1;
	}
	_exit(0);
}
