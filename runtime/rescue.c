// SPDX-License-Identifier: GPL-2.0-only
#include "rescue.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "memfds.h"
#include "pin.h"

#define CHUNK (4UL << 20)

static int write_rescued(int fd, const void *data, size_t size, struct problem *problem)
{
	int r = file_write_all(fd, data, size);

	return r < 0 ? problem_set(problem, -r, "give a directory with more room",
				   "cannot write what is rescued") : 0;
}

static int make_file(int directory, const char *name, struct problem *problem)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return problem_set(problem, errno,
				   errno == EEXIST ? "give a directory of its own" : NULL,
				   "cannot make the file %s", name);
	return fd;
}

/* One run of pages that follow each other becomes one file: memory-KEY-ADDRESS. */
static int rescue_run(int session, int directory, uint64_t key, uint64_t *start, char *chunk,
		      struct problem *problem)
{
	_cleanup_close_ int fd = -1;
	uint64_t done = CHUNK;
	uint64_t at = *start;
	char name[64];
	int r = 0;

	snprintf(name, sizeof(name), "memory-%" PRIu64 "-%012" PRIx64, key, at);
	while (r == 0 && done == CHUNK) {
		r = pin_read(session, key, at, chunk, CHUNK, &done, start, problem);
		if (r == 0 && done && fd < 0)
			fd = make_file(directory, name, problem);
		if (fd < 0 && done && r == 0)
			return fd;
		if (r == 0)
			r = write_rescued(fd, chunk, done, problem);
		at += done;
	}
	return r;
}

static int rescue_memory(int session, int directory, uint64_t key, char *chunk,
			 struct problem *problem)
{
	uint64_t start = 0;
	uint64_t done;
	int r = pin_read(session, key, 0, chunk, CHUNK, &done, &start, problem);

	if (done)
		start = 0;
	while (r == 0 && start != UINT64_MAX)
		r = rescue_run(session, directory, key, &start, chunk, problem);
	return r;
}

/* Each record becomes one file: record-NAME, with a dash for each slash. */
static int rescue_record(int session, int directory, const char *record, struct problem *problem)
{
	_cleanup_buffer_ struct buffer data = { 0 };
	_cleanup_close_ int fd = -1;
	char name[PIN_MEM_NAME_SIZE + 8];
	int r = pin_get(session, record, &data, problem);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "record-%s", record);
	for (char *at = name; *at; at++)
		if (*at == '/')
			*at = '-';
	fd = make_file(directory, name, problem);
	return fd < 0 ? fd : write_rescued(fd, data.data, data.used, problem);
}

/* Each file of shared memory becomes one: shared-NUMBER. What the kernel does not give back is told. */
static int rescue_shared(int session, const char *session_name, int directory, struct problem *problem)
{
	struct held held = { 0 };
	int r = held_take(&held, session, session_name, problem);

	if (r < 0 && held.holder) {
		problem_print(problem);
		r = 0;
	}
	for (size_t i = 0; r == 0 && i < held.shared.count; i++) {
		_cleanup_close_ int fd = -1;
		char name[64];

		if (held.fds[i] < 0)
			continue;
		snprintf(name, sizeof(name), "shared-%" PRIu64, held.shared.files[i].inode);
		fd = make_file(directory, name, problem);
		r = fd < 0 ? fd : held_rescue(&held, i, fd, problem);
	}
	held_free(&held);
	return r;
}

static int rescue_all(int session, const char *session_name, int directory, struct problem *problem)
{
	static uint64_t keys[PIN_KEYS_MAX];
	char record[PIN_MEM_NAME_SIZE];
	size_t count = PIN_KEYS_MAX;
	char *chunk;
	int r = pin_keys(session, keys, &count, problem);

	if (r < 0)
		return r;
	chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (chunk == MAP_FAILED)
		return problem_set(problem, errno, NULL, "cannot get %lu bytes", CHUNK);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = rescue_memory(session, directory, keys[i], chunk, problem);
	munmap(chunk, CHUNK);
	for (uint32_t i = 0; r == 0; i++) {
		r = pin_list(session, i, record, problem);
		if (r <= 0)
			break;
		r = rescue_record(session, directory, record, problem);
	}
	return r < 0 ? r : rescue_shared(session, session_name, directory, problem);
}

/*
 * Write the memory and the records of a handed-over session to files in @directory, which is made.
 * The session stays as it is. Return 0 or a negative errno, with @problem set.
 */
int rescue(const char *name, const char *directory, struct problem *problem)
{
	_cleanup_close_ int session = pin_retrieve(name, problem);
	_cleanup_close_ int fd = -1;

	if (session < 0)
		return session;
	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		return problem_set(problem, errno, NULL, "cannot make %s", directory);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return problem_set(problem, errno, NULL, "cannot open %s", directory);
	return rescue_all(session, name, fd, problem);
}
