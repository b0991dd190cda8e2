// SPDX-License-Identifier: GPL-2.0-only
#include "undo.h"

#include <errno.h>
#include <linux/kexec.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "freeze.h"
#include "freezer.h"
#include "haste.h"
#include "images.h"
#include "kexec.h"
#include "silence.h"
#include "tasks.h"
#include "tcp.h"
#include "wake.h"

#define HELPER_PATIENCE_MS 15000
#define POLL_MS 5

static bool is_helper(pid_t pid, const struct freezer *freezer)
{
	char path[32];
	char name[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file_text(path, name, sizeof(name));
	return freezer && !strcmp(name, freezer->program) && tasks_state(pid) != 'Z';
}

/*
 * CRIU gives up by itself once nobody answers its plug-in, and lets go of the tasks in good order.
 * A kill could leave one with the code that CRIU has put into it, so it is what comes last; and a
 * command that is cut short leaves nobody knows what.
 */
static int end_helper(struct state *state, const struct freezer *freezer)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
	unsigned int waited = 0;

	while (state->helper > 0 && is_helper(state->helper, freezer)) {
		if (waited >= 2 * HELPER_PATIENCE_MS)
			return -ETIMEDOUT;
		/* It leads a group: what a command of the shell has started goes with it. */
		if (waited == HELPER_PATIENCE_MS)
			kill(-state->helper, SIGKILL);
		nanosleep(&pause, NULL);
		waited += POLL_MS;
	}
	state->helper = 0;
	return 0;
}

/*
 * Memfds that are kept for the next kernel cannot change their size; they are let go of when skuctl closes
 * their session, or when it has ended.
 */
static void wait_for_memfds(const struct state *state)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };

	for (unsigned int waited = 0; state->keeping && waited < HELPER_PATIENCE_MS; waited += POLL_MS) {
		int letter = tasks_state(state->updater);

		if (letter < 0 || letter == 'Z')
			break;
		nanosleep(&pause, NULL);
	}
	unlink(STATE_MEMFDS);
}

/* Print what went wrong, and count it. */
static int told(int r, const struct problem *problem)
{
	if (r < 0)
		problem_print(problem);
	return r < 0;
}

/* Tasks that were stopped, sockets in repair mode, and the packets that were kept from them. */
static int release(struct state *state)
{
	_cleanup_tasks_ struct tasks tasks = { 0 };
	struct waking waking = WAKING_NONE;
	struct problem problem;
	int failed = 0;

	if (state->touched && tasks_state(state->application) > 0) {
		failed += told(tasks_gather(state->application, &tasks, &problem), &problem);
		failed += told(tcp_repair_off(tasks.pids, tasks.count, &problem), &problem);
	}
	if (state->silent || state->touched)
		failed += told(silence_off(&problem), &problem);
	/* Clients find out by themselves as well, later. */
	if (state->hushed && wake(&waking, tasks.pids, tasks.count, &problem) < 0)
		problem_print(&problem);
	tasks_continue(&tasks);
	wake_missing(&waking);
	return failed;
}

/*
 * Undo an update that has not jumped: the application has its memory, its connections and its
 * threads as they were, and nothing of the update is left. What fails is printed, and the rest is
 * done nevertheless. @session is closed; that gives the memory back. Return how much failed.
 */
int undo(struct state *state, int session)
{
	const struct freezer *freezer = freezer_find(state->freezer);
	struct problem problem;
	int failed = 0;

	if (end_helper(state, freezer) < 0)
		failed += told(problem_set(&problem, ETIMEDOUT, "end it by hand",
					   "%s (pid %d) does not end", freezer->program,
					   state->helper), &problem);
	if (session >= 0)
		close(session);
	wait_for_memfds(state);
	if (state->frozen)
		freeze_thaw();
	if (freezer && freezer->undo)
		failed += told(freezer->undo(state, &problem), &problem);
	failed += release(state);
	if (state->hasty)
		haste_off();
	if (state->reserved && access(PID_RESERVE_NEXT, F_OK) == 0)
		failed += told(file_put(PID_RESERVE_NEXT, "\n", &problem), &problem);
	if (state->loaded)
		failed += told(kexec_unload(&problem), &problem);
	images_remove();
	state_show(NULL);
	if (!failed)
		*state = (struct state){ .magic = STATE_MAGIC, .version = STATE_VERSION };
	return failed;
}
