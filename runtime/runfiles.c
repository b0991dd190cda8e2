// SPDX-License-Identifier: GPL-2.0-only
/*
 * The record is a text: a line "d MODE UID GID 0 PATH" for a directory, "f MODE UID GID SIZE PATH" for
 * a file, which its bytes follow. Sockets are not in it: CRIU makes them.
 */
#include "runfiles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

#ifndef RUN /* another one for tests */
#define RUN "/run/"
#endif
#define RECORD_MAX (1U << 20)
#define DEPTH_MAX 8

/* Of these the next system makes its own. */
static const char *const foreign[] = { "systemd", "sku", "user", "lock", "udev", "log", "credentials" };

static int add_name(struct runfiles *found, const char *name, size_t size)
{
	char(*names)[256];

	if (!size || size >= sizeof(*names))
		return 0;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (strlen(foreign[i]) == size && !strncmp(foreign[i], name, size))
			return 0;
	for (size_t i = 0; i < found->count; i++)
		if (strlen(found->names[i]) == size && !strncmp(found->names[i], name, size))
			return 0;
	names = realloc(found->names, (found->count + 1) * sizeof(*names));
	if (!names)
		return -ENOMEM;
	found->names = names;
	snprintf(names[found->count++], sizeof(*names), "%.*s", (int)size, name);
	return 0;
}

/* Take note of what is directly below /run on the way to the file @path, if it is there. */
static int add_path(struct runfiles *found, const char *path)
{
	char copy[PATH_MAX], real[PATH_MAX];
	char *slash;

	snprintf(copy, sizeof(copy), "%s", path);
	slash = strrchr(copy, '/');
	if (*path != '/' || slash == copy)
		return 0;
	*slash = '\0';
	/* The directory alone: /var/run leads here, and a file may be deleted. */
	if (!realpath(copy, real) || strncmp(real, RUN, strlen(RUN)))
		return 0;
	return add_name(found, real + strlen(RUN), strcspn(real + strlen(RUN), "/"));
}

struct inodes {
	size_t count;
	unsigned long *list;
};

static int add_inode(struct inodes *inodes, unsigned long inode)
{
	unsigned long *list = realloc(inodes->list, (inodes->count + 1) * sizeof(*list));

	if (!list)
		return -ENOMEM;
	list[inodes->count++] = inode;
	inodes->list = list;
	return 0;
}

static int look_at_files(pid_t pid, struct runfiles *found, struct inodes *sockets)
{
	_cleanup_closedir_ DIR *files = NULL;
	const struct dirent *entry;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	files = opendir(path);
	if (!files)
		return -errno;
	while ((entry = readdir(files))) {
		char target[PATH_MAX];
		ssize_t size = readlinkat(dirfd(files), entry->d_name, target, sizeof(target) - 1);
		unsigned long inode;
		int r;

		if (size < 0)
			continue;
		target[size] = '\0';
		if (sscanf(target, "socket:[%lu]", &inode) == 1)
			r = add_inode(sockets, inode);
		else
			r = add_path(found, target);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A unix socket is found by its inode in a list that has the name it was bound to. */
static int look_at_sockets(pid_t pid, const struct inodes *sockets, struct runfiles *found)
{
	_cleanup_file_ FILE *file = NULL;
	char line[PATH_MAX];

	snprintf(line, sizeof(line), "/proc/%d/net/unix", pid);
	file = fopen(line, "re");
	while (file && fgets(line, sizeof(line), file)) {
		char name[256] = "";
		unsigned long inode;

		if (sscanf(line, "%*s %*s %*s %*s %*s %*s %lu %255[^\n]", &inode, name) != 2)
			continue;
		for (size_t i = 0; i < sockets->count; i++)
			if (sockets->list[i] == inode && add_path(found, name) < 0)
				return -ENOMEM;
	}
	return 0;
}

/* Find what the application has there; @more names what else it has, with blanks between them. */
int runfiles_find(const struct tasks *tasks, const char *more, struct runfiles *found,
		  struct problem *problem)
{
	int r = 0;

	runfiles_free(found);
	for (size_t i = 0; r == 0 && i < tasks->count; i++) {
		struct inodes sockets = { 0 };

		r = look_at_files(tasks->pids[i], found, &sockets);
		if (r == 0)
			r = look_at_sockets(tasks->pids[i], &sockets, found);
		free(sockets.list);
	}
	for (more += strspn(more, " "); r == 0 && *more; more += strspn(more, " ")) {
		r = add_name(found, more, strcspn(more, "/ "));
		more += strcspn(more, " ");
	}
	return r < 0 ? problem_set(problem, -r, NULL, "cannot see which files in /run are in use") : 0;
}

static int add_line(struct buffer *record, char kind, const struct stat *about, off_t size,
		    const char *path)
{
	return buffer_printf(record, "%c %o %u %u %jd %s\n", kind, about->st_mode & 07777,
			     about->st_uid, about->st_gid, (intmax_t)size, path);
}

static int add_content(struct buffer *record, const char *path, const struct stat *about)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	size_t size = (size_t)about->st_size;
	int r;

	if (fd < 0)
		return -errno;
	if (about->st_size > RECORD_MAX || record->used + size > RECORD_MAX)
		return -EFBIG;
	r = add_line(record, 'f', about, about->st_size, path);
	if (r == 0)
		r = buffer_reserve(record, size);
	if (r < 0)
		return r;
	if (read(fd, record->data + record->used, size) != (ssize_t)size)
		return -EIO;
	record->used += size;
	return 0;
}

static int add_tree(struct buffer *record, const char *path, int depth, struct problem *problem)
{
	_cleanup_closedir_ DIR *directory = NULL;
	const struct dirent *entry;
	struct stat about;
	int r = 0;

	if (lstat(path, &about) < 0)
		return errno == ENOENT ? 0 : problem_set(problem, errno, NULL, "cannot see %s", path);
	if (strchr(path, '\n') || depth > DEPTH_MAX)
		return problem_set(problem, EINVAL, NULL, "cannot keep %s", path);
	if (S_ISREG(about.st_mode))
		r = add_content(record, path, &about);
	else if (S_ISDIR(about.st_mode))
		r = add_line(record, 'd', &about, 0, path);
	if (r < 0)
		return problem_set(problem, -r, "what is kept of /run is 1 MiB at most: remove what "
				   "the application does not need", "cannot keep %s", path);
	if (!S_ISDIR(about.st_mode))
		return 0;
	directory = opendir(path);
	if (!directory)
		return problem_set(problem, errno, NULL, "cannot list %s", path);
	while (r == 0 && (entry = readdir(directory))) {
		char below[PATH_MAX];

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= (int)sizeof(below))
			return problem_set(problem, ENAMETOOLONG, NULL, "cannot keep %s", path);
		r = add_tree(record, below, depth + 1, problem);
	}
	return r;
}

/* Write down all that was found, as it is now. */
int runfiles_write(const struct runfiles *found, struct buffer *record, struct problem *problem)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < found->count; i++) {
		char path[sizeof(RUN) + sizeof(*found->names)];

		snprintf(path, sizeof(path), RUN "%s", found->names[i]);
		r = add_tree(record, path, 0, problem);
	}
	return r;
}

static bool is_below_run(const char *path)
{
	return !strncmp(path, RUN, strlen(RUN)) && path[strlen(RUN)] && !strstr(path, "/../") &&
	       !strstr(path, "//") && strcmp(path + strlen(path) - 3, "/..") != 0;
}

static int make_file(const char *path, const char *data, size_t size)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : file_write_all(fd, data, size);
}

/* Make what the line at @at says. Return how many bytes of the record that took. */
static ssize_t make_one(const char *at, size_t left)
{
	const char *newline = memchr(at, '\n', left);
	char line[PATH_MAX + 64], path[PATH_MAX];
	unsigned int mode, uid, gid, size;
	size_t taken;
	char kind;
	int r;

	if (!newline || (size_t)(newline - at) >= sizeof(line))
		return -EINVAL;
	snprintf(line, sizeof(line), "%.*s", (int)(newline - at), at);
	taken = strlen(line) + 1;
	if (sscanf(line, "%c %o %u %u %u %4095[^\n]", &kind, &mode, &uid, &gid, &size, path) != 6 ||
	    !strchr("df", kind) || mode > 07777 || !is_below_run(path) ||
	    taken != (size_t)(newline - at) + 1 || size > left - taken || (kind == 'd' && size))
		return -EINVAL;
	if (kind == 'd')
		r = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
	else
		r = make_file(path, newline + 1, size);
	if (r == 0 && (lchown(path, uid, gid) < 0 || chmod(path, mode) < 0))
		r = -errno;
	return r < 0 ? r : (ssize_t)(taken + size);
}

/* Make all of it again. */
int runfiles_make(const struct buffer *record, struct problem *problem)
{
	size_t at = 0;

	if (record->used > RECORD_MAX + RECORD_MAX / 4)
		return problem_set(problem, EFBIG, NULL, "cannot use the record '" RUNFILES_RECORD "'");
	while (at < record->used) {
		ssize_t taken = make_one(record->data + at, record->used - at);

		if (taken < 0)
			return problem_set(problem, (int)-taken, NULL, "cannot make what the "
					   "application had in /run");
		at += (size_t)taken;
	}
	return 0;
}

void runfiles_free(struct runfiles *found)
{
	free(found->names);
	*found = (struct runfiles){ 0 };
}
