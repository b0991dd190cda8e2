// SPDX-License-Identifier: GPL-2.0-only
/* Keep the shared memory for the next kernel. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "luo.h"
#include "memfds.h"
#include "pin.h"
#include "state.h"

#define MIB 1048576.0

static const char not_here[] = "this kernel has no live update of its own (Linux 7.3, CONFIG_LIVEUPDATE, "
			       "liveupdate=on)";
static const char not_next[] = "the next kernel does not take memfds from this one (CONFIG_LIVEUPDATE, "
			       "liveupdate=on)";
static const char refused[] = "the kernel's live update has refused it";
static const char is_busy[] = "another program has " LUO_DEVICE " open";
static const char taken[] = "another program keeps it by the kernel's live update";

/*
 * Make a session, when this kernel has such a thing and @next_takes what is in it. The device is open no
 * longer than that takes; whoever else has it open keeps it, and everything is copied.
 */
void keeping_begin(struct keeping *keeping, const char *name, bool next_takes)
{
	struct problem problem;

	unlink(STATE_MEMFDS); /* of an update before this one */
	if (access(LUO_DEVICE, F_OK) < 0) {
		snprintf(keeping->why, sizeof(keeping->why), "%s", not_here);
		return;
	}
	if (!next_takes) {
		snprintf(keeping->why, sizeof(keeping->why), "%s", not_next);
		return;
	}
	keeping->session = luo_create(name, &problem);
	if (keeping->session < 0)
		snprintf(keeping->why, sizeof(keeping->why), "%.*s", SHARED_WHY_SIZE - 1, problem.text);
}

static void close_session(struct keeping *keeping)
{
	if (keeping->session >= 0)
		close(keeping->session);
	keeping->session = -1;
}

static void preserve(struct keeping *keeping, size_t index)
{
	struct shared *shared = &keeping->shared;
	_cleanup_close_ int fd = shared_open(shared, index);
	int r = fd < 0 ? fd : luo_preserve(keeping->session, fd, shared->files[index].inode);

	if (r < 0)
		shared_copy(shared, index, r == -EBUSY ? taken : refused);
}

/* Tell the plug-in what is not to be dumped. */
static int tell(const struct shared *shared, struct problem *problem)
{
	_cleanup_file_ FILE *file = fopen(STATE_MEMFDS, "we");
	int r = file ? 0 : -1;

	for (size_t i = 0; r >= 0 && i < shared->count; i++)
		if (!shared->files[i].copied)
			r = fprintf(file, "%" PRIu64 " %" PRIu64 " 0 0\n", (uint64_t)shared->device,
				    shared->files[i].inode);
	if (r >= 0 && fflush(file) == 0)
		return 0;
	return problem_set(problem, errno, NULL, "cannot write " STATE_MEMFDS);
}

/* All @tasks stand still, and nothing is dumped yet: keep what can be kept, and say what is copied. */
int keeping_take(struct keeping *keeping, const struct tasks *tasks, struct problem *problem)
{
	struct shared *shared = &keeping->shared;
	int r = shared_gather(tasks, shared, problem);

	if (r < 0)
		return r;
	for (size_t i = 0; keeping->session >= 0 && i < shared->count; i++)
		if (!shared->files[i].copied)
			preserve(keeping, i);
	shared_sum(shared, keeping->session < 0 ? keeping->why : NULL);
	/* The next kernel need not get a session with nothing in it. */
	if (keeping->session >= 0 && !shared_kept_bytes(shared))
		close_session(keeping);
	if (shared->copied_bytes >= SHARED_MIN_BYTES)
		fprintf(stderr, "skuctl: %.1f MiB of shared memory are copied: %s\n",
			(double)shared->copied_bytes / MIB, shared->why);
	r = shared_stuck(shared, problem);
	return r < 0 ? r : tell(shared, problem);
}

/* Make a record of it, if there is any. */
int keeping_seal(const struct keeping *keeping, int session, struct problem *problem)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	_cleanup_shared_ struct shared again = { 0 };
	int r;

	if (!keeping->shared.count)
		return 0;
	r = shared_write(&keeping->shared, &text, problem);
	/* What the next kernel would refuse is refused while there is a way back. */
	if (r == 0)
		r = shared_read(&text, &again, problem);
	return r < 0 ? r : pin_put(session, SHARED_RECORD, text.data, text.used, problem);
}

/* The application keeps its files: those that were frozen are as they were. */
void keeping_end(struct keeping *keeping)
{
	close_session(keeping);
	unlink(STATE_MEMFDS);
	shared_free(&keeping->shared);
}

/*
 * Foresee what would become of the shared memory of @tasks; nothing is touched. Return 0 or a negative
 * errno, with @problem set, also when it would not come back.
 */
int keeping_foresee(const struct tasks *tasks, bool next_takes, bool next_is_known,
		    struct shared *shared, struct problem *problem)
{
	char busy[SHARED_WHY_SIZE];
	const char *why = NULL;
	pid_t opener;
	int r = shared_gather(tasks, shared, problem);

	if (r < 0)
		return r;
	if (access(LUO_DEVICE, F_OK) < 0) {
		why = not_here;
	} else if (next_is_known && !next_takes) {
		why = not_next;
	} else if ((opener = luo_opener(LUO_DEVICE))) {
		snprintf(busy, sizeof(busy), "process %d has " LUO_DEVICE " open", opener);
		why = busy;
	}
	shared_sum(shared, why);
	r = shared_stuck(shared, problem);
	/* It is in @busy, which ends here. */
	for (size_t i = 0; i < shared->count; i++)
		if (shared->files[i].copied == busy)
			shared->files[i].copied = is_busy;
	return r;
}

/* Say on standard output what keeping_foresee() has found. */
void keeping_say(const struct shared *shared)
{
	if (shared_kept_bytes(shared))
		printf("%.1f MiB of shared memory stay in place\n",
		       (double)shared_kept_bytes(shared) / MIB);
	if (shared->copied_bytes >= SHARED_MIN_BYTES)
		printf("%.1f MiB of shared memory will be copied: %s\n",
		       (double)shared->copied_bytes / MIB, shared->why);
}
