// SPDX-License-Identifier: GPL-2.0-only
#include "shell.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

static void __attribute__((noreturn)) become_shell(const char *command, int output)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(null, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	setenv("PATH", CHILD_PATH, 1);
	setenv("HOME", "/root", 1);
	execl("/bin/sh", "sh", "-c", command, NULL);
	dprintf(STDERR_FILENO, "cannot run /bin/sh: %s\n", strerror(errno));
	_exit(127);
}

/* Start @command with the shell. Return 0 or a negative errno, with @problem set. */
int shell_start(struct shell *shell, const char *command, struct problem *problem)
{
	int ends[2];

	if (shell->pid)
		return problem_set(problem, EBUSY, "wait for its event 'ran'",
				   "cannot run a second command");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return problem_set(problem, errno, NULL, "cannot make a pipe");
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	shell->pid = fork();
	if (shell->pid == 0)
		become_shell(command, ends[1]);
	close(ends[1]);
	if (shell->pid < 0) {
		int error = errno;

		shell->pid = 0;
		close(ends[0]);
		return problem_set(problem, error, NULL, "cannot run a command");
	}
	shell->output = ends[0];
	shell->used = 0;
	return 0;
}

/*
 * Take some of what the command has said. One read, as a command may say more for as long as it is
 * listened to. Return how many bytes came; 0 or less when there is nothing.
 */
ssize_t shell_listen(struct shell *shell)
{
	ssize_t n;

	if (shell->output < 0)
		return 0;
	if (shell->used == sizeof(shell->text)) {
		memmove(shell->text, shell->text + SHELL_OUTPUT_SIZE, SHELL_OUTPUT_SIZE);
		shell->used = SHELL_OUTPUT_SIZE;
	}
	n = read(shell->output, shell->text + shell->used, sizeof(shell->text) - shell->used);
	if (n == 0) {
		close(shell->output);
		shell->output = -1;
	}
	if (n > 0)
		shell->used += (size_t)n;
	return n;
}

/*
 * The shell itself has ended, with @wait_status as of waitpid(), whatever it has started and left
 * behind: point to the last of what was said, which stays until the next start. Return the exit
 * status, or 128 and the signal that ended it.
 */
int shell_end(struct shell *shell, int wait_status, const char **text, size_t *size)
{
	int left = 0;
	ssize_t n;

	/* What is in the pipe now: who was left behind may go on for ever. */
	if (shell->output >= 0)
		ioctl(shell->output, FIONREAD, &left);
	while (left > 0 && (n = shell_listen(shell)) > 0)
		left -= (int)n;
	if (shell->output >= 0)
		close(shell->output);
	shell->pid = 0;
	*size = shell->used < SHELL_OUTPUT_SIZE ? shell->used : SHELL_OUTPUT_SIZE;
	*text = shell->text + shell->used - *size;
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
