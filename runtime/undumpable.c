// SPDX-License-Identifier: GPL-2.0-only
#include "undumpable.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

/* What a descriptor leads to, by its link in /proc/PID/fd, and what can be done without it. */
static const struct {
	const char *target;
	const char *hint;
} files[] = {
	{ "anon_inode:[io_uring]",
	  "have it go without: MariaDB with innodb_linux_aio=aio or innodb_use_native_aio=0, all others "
	  "with sysctl kernel.io_uring_disabled=2 (6.6 and newer), then start it again" },
	{ "anon_inode:bpf-map", "end what uses BPF in it" },
	{ "anon_inode:bpf-prog", "end what uses BPF in it" },
	{ "anon_inode:[perf_event]", "end what it measures itself with" },
	{ "anon_inode:[userfaultfd]", "end what uses userfaultfd in it" },
	{ "anon_inode:kvm-vm", "there is no way to keep a virtual machine" },
};

/* Return what to do about a descriptor that leads to @target, NULL when CRIU takes it. */
const char *undumpable_hint(const char *target)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (!strcmp(files[i].target, target))
			return files[i].hint;
	return NULL;
}

/* See whether a descriptor stands in CRIU's way. */
int undumpable_files(pid_t pid, struct problem *problem)
{
	_cleanup_closedir_ DIR *directory = NULL;
	const struct dirent *entry;
	char path[32], target[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		ssize_t size = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
		const char *hint;

		if (size < 0)
			continue;
		target[size] = '\0';
		hint = undumpable_hint(target);
		if (hint)
			return problem_set(problem, 0, hint,
					   "CRIU cannot dump process %d: descriptor %s is %s", pid,
					   entry->d_name, target);
	}
	return 0;
}

static uint64_t available_bytes(void)
{
	_cleanup_file_ FILE *file = fopen("/proc/meminfo", "re");
	uint64_t kib = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			break;
	return kib << 10;
}

/* See whether an area does. CRIU reads the page map of an area at once, 8 bytes a page whether it is there or not. */
int undumpable_areas(pid_t pid, struct problem *problem)
{
	_cleanup_file_ FILE *file = NULL;
	uint64_t largest = 0, needed;
	uint64_t start, end;
	char line[512];

	snprintf(line, sizeof(line), "/proc/%d/maps", pid);
	file = fopen(line, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2 && end - start > largest)
			largest = end - start;
	needed = largest / (uint64_t)sysconf(_SC_PAGESIZE) * sizeof(uint64_t);
	if (needed <= available_bytes() / 2)
		return 0;
	return problem_set(problem, 0, "have it reserve less: MariaDB from 11.8 on with "
			   "innodb_buffer_pool_size_max as large as innodb_buffer_pool_size",
			   "CRIU cannot dump process %d: it has reserved %" PRIu64 " GiB of addresses "
			   "in one piece, and CRIU would need %" PRIu64 " MiB to look at them", pid,
			   largest >> 30, needed >> 20);
}

/* See whether the mounts do. */
int undumpable_mounts(pid_t pid, struct problem *problem)
{
	char path[32], own[64], its[64];
	ssize_t own_size, its_size;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	own_size = readlink("/proc/self/ns/mnt", own, sizeof(own));
	its_size = readlink(path, its, sizeof(its));
	if (own_size < 0 || its_size < 0 ||
	    (own_size == its_size && !memcmp(own, its, (size_t)own_size)))
		return 0;
	return problem_set(problem, 0, "a unit has one for ProtectSystem=, ProtectHome=, PrivateTmp= and "
			   "the like: switch these off in a drop-in (docs/systemd.md), and start it again",
			   "process %d has a mount namespace of its own, which cannot be kept", pid);
}
