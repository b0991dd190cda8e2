// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take back the shared memory that the kernel before this one has left. To close the session of the live
 * update gives up what is in it, so that a process of its own holds it, which does nothing else: until
 * the application has its files again, and for as long as it takes if that fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "luo.h"
#include "memfds.h"
#include "pin.h"
#include "state.h"

#define HOLDER "sku-memfds"
#define CHUNK (1UL << 20)
#define LOST "what the kernel does not give back is lost; the rest is kept: skuctl rescue"
#define NOT_THERE "nothing was handed over, or who held it has ended, and it is lost; the rest: skuctl rescue"

/* What the holder says first: 0, or why it has nothing. */
struct word {
	int32_t error;
	const char *hint; /* a constant, which a fork has in the same place */
	char text[sizeof(((struct problem *)NULL)->text)];
};

static void __attribute__((noreturn)) hold(const char *name, const struct shared *shared, int said)
{
	struct problem problem = { 0 };
	struct word word = { 0 };
	sigset_t all;
	int nowhere, session;

	/* Nothing of who has begun this must stay open in it, and nobody asks it to end. */
	nowhere = open("/dev/null", O_RDWR);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(nowhere, fd);
	if (dup3(said, 3, O_CLOEXEC) < 0 && said != 3)
		_exit(1);
	syscall(SYS_close_range, 4, ~0U, 0);
	prctl(PR_SET_NAME, HOLDER);
	setsid();
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	session = luo_retrieve(name, &problem);
	if (session < 0) {
		word.error = session;
		word.hint = problem.hint;
		snprintf(word.text, sizeof(word.text), "%s", problem.text);
	}
	file_write_all(3, &word, sizeof(word));
	if (session < 0)
		_exit(1);
	for (size_t i = 0; i < shared->count; i++) {
		int32_t fd = luo_take(session, shared->files[i].inode);

		file_write_all(3, &fd, sizeof(fd));
	}
	close(3);
	for (;;)
		pause();
}

static int read_all(int fd, void *data, size_t size)
{
	char *at = data;

	while (size) {
		ssize_t n = read(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Return 0 when the kernel has given back everything. */
static int see_all(const struct held *held, struct problem *problem)
{
	for (size_t i = 0; i < held->shared.count; i++)
		if (held->fds[i] < 0)
			return problem_set(problem, -held->fds[i], LOST,
					   "the kernel does not give back the shared memory %" PRIu64
					   " of %" PRIu64 " bytes", held->shared.files[i].inode,
					   held->shared.files[i].size);
	return 0;
}

static int listen_to(int fd, struct held *held, struct problem *problem)
{
	struct word word;
	int r = read_all(fd, &word, sizeof(word));

	if (r < 0 || word.error < 0) { /* it has nothing, and has ended */
		waitpid(held->holder, NULL, 0);
		held->holder = 0;
	}
	if (r < 0)
		return problem_set(problem, -r, NULL, "cannot hold the shared memory");
	if (word.error < 0) {
		word.text[sizeof(word.text) - 1] = '\0';
		return problem_set(problem, 0, word.hint ? word.hint : NOT_THERE,
				   "no shared memory is back: %.150s", word.text);
	}
	for (size_t i = 0; i < held->shared.count; i++) {
		int32_t got;

		held->fds[i] = read_all(fd, &got, sizeof(got)) < 0 ? -EPIPE : got;
	}
	return see_all(held, problem);
}

static int start_holder(struct held *held, const char *name, struct problem *problem)
{
	_cleanup_close_ int hear = -1;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return problem_set(problem, errno, NULL, "cannot make a pipe");
	hear = ends[0];
	held->holder = fork();
	if (held->holder == 0)
		hold(name, &held->shared, ends[1]);
	close(ends[1]);
	if (held->holder < 0) {
		held->holder = 0;
		return problem_set(problem, errno, NULL, "cannot hold the shared memory");
	}
	return listen_to(hear, held, problem);
}

/* For the plug-in, and for a later try. */
static int write_table(const struct held *held, struct problem *problem)
{
	_cleanup_file_ FILE *file = fopen(STATE_MEMFDS, "we");
	int r = file ? 0 : -1;

	for (size_t i = 0; r >= 0 && i < held->shared.count; i++)
		r = fprintf(file, "0 %" PRIu64 " %d %d\n", held->shared.files[i].inode, held->holder,
			    held->fds[i]);
	if (r >= 0 && fflush(file) == 0)
		return 0;
	return problem_set(problem, errno, NULL, "cannot write " STATE_MEMFDS);
}

/* Find the holder of a try before this one. Return whether there is one. */
static bool find_holder(struct held *held)
{
	_cleanup_file_ FILE *file = fopen(STATE_MEMFDS, "re");
	char path[32], name[32];
	uint64_t inode;
	int holder, fd;

	for (size_t i = 0; i < held->shared.count; i++) {
		if (!file || fscanf(file, "0 %" SCNu64 " %d %d ", &inode, &holder, &fd) != 3 ||
		    inode != held->shared.files[i].inode)
			return false;
		held->fds[i] = fd;
	}
	snprintf(path, sizeof(path), "/proc/%d/comm", holder);
	file_text(path, name, sizeof(name));
	if (strcmp(name, HOLDER))
		return false;
	held->holder = holder;
	return true;
}

/*
 * Take what is kept according to the record of the @session of /dev/pin_mem, and tell the plug-in of it.
 * Return 0, also when there is none, or a negative errno with @problem set; what was taken is held.
 */
int held_take(struct held *held, int session, const char *name, struct problem *problem)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	int r = pin_get(session, SHARED_RECORD, &text, problem);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = shared_read(&text, &held->shared, problem);
	if (r < 0 || !held->shared.count)
		return r;
	held->fds = calloc(held->shared.count, sizeof(*held->fds));
	if (!held->fds)
		return problem_set(problem, ENOMEM, NULL, "cannot take the shared memory");
	if (find_holder(held))
		return see_all(held, problem);
	r = start_holder(held, name, problem);
	if (held->holder) {
		struct problem second;
		int written = write_table(held, r < 0 ? &second : problem);

		r = r < 0 ? r : written;
	}
	return r;
}

static void holders_path(const struct held *held, size_t file, char path[64])
{
	snprintf(path, 64, "/proc/%d/fd/%d", held->holder, held->fds[file]);
}

/* See that each process has what was kept, wherever it had it before. */
int held_check(const struct held *held, struct problem *problem)
{
	for (size_t i = 0; i < held->shared.use_count; i++) {
		const struct shared_use *use = &held->shared.uses[i];
		struct stat kept;
		uint64_t inode = 0;
		dev_t device = 0;
		char path[64];

		holders_path(held, use->file, path);
		if (stat(path, &kept) < 0)
			return problem_set(problem, errno, NULL, "cannot look at %s", path);
		if (shared_inode_at(use, &device, &inode) == 0 && device == kept.st_dev &&
		    inode == kept.st_ino)
			continue;
		return problem_set(problem, 0, "it is kept: skuctl rescue; and CRIU may be one that sku.so "
				   "does not know",
				   "process %d does not have its shared memory at %s %#" PRIx64, use->pid,
				   use->mapped ? "address" : "descriptor", use->at);
	}
	return 0;
}

/* Write a file that is held to @to. */
int held_rescue(const struct held *held, size_t file, int to, struct problem *problem)
{
	_cleanup_close_ int from = -1;
	static char block[CHUNK];
	char path[64];
	ssize_t n = 0;
	int r = 0;

	holders_path(held, file, path);
	from = open(path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return problem_set(problem, errno, NULL, "cannot open %s", path);
	while (r == 0 && (n = read(from, block, sizeof(block))) > 0)
		r = file_write_all(to, block, (size_t)n);
	if (n < 0)
		r = -errno;
	return r < 0 ? problem_set(problem, -r, "give a directory with more room",
				   "cannot copy shared memory") : 0;
}

/* Nobody needs to hold it any more: the application has it, or it is given up. */
void held_end(struct held *held)
{
	if (held->holder) {
		kill(held->holder, SIGKILL);
		waitpid(held->holder, NULL, 0); /* if it is ours */
	}
	held->holder = 0;
	unlink(STATE_MEMFDS);
}

void held_free(struct held *held)
{
	free(held->fds);
	shared_free(&held->shared);
	*held = (struct held){ 0 };
}
