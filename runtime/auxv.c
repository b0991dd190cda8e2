// SPDX-License-Identifier: GPL-2.0-only
#include "auxv.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

/* What an Image has in its init/version.c, and says first when it boots */
#define BANNER "Linux version "

/*
 * A process keeps the auxiliary vector it was started with. prctl(PR_SET_MM) takes none that is
 * longer than the kernel's own, which grows: bytes in mm->saved_auxv on arm64, from the line on
 * that is named (AT_VECTOR_SIZE of include/linux/mm_types.h).
 */
static const struct {
	unsigned int major, minor;
	size_t size;
} known[] = { { 7, 3, 54 * 8 }, { 6, 12, 50 * 8 }, { 0, 0, 46 * 8 } };

static size_t room(unsigned int major, unsigned int minor)
{
	size_t i = 0;

	while (major < known[i].major || (major == known[i].major && minor < known[i].minor))
		i++;
	return known[i].size;
}

/* The first banner that has a number: the one for /proc/version has not. */
static bool find_version(const char *data, size_t size, unsigned int *major, unsigned int *minor)
{
	const char *at = data, *end = data + size;

	while ((at = memmem(at, (size_t)(end - at), BANNER, strlen(BANNER)))) {
		char text[16] = { 0 };

		at += strlen(BANNER);
		memcpy(text, at, (size_t)(end - at) < sizeof(text) ? (size_t)(end - at) :
								     sizeof(text) - 1);
		if (sscanf(text, "%u.%u", major, minor) == 2)
			return true;
	}
	return false;
}

static bool version_of(const char *image, unsigned int *major, unsigned int *minor)
{
	_cleanup_close_ int fd = open(image, O_RDONLY | O_CLOEXEC);
	struct stat about;
	bool found;
	void *data;

	if (fd < 0 || fstat(fd, &about) < 0 || !about.st_size)
		return false;
	data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return false;
	found = find_version(data, (size_t)about.st_size, major, minor);
	munmap(data, (size_t)about.st_size);
	return found;
}

/*
 * Check that the kernel in the file @image lets the process @pid have its auxiliary vector. An
 * Image that does not say its version passes. Return 0, or a negative errno with @problem set.
 */
int auxv_fits(pid_t pid, const char *image, struct problem *problem)
{
	unsigned int major, minor;
	char path[32], vector[1024];
	_cleanup_close_ int fd = -1;
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	size = fd < 0 ? -1 : read(fd, vector, sizeof(vector));
	if (size <= 0 || !version_of(image, &major, &minor) || (size_t)size <= room(major, minor))
		return 0;
	return problem_set(problem, 0,
			   "take a kernel that is not older than the one the application was started under",
			   "%s is Linux %u.%u, which has %zu bytes for an auxiliary vector, and process "
			   "%d has %zd", image, major, minor, room(major, minor), pid, size);
}
