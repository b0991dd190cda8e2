// SPDX-License-Identifier: GPL-2.0-only
/* Runs the parts of the runtime that are about shared memory, for test_runtime_shared.py. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "luo.h"
#include "memfds.h"
#include "shared.h"

static struct problem problem;

static void read_file(const char *path, struct buffer *data)
{
	_cleanup_file_ FILE *file = fopen(path, "r");
	char block[4096];
	size_t n;

	while (file && (n = fread(block, 1, sizeof(block), file)))
		buffer_add(data, block, n);
}

/* Read a record, and write what was understood of it. */
static int on_record(char **words)
{
	_cleanup_shared_ struct shared shared = { 0 };
	_cleanup_buffer_ struct buffer text = { 0 };
	_cleanup_buffer_ struct buffer again = { 0 };
	int r;

	read_file(words[0], &text);
	r = shared_read(&text, &shared, &problem);
	printf("%d\n", r);
	if (r == 0 && shared_write(&shared, &again, &problem) == 0)
		printf("%.*s", (int)again.used, again.data);
	return 0;
}

/* What a process has, and what becomes of it; with a reason, of all of it. */
static int on_gather(char **words)
{
	pid_t pid = (pid_t)atoi(words[0]);
	struct tasks tasks = { .count = 1, .pids = &pid };
	_cleanup_shared_ struct shared shared = { 0 };

	if (shared_gather(&tasks, &shared, &problem) < 0)
		return 3;
	shared_sum(&shared, words[1]);
	for (size_t i = 0; i < shared.count; i++) {
		const struct shared_file *file = &shared.files[i];

		printf("file %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", file->inode, file->size,
		       file->bytes, file->copied ? file->copied : "kept");
		for (size_t k = 0; k < shared.use_count; k++)
			if (shared.uses[k].file == i)
				printf("%s %" PRIu64 " %" PRIu64 "\n", shared.uses[k].mapped ? "map" : "fd",
				       shared.uses[k].at, file->inode);
	}
	printf("sum %" PRIu64 " %" PRIu64 " %s\n", shared_kept_bytes(&shared), shared.copied_bytes,
	       shared.why);
	if (shared_stuck(&shared, &problem) < 0)
		printf("stuck %s\n", problem.text);
	return 0;
}

/* A record of one file, which the process of that number holds under that descriptor. */
static int on_check(char **words)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	int fd = atoi(words[2]);
	struct held held = { .holder = (pid_t)atoi(words[1]), .fds = &fd };
	int r;

	read_file(words[0], &text);
	if (shared_read(&text, &held.shared, &problem) < 0)
		return 3;
	r = held_check(&held, &problem);
	printf("%d\n%s\n", r, r < 0 ? problem.text : "");
	shared_free(&held.shared);
	return 0;
}

static int on_rescue(char **words)
{
	int fd = atoi(words[1]);
	struct held held = { .holder = (pid_t)atoi(words[0]), .fds = &fd };

	return held_rescue(&held, 0, STDOUT_FILENO, &problem) < 0 ? 3 : 0;
}

static int on_opener(char **words)
{
	printf("%d\n", luo_opener(words[0]));
	return 0;
}

static int on_begin(char **words)
{
	struct keeping keeping = KEEPING_NONE;

	keeping_begin(&keeping, "sku", atoi(words[0]));
	printf("%d\n%s\n", keeping.session, keeping.why);
	keeping_end(&keeping);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(char **words);
	} parts[] = {
		{ "record", on_record }, { "gather", on_gather }, { "check", on_check },
		{ "rescue", on_rescue }, { "opener", on_opener }, { "begin", on_begin },
	};

	for (size_t i = 0; argc > 2 && i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strcmp(argv[1], parts[i].name))
			return parts[i].run(argv + 2);
	return 2;
}
