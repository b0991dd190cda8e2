// SPDX-License-Identifier: GPL-2.0-only
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_MAX 65536 /* what is kept of it */
#define ENVIRONMENT_MAX 8

static char path_variable[] = "PATH=" CHILD_PATH;

static int spawn(pid_t *pid, const char *const argv[], char *const environment[], int output)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int r;

	/* A group of its own: a signal of the terminal is not for it. */
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (output >= 0) {
		posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
		posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	}
	r = posix_spawnp(pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv,
			 environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return r;
}

/*
 * Start a program that is looked for on the PATH, with nothing but that and @environment (NULL, or
 * words NAME=VALUE), and with @output as its standard output and error unless that is -1. Return
 * its pid or a negative errno.
 */
pid_t child_start(const char *const argv[], const char *const environment[], int output,
		  struct problem *problem)
{
	char *words[ENVIRONMENT_MAX + 2] = { path_variable };
	pid_t pid;
	int r;

	for (size_t i = 0; environment && environment[i] && i < ENVIRONMENT_MAX; i++)
		words[i + 1] = (char *)(uintptr_t)environment[i];
	/* It is our own PATH that posix_spawnp() goes by, and the first process has none. */
	setenv("PATH", CHILD_PATH, 1);
	r = spawn(&pid, argv, words, output);
	if (r)
		return problem_set(problem, r, r == ENOENT ? "install it" : NULL, "cannot run %s",
				   argv[0]);
	return pid;
}

static int remaining_ms(const struct timespec *begin, unsigned int timeout_ms)
{
	struct timespec now;
	long long gone_ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	gone_ms = (now.tv_sec - begin->tv_sec) * 1000LL + (now.tv_nsec - begin->tv_nsec) / 1000000;
	return gone_ms >= timeout_ms ? 0 : (int)(timeout_ms - gone_ms);
}

/* Read what there is; the end of the pipe is no news. */
static void collect(int fd, struct buffer *output)
{
	char text[4096];
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0)
		if (output && output->used < OUTPUT_MAX)
			buffer_add(output, text, (size_t)n);
}

/* Wait until the program has ended, whoever still holds its output. Return false at the time-out. */
static bool follow(int program, int fd, struct buffer *output, unsigned int timeout_ms)
{
	struct pollfd polled[] = { { .fd = program, .events = POLLIN },
				   { .fd = fd, .events = POLLIN } };
	struct timespec begin;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (;;) {
		int r = poll(polled, 2, remaining_ms(&begin, timeout_ms));

		if (r == 0)
			return false;
		if (r > 0 && polled[1].revents)
			collect(fd, output);
		if (r > 0 && polled[1].revents & POLLHUP)
			polled[1].fd = -1;
		if (r > 0 && polled[0].revents)
			return true;
	}
}

/*
 * Run a program to its end; what it says is added to @output, unless that is NULL. Return its exit
 * status, 128 and the signal that ended it, or a negative errno: -ETIMEDOUT when it was killed for
 * taking longer than @timeout_ms.
 */
int child_run(const char *const argv[], struct buffer *output, unsigned int timeout_ms,
	      struct problem *problem)
{
	_cleanup_close_ int program = -1;
	_cleanup_close_ int said = -1;
	bool ended = false;
	int status = 0;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return problem_set(problem, errno, NULL, "cannot make a pipe");
	said = ends[0];
	fcntl(said, F_SETFL, O_NONBLOCK);
	pid = child_start(argv, NULL, ends[1], problem);
	close(ends[1]);
	if (pid < 0)
		return pid;
	program = (int)syscall(SYS_pidfd_open, pid, 0);
	if (program >= 0)
		ended = follow(program, said, output, timeout_ms);
	if (!ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	collect(said, output);
	if (!ended)
		return problem_set(problem, ETIMEDOUT, NULL, "%s did not end in %u ms", argv[0],
				   timeout_ms);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
