// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any two commands of the shell as the freezer: one that writes the application down and stops or
 * ends it, one that brings it back. Memory is what they make of it: nothing is kept in place.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buffer.h"
#include "child.h"
#include "cleanup.h"
#include "freezer.h"
#include "tasks.h"

#define FREEZE_LOG STATE_DIRECTORY "/dump.log"
#define RESTORE_LOG STATE_DIRECTORY "/restore.log"
#define CHECK_TIMEOUT_MS 10000
#define RESTORE_TIMEOUT_MS 600000
#define POLL_MS 50

/* What the command says goes to a file, which whatever it leaves running may keep open. */
static pid_t start(const char *command, pid_t pid, const char *log, struct problem *problem)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	char variable[32];
	const char *const environment[] = { variable, "SKU_IMAGES=" STATE_IMAGES, NULL };
	_cleanup_close_ int said = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	snprintf(variable, sizeof(variable), "SKU_PID=%d", pid);
	return child_start(argv, environment, said, problem);
}

/* Wait for the command, as long as @freezing, or else the time-out, lets it go on. */
static int finish(pid_t command, struct freezing *freezing, const char *what, const char *log,
		  struct problem *problem)
{
	_cleanup_close_ int process = (int)syscall(SYS_pidfd_open, command, 0);
	struct pollfd polled = { .fd = process, .events = POLLIN };
	uint64_t late_ms = state_now_ms() + RESTORE_TIMEOUT_MS;
	int status;
	int r = process < 0 ? problem_set(problem, errno, NULL, "cannot watch the %s command", what) : 0;

	while (r == 0 && poll(&polled, 1, POLL_MS) <= 0) {
		if (freezing)
			r = freezing->may_go_on(freezing);
		else if (state_now_ms() > late_ms)
			r = problem_set(problem, ETIMEDOUT, "it must not wait for the application",
					"the %s command did not end in %d ms", what,
					RESTORE_TIMEOUT_MS);
	}
	if (r < 0 && freezing)
		return r; /* who undoes it lets it come to its end */
	if (r < 0)
		kill(-command, SIGKILL);
	while (waitpid(command, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return r;
	return problem_set(problem, 0, log, "the %s command failed with status %d; what it said is in "
			   "the file below", what,
			   WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static int check_syntax(const char *what, const char *command, struct problem *problem)
{
	const char *const argv[] = { "sh", "-n", "-c", command, NULL };
	_cleanup_buffer_ struct buffer said = { 0 };
	int r = child_run(argv, &said, CHECK_TIMEOUT_MS, problem);

	if (r <= 0)
		return r;
	return problem_set(problem, 0, "try it by hand", "the shell does not understand the %s command: "
			   "%.*s", what, said.used > 100 ? 100 : (int)said.used,
			   said.data ? said.data : "");
}

/* What the commands do is known when they have done it; that they are none is known before. */
static int check(const struct freezing *freezing, struct problem *problem)
{
	int r = check_syntax("freeze", freezing->freeze_command, problem);

	return r < 0 ? r : check_syntax("restore", freezing->restore_command, problem);
}

static int freeze(struct freezing *freezing)
{
	pid_t command;
	int r;

	freezing->state->touched = true;
	command = start(freezing->freeze_command, freezing->pid, FREEZE_LOG, freezing->problem);
	if (command < 0)
		return command;
	freezing->state->helper = command;
	r = finish(command, freezing, "freeze", "see " FREEZE_LOG, freezing->problem);
	if (r == 0 || freezing->problem->error == 0)
		freezing->state->helper = 0;
	return r;
}

static int restore(const char *command, pid_t pid, struct problem *problem)
{
	pid_t child = start(command, pid, RESTORE_LOG, problem);

	return child < 0 ? child : finish(child, NULL, "restore", "see " RESTORE_LOG, problem);
}

/* A freeze that left the processes there is undone by letting them run. */
static int undo(struct state *state, struct problem *problem)
{
	int now = tasks_state(state->application);

	if (!state->touched || (now > 0 && now != 'Z'))
		return 0;
	return restore(state->restore_command, state->application, problem);
}

const struct freezer freezer_command = {
	.name = "command",
	.program = "sh",
	.check = check,
	.freeze = freeze,
	.undo = undo,
	.restore = restore,
};
