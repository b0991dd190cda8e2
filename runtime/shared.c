// SPDX-License-Identifier: GPL-2.0-only
#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cleanup.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/*
 * The kernel gives a file back with its seals on. CRIU maps it after that: what may be written where it
 * is mapped already could not be mapped again. And with F_SEAL_EXEC the kernel adds seals by itself.
 */
#define SEALS_TAKEN (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const char is_sysv[] = "it is System V shared memory";
static const char is_small[] = "it is small";
static const char is_sparse[] = "more than half of it are holes, which would be filled";
static const char is_sealed[] = "it has a seal that it could not be mapped again with";
static const char is_large[] = "CRIU tells files apart by 32 bits of their numbers";

/* Find the file of number @inode, or add it. Return its index, or a negative errno. */
static ssize_t add_file(struct shared *shared, uint64_t inode)
{
	struct shared_file *files;

	for (size_t i = 0; i < shared->count; i++)
		if (shared->files[i].inode == inode)
			return (ssize_t)i;
	files = realloc(shared->files, (shared->count + 1) * sizeof(*files));
	if (!files)
		return -ENOMEM;
	files[shared->count] = (struct shared_file){ .inode = inode };
	shared->files = files;
	return (ssize_t)shared->count++;
}

static int add_use(struct shared *shared, uint64_t inode, const struct shared_use *use)
{
	ssize_t file = add_file(shared, inode);
	struct shared_use *uses;

	if (file < 0)
		return (int)file;
	uses = realloc(shared->uses, (shared->use_count + 1) * sizeof(*uses));
	if (!uses)
		return -ENOMEM;
	shared->uses = uses;
	uses[shared->use_count] = *use;
	uses[shared->use_count++].file = (size_t)file;
	return 0;
}

struct mapping {
	uint64_t start, end, inode;
	dev_t device;
	char type; /* s: shared */
	char name[16]; /* its beginning */
};

static bool read_mapping(const char *line, struct mapping *mapping)
{
	unsigned int of, in;

	mapping->name[0] = '\0';
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*3c%c %*x %x:%x %" SCNu64 " %15s", &mapping->start,
		   &mapping->end, &mapping->type, &of, &in, &mapping->inode, mapping->name) < 6)
		return false;
	mapping->device = makedev(of, in);
	return true;
}

static FILE *open_maps(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	return fopen(path, "re");
}

static int add_mapped(struct shared *shared, pid_t pid)
{
	_cleanup_file_ FILE *maps = open_maps(pid);
	char line[4352]; /* a path of PATH_MAX, and what is before it */

	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps)) {
		struct shared_use use = { .pid = pid, .mapped = true };
		struct mapping mapping;
		int r;

		if (!read_mapping(line, &mapping) || mapping.device != shared->device)
			continue;
		use.at = mapping.start;
		use.shared = mapping.type == 's';
		r = add_use(shared, mapping.inode, &use);
		if (r < 0)
			return r;
		/* A segment's number is its id, which another file may have as well. */
		if (!strncmp(mapping.name, "/SYSV", 5))
			shared->files[shared->uses[shared->use_count - 1].file].copied = is_sysv;
	}
	return 0;
}

static int add_opened(struct shared *shared, pid_t pid)
{
	_cleanup_closedir_ DIR *files = NULL;
	const struct dirent *entry;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	files = opendir(path);
	if (!files)
		return -errno;
	while ((entry = readdir(files))) {
		struct shared_use use = { .pid = pid };
		struct stat about;
		int r;

		if (entry->d_name[0] == '.' || fstatat(dirfd(files), entry->d_name, &about, 0) < 0 ||
		    about.st_dev != shared->device || !S_ISREG(about.st_mode))
			continue;
		use.at = strtoull(entry->d_name, NULL, 10);
		r = add_use(shared, about.st_ino, &use);
		if (r < 0)
			return r;
	}
	return 0;
}

static int find_device(struct shared *shared)
{
	_cleanup_close_ int fd = memfd_create("sku", MFD_CLOEXEC);
	struct stat about;

	if (fd < 0 || fstat(fd, &about) < 0)
		return -errno;
	shared->device = about.st_dev;
	return 0;
}

static int open_mapped(const struct shared_use *use)
{
	_cleanup_file_ FILE *maps = open_maps(use->pid);
	char line[4352], path[96];
	struct mapping mapping;

	while (maps && fgets(line, sizeof(line), maps))
		if (read_mapping(line, &mapping) && mapping.start == use->at) {
			snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, use->pid,
				 mapping.start, mapping.end);
			return open(path, O_RDONLY | O_CLOEXEC);
		}
	errno = ENOENT;
	return -1;
}

/* Return a descriptor of a file, or a negative errno. */
int shared_open(const struct shared *shared, size_t file)
{
	int error = ENOENT;

	for (size_t i = 0; i < shared->use_count; i++) {
		const struct shared_use *use = &shared->uses[i];
		char path[64];
		int fd;

		if (use->file != file)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%" PRIu64, use->pid, use->at);
		fd = use->mapped ? open_mapped(use) : open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		error = errno;
	}
	return -error;
}

/*
 * CRIU (4.1.1) sets seals when all is mapped (criu/memfd.c, apply_memfd_seals()). A shared mapping that was
 * made before F_SEAL_WRITE may be written to as far as the kernel knows, which refuses the seal then.
 */
static bool is_stuck(const struct shared *shared, size_t file, int seals)
{
	for (size_t i = 0; seals >= 0 && seals & F_SEAL_WRITE && i < shared->use_count; i++)
		if (shared->uses[i].file == file && shared->uses[i].shared)
			return true;
	return false;
}

static void judge(struct shared *shared, size_t index)
{
	struct shared_file *file = &shared->files[index];
	_cleanup_close_ int fd = shared_open(shared, index);
	struct stat about;
	int seals;

	if (fd < 0 || fstat(fd, &about) < 0)
		return shared_copy(shared, index, "it cannot be opened");
	file->size = (uint64_t)about.st_size;
	file->bytes = (uint64_t)about.st_blocks * 512;
	seals = fcntl(fd, F_GET_SEALS);
	file->stuck = is_stuck(shared, index, seals);
	if (file->copied)
		return;
	if (file->bytes < SHARED_MIN_BYTES && !file->stuck)
		file->copied = is_small;
	else if (file->bytes < file->size / 2 && !file->stuck)
		file->copied = is_sparse;
	else if (seals < 0 || seals & ~SEALS_TAKEN)
		file->copied = is_sealed;
	else if (file->inode > UINT32_MAX)
		file->copied = is_large;
}

/* Gather the files of stopped @tasks; those that cannot be kept are marked as copied. */
int shared_gather(const struct tasks *tasks, struct shared *shared, struct problem *problem)
{
	int r;

	shared_free(shared);
	r = find_device(shared);
	for (size_t i = 0; r == 0 && i < tasks->count; i++) {
		r = add_mapped(shared, tasks->pids[i]);
		if (r == 0)
			r = add_opened(shared, tasks->pids[i]);
	}
	if (r < 0)
		return problem_set(problem, -r, NULL, "cannot list the shared memory of the application");
	for (size_t i = 0; i < shared->count; i++)
		judge(shared, i);
	return 0;
}

/* Have a file copied, because of @why, a constant; a reason that it has already stays. */
void shared_copy(struct shared *shared, size_t file, const char *why)
{
	if (!shared->files[file].copied)
		shared->files[file].copied = why;
}

/* Count what is copied; with @why everything is, because of that. */
void shared_sum(struct shared *shared, const char *why)
{
	uint64_t largest = 0;

	shared->copied_bytes = 0;
	shared->why[0] = '\0';
	for (size_t i = 0; i < shared->count; i++) {
		struct shared_file *file = &shared->files[i];

		if (why)
			shared_copy(shared, i, why);
		if (!file->copied)
			continue;
		shared->copied_bytes += file->bytes;
		if (file->bytes <= largest)
			continue;
		largest = file->bytes;
		snprintf(shared->why, sizeof(shared->why), "%s", file->copied);
	}
}

/* See that CRIU can make what it copies. Return 0 or a negative errno, with @problem set. */
int shared_stuck(const struct shared *shared, struct problem *problem)
{
	for (size_t i = 0; i < shared->use_count; i++) {
		const struct shared_use *use = &shared->uses[i];
		const struct shared_file *file = &shared->files[use->file];

		if (file->stuck && file->copied && use->shared)
			return problem_set(problem, 0, "have it mapped MAP_PRIVATE, or update between kernels "
					   "that keep memfds (docs/update.md)",
					   "CRIU cannot restore process %d: a memfd with F_SEAL_WRITE is mapped "
					   "shared, and not kept: %.120s", use->pid, file->copied);
	}
	return 0;
}

uint64_t shared_kept_bytes(const struct shared *shared)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < shared->count; i++)
		if (!shared->files[i].copied)
			bytes += shared->files[i].bytes;
	return bytes;
}

/* Say where a use leads to now. Return 0 or a negative errno. */
int shared_inode_at(const struct shared_use *use, dev_t *device, uint64_t *inode)
{
	_cleanup_file_ FILE *maps = NULL;
	struct mapping mapping;
	char line[4352];

	if (!use->mapped) {
		struct stat about;

		snprintf(line, sizeof(line), "/proc/%d/fd/%" PRIu64, use->pid, use->at);
		if (stat(line, &about) < 0)
			return -errno;
		*device = about.st_dev;
		*inode = about.st_ino;
		return 0;
	}
	maps = open_maps(use->pid);
	while (maps && fgets(line, sizeof(line), maps))
		if (read_mapping(line, &mapping) && mapping.start <= use->at && use->at < mapping.end) {
			*device = mapping.device;
			*inode = mapping.inode;
			return 0;
		}
	return -ENOENT;
}

void shared_free(struct shared *shared)
{
	free(shared->files);
	free(shared->uses);
	*shared = (struct shared){ 0 };
}
