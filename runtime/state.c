// SPDX-License-Identifier: GPL-2.0-only
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "journal.h"

/* Read the state without its lock. Return whether there is one. */
static bool look(struct state *state)
{
	_cleanup_close_ int fd = open(STATE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && read(fd, state, sizeof(*state)) == sizeof(*state) &&
	       state->magic == STATE_MAGIC && state->version == STATE_VERSION;
}

/* Return whether the kernel that is loaded, if one is, is one that skuctl has loaded. */
bool state_loaded(void)
{
	struct state state;

	return look(&state) && state.loaded;
}

/* Return whether a kernel that skuctl has loaded takes memfds from this one. */
bool state_takes(void)
{
	struct state state;

	return look(&state) && state.loaded && state.takes;
}

static int lock(int fd, struct problem *problem)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return problem_set(problem, errno == EWOULDBLOCK ? EBUSY : errno,
			   "wait for the update that is running, or end it with skuctl undo",
			   "cannot begin an update");
}

/*
 * Map the state, and hold its lock for as long as @fd is open in anybody; with @create from scratch,
 * but for the kernel that is loaded.
 * Return NULL with the problem set: ENOENT when there is none, EBUSY when somebody has the lock.
 */
struct state *state_open(bool create, int *fd, struct problem *problem)
{
	_cleanup_close_ int file = -1;
	bool loaded = state_loaded();
	bool takes = state_takes();
	struct stat about;
	struct state *state;

	if (create && mkdir(STATE_DIRECTORY, 0700) < 0 && errno != EEXIST) {
		problem_set(problem, errno, NULL, "cannot make " STATE_DIRECTORY);
		return NULL;
	}
	file = open(STATE_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	if (file < 0) {
		problem_set(problem, errno, NULL, "cannot open " STATE_FILE);
		return NULL;
	}
	if (lock(file, problem) < 0)
		return NULL;
	if ((create && ftruncate(file, sizeof(*state)) < 0) || fstat(file, &about) < 0) {
		problem_set(problem, errno, NULL, "cannot use " STATE_FILE);
		return NULL;
	}
	if (about.st_size != sizeof(*state)) {
		problem_set(problem, 0, "remove it", STATE_FILE " is of another version");
		return NULL;
	}
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (state == MAP_FAILED) {
		problem_set(problem, errno, NULL, "cannot map " STATE_FILE);
		return NULL;
	}
	if (create) {
		*state = (struct state){ .magic = STATE_MAGIC, .version = STATE_VERSION,
					 .updater = getpid(), .loaded = loaded,
					 .takes = takes };
	} else if (state->magic != STATE_MAGIC || state->version != STATE_VERSION) {
		problem_set(problem, 0, "remove it", STATE_FILE " is of another version");
		munmap(state, sizeof(*state));
		return NULL;
	}
	*fd = file;
	file = -1;
	return state;
}

/*
 * Ask the update that is running to undo itself, unless it is @told, who was asked before. Return
 * who was asked. It has the lock, so the number in the state is its own.
 */
pid_t state_interrupt(pid_t told)
{
	struct state state;

	if (!look(&state) || state.updater <= 1 || state.updater == told)
		return told;
	kill(state.updater, SIGTERM);
	return state.updater;
}

/* Say what goes on in one word; NULL for nothing. */
void state_show(const char *phase)
{
	_cleanup_close_ int fd = -1;

	journal_phase(phase);
	if (!phase) {
		unlink(STATE_STATUS);
		return;
	}
	fd = open(STATE_STATUS, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0)
		dprintf(fd, "%s\n", phase);
}

/* Return the milliseconds of CLOCK_MONOTONIC. */
uint64_t state_now_ms(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
