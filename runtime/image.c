// SPDX-License-Identifier: GPL-2.0-only
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

/* The header of Documentation/arm64/booting.rst; all fields are little-endian. */
struct header {
	uint32_t code[2];
	uint64_t text_offset;
	uint64_t image_size;
	uint64_t flags;
	uint64_t reserved[3];
	uint32_t magic;
	uint32_t reserved2;
};

#define MAGIC 0x644d5241U /* "ARM\x64" */
#define FLAG_BIG_ENDIAN 1U
#define FLAG_PAGE_SIZE(flags) ((flags) >> 1 & 3)

static const uint64_t page_sizes[] = { 0, 4096, 16384, 65536 };

static int check(const char *path, const char *data, size_t size, struct reads *reads,
		 struct problem *problem)
{
	struct header header;
	uint64_t page_size;
	int r;

	if (size < sizeof(header))
		return problem_set(problem, ENOEXEC, "give an uncompressed arm64 Image",
				   "cannot take %s for a kernel", path);
	memcpy(&header, data, sizeof(header));
	if (header.magic != MAGIC || header.flags & FLAG_BIG_ENDIAN)
		return problem_set(problem, ENOEXEC,
				   "give an uncompressed, little-endian arm64 Image",
				   "cannot take %s for a kernel", path);
	page_size = page_sizes[FLAG_PAGE_SIZE(header.flags)];
	if (page_size && page_size != (uint64_t)sysconf(_SC_PAGESIZE))
		return problem_set(problem, EINVAL, "build the next kernel with this one's page size",
				   "%s has pages of %ju bytes", path, (uintmax_t)page_size);
	r = reads_find(path, data, size, reads, problem);
	if (r == 0 && !reads->count)
		return problem_set(problem, EINVAL,
				   "build the next kernel with the series pin_mem and what it requires",
				   "%s cannot take memory over: it does not say what it reads", path);
	return r;
}

/*
 * Check that the file @path is a kernel for this machine that can take memory over, and add what it
 * reads to @reads. It costs a look at all of the file. Return 0 or a negative errno, with @problem
 * set.
 */
int image_check(const char *path, struct reads *reads, struct problem *problem)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat about;
	void *data;
	int r;

	if (fd < 0 || fstat(fd, &about) < 0)
		return problem_set(problem, errno, "give the next kernel's Image",
				   "cannot open %s", path);
	if (!S_ISREG(about.st_mode) || !about.st_size)
		return problem_set(problem, ENOEXEC, "give an uncompressed arm64 Image",
				   "cannot take %s for a kernel", path);
	data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return problem_set(problem, errno, NULL, "cannot read %s", path);
	r = check(path, data, (size_t)about.st_size, reads, problem);
	munmap(data, (size_t)about.st_size);
	return r;
}
