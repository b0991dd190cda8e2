// SPDX-License-Identifier: GPL-2.0-only
#include "sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"

static int create(const char *name, struct problem *problem)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? problem_set(problem, errno, "build the kernel with CONFIG_MEMFD_CREATE=y",
				    "cannot make a copy in memory") : fd;
}

/*
 * No more writing. It is opened anew as well: kexec_file_load(2) takes no file that anybody has open
 * for writing.
 */
static int seal(int fd, struct problem *problem)
{
	char path[SEALED_PATH_SIZE];
	int sealed = -1;

	sealed_path(fd, "self", path);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
		sealed = open(path, O_RDONLY | O_CLOEXEC);
	return sealed < 0 ? problem_set(problem, errno, NULL, "cannot seal a copy in memory") : sealed;
}

static int copy(int from, int to)
{
	static char block[1 << 16];
	ssize_t n;
	int r;

	while ((n = read(from, block, sizeof(block))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? -errno : file_write_all(to, block, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Return a descriptor of a copy of the regular file @path, or a negative errno. */
int sealed_copy(const char *path, struct problem *problem)
{
	_cleanup_close_ int from = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_close_ int to = -1;
	struct stat about;
	int r;

	if (from < 0 || fstat(from, &about) < 0)
		return problem_set(problem, errno, NULL, "cannot open %.200s", path);
	if (!S_ISREG(about.st_mode))
		return problem_set(problem, 0, NULL, "%.200s is not a regular file", path);
	to = create(path, problem);
	if (to < 0)
		return to;
	r = copy(from, to);
	return r < 0 ? problem_set(problem, -r, NULL, "cannot copy %.200s", path) : seal(to, problem);
}

/* Return a descriptor of a copy of @text, or a negative errno. */
int sealed_text(const char *name, const char *text, size_t size, struct problem *problem)
{
	_cleanup_close_ int to = create(name, problem);
	int r = to < 0 ? to : file_write_all(to, text, size);

	if (to < 0)
		return to;
	return r < 0 ? problem_set(problem, -r, NULL, "cannot copy %s", name) : seal(to, problem);
}

/* The path by which @process, "self" or a number, has the descriptor: SEALED_PATH_SIZE letters. */
void sealed_path(int fd, const char *process, char *path)
{
	snprintf(path, SEALED_PATH_SIZE, "/proc/%.10s/fd/%d", process, fd);
}
