// SPDX-License-Identifier: GPL-2.0-only
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "undo.h"

/* An update that is so late is stuck in a system call: it cannot see its own deadline. */
#define GRACE_MS 10000
#define POLL_MS 1000

static void __attribute__((noreturn)) watch(struct state *state, int rope, int session)
{
	struct pollfd end = { .fd = rope }; /* no event: POLLHUP comes without being asked for */

	for (;;) {
		int r = poll(&end, 1, POLL_MS);

		if (r > 0 || (r < 0 && errno != EINTR))
			break;
		if (state->deadline_ms && state_now_ms() > state->deadline_ms + GRACE_MS)
			kill(state->updater, SIGKILL);
	}
	_exit(undo(state, session) ? 1 : 0);
}

/*
 * Start the guard. It holds @session too, so that the memory comes back when the guard says so and
 * not before CRIU is gone.
 */
int guard_start(struct guard *guard, struct state *state, int session, struct problem *problem)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return problem_set(problem, errno, NULL, "cannot make a pipe");
	guard->pid = fork();
	if (guard->pid < 0) {
		int error = errno;

		close(ends[0]);
		close(ends[1]);
		return problem_set(problem, error, NULL, "cannot start the guard");
	}
	if (guard->pid == 0) {
		close(ends[1]);
		setsid();
		watch(state, ends[0], session);
	}
	close(ends[0]);
	guard->rope = ends[1];
	return 0;
}

/* Have the guard undo everything. Return 0 when it could, or -EIO. */
int guard_let_go(struct guard *guard)
{
	int status = 0;

	close(guard->rope);
	while (waitpid(guard->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}
