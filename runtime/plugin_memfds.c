// SPDX-License-Identifier: GPL-2.0-only
/*
 * The half of sku.so that is preloaded into CRIU for the sake of shared memory. CRIU (4.1.1) asks
 * lseek(2) which parts of a file hold data, before it writes them down (criu/shmem.c,
 * next_data_segment()): of what the kernel keeps by itself it is told that there are none. And it makes
 * such a file with memfd_create(2), then opens the image of its content, whose name has the file's number
 * (restore_memfd_shmem_content(), open_shmem()): that is the moment to put the kept one in its place.
 *
 * skuctl looks afterwards whether all files are where they belong: a CRIU that goes about it in another
 * order gives a restore that fails, and not memory that is lost without a word.
 */
/* The headers would have inline functions in place of some that are made here. */
#undef _FORTIFY_SOURCE
#define _LARGEFILE64_SOURCE
#include "plugin_memfds.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#define IMAGE "pagemap-shmem-"

struct memfd {
	uint64_t device, inode;
	int pid, fd;
};

static struct memfd *memfds;
static size_t count;
static int made = -1; /* the memfd that was made last, of which no image was opened yet */

/* Read skuctl's file, if there is one. Return false when there is no memory for it. */
bool memfds_load(void)
{
	const char *path = getenv(PLUGIN_MEMFDS);
	_cleanup_file_ FILE *file = path ? fopen(path, "re") : NULL;
	struct memfd one;

	count = 0;
	while (file && fscanf(file, "%" SCNu64 " %" SCNu64 " %d %d", &one.device, &one.inode, &one.pid,
			      &one.fd) == 4) {
		struct memfd *list = realloc(memfds, (count + 1) * sizeof(*list));

		if (!list)
			return false;
		memfds = list;
		memfds[count++] = one;
	}
	return true;
}

static bool is_kept(int fd)
{
	struct stat about;

	if (!count || fstat(fd, &about) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!memfds[i].pid && memfds[i].inode == about.st_ino && memfds[i].device == about.st_dev)
			return true;
	return false;
}

off64_t lseek64(int fd, off64_t offset, int whence)
{
	if (whence == SEEK_DATA && is_kept(fd)) {
		errno = ENXIO;
		return -1;
	}
	return syscall(SYS_lseek, fd, offset, whence);
}

int memfd_create(const char *name, unsigned int flags)
{
	int fd = (int)syscall(SYS_memfd_create, name, flags);

	if (fd >= 0)
		made = fd;
	return fd;
}

/* Put the kept file in the place of the one that was just made. */
static int put(const struct memfd *memfd)
{
	_cleanup_close_ int holder = (int)syscall(SYS_pidfd_open, memfd->pid, 0);
	_cleanup_close_ int kept = holder < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, holder, memfd->fd, 0);
	int to = made;

	made = -1;
	return kept < 0 || to < 0 || dup2(kept, to) < 0 ? -1 : 0;
}

static int put_if_kept(const char *path)
{
	uint64_t inode;
	char rest;

	if (!count || strncmp(path, IMAGE, strlen(IMAGE)) ||
	    sscanf(path + strlen(IMAGE), "%" SCNu64 ".im%c", &inode, &rest) != 2)
		return 0;
	for (size_t i = 0; i < count; i++)
		if (memfds[i].pid && memfds[i].inode == inode)
			return put(&memfds[i]);
	return 0;
}

int openat64(int directory, const char *path, int flags, ...)
{
	mode_t mode = 0;

	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {
		va_list more;

		va_start(more, flags);
		mode = va_arg(more, mode_t);
		va_end(more);
	}
	/* What is not there would pass for a file without content. */
	if (!(flags & O_CREAT) && put_if_kept(path) < 0) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_openat, directory, path, flags, mode);
}

/* The seals are on a kept file already, and may be sealed themselves. */
int fcntl64(int fd, int command, ...)
{
	static int (*next)(int fd, int command, ...);
	void *argument;
	va_list more;
	int seals;
	int r;

	va_start(more, command);
	argument = va_arg(more, void *);
	va_end(more);
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "fcntl64");
	r = next(fd, command, argument);
	if (r >= 0 || command != F_ADD_SEALS || errno != EPERM)
		return r;
	seals = next(fd, F_GET_SEALS);
	if (seals >= 0 && !((int)(intptr_t)argument & ~seals))
		return 0;
	errno = EPERM;
	return r;
}
