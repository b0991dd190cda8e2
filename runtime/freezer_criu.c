// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stock CRIU as the freezer. It is started ahead of time, both ways, and held before it touches
 * anything, so that running it, linking it and its look at the kernel cost no client's time.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "cleanup.h"
#include "freezer.h"
#include "images.h"
#include "plugin_journal.h"
#include "plugin_memfds.h"

#define PLUGIN_DIRECTORY "/usr/lib/sku/criu"
#define PLUGIN PLUGIN_DIRECTORY "/sku.so"
/* For the sake of what it answers in the C library's place. */
#define PRELOADED "LD_PRELOAD=" PLUGIN, PLUGIN_MEMFDS "=" STATE_MEMFDS
#define DUMP_LOG STATE_DIRECTORY "/dump.log"
#define RESTORE_LOG STATE_DIRECTORY "/restore.log"
#define FIRST_IMAGE STATE_IMAGES "/inventory.img"
/* They are the next init's, which starts no service in a cgroup that somebody is in. */
#define CGROUPS_LEFT "--manage-cgroups=ignore"
#define CHECK_TIMEOUT_MS 30000
#define RESTORE_TIMEOUT_MS 600000
#define POLL_MS 50

/* The one that runs; an update has no more than one. */
static struct {
	pid_t pid;
	int process;  /* readable when it has ended */
	int listener; /* for its plug-in */
	int held;     /* what it waits for a word on */
	int status;   /* of one that has ended, as of waitpid(2) */
} criu = { .process = -1, .listener = -1, .held = -1 };

/* What it does next. */
enum event {
	NOTHING,
	HELD,  /* it is ready, and waits for let_go() */
	ASKS,  /* its plug-in has stopped a process */
	ENDED, /* criu.status says how */
};

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int listen_for_plugin(struct problem *problem)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = STATE_SOCKET };

	unlink(STATE_SOCKET);
	criu.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (criu.listener < 0 ||
	    bind(criu.listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(criu.listener, 1) < 0)
		return problem_set(problem, errno, NULL, "cannot listen on " STATE_SOCKET);
	return 0;
}

static int run(const char *const argv[], const char *const environment[], int output,
	       struct problem *problem)
{
	pid_t pid = child_start(argv, environment, output, problem);

	if (pid < 0)
		return pid;
	criu.pid = pid;
	criu.process = (int)syscall(SYS_pidfd_open, pid, 0);
	return criu.process < 0 ? problem_set(problem, errno, NULL, "cannot watch criu") : 0;
}

/* Take note of its end, for which it is waited. Return 1 or a negative errno. */
static int reap(struct problem *problem)
{
	while (waitpid(criu.pid, &criu.status, 0) < 0)
		if (errno != EINTR)
			return problem_set(problem, errno, NULL, "cannot wait for criu");
	criu.pid = 0;
	close_one(&criu.process);
	return 1;
}

static int receive(int fd, void *data, size_t size, struct problem *problem)
{
	ssize_t n;

	do
		n = recv(fd, data, size, MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)size)
		return 0;
	return problem_set(problem, n < 0 ? errno : EPIPE, NULL, "cannot understand CRIU's plug-in");
}

/* Take a call of the plug-in: *fd is the caller's to answer and close, unless it is held. */
static int take_call(int *fd, struct plugin_stopped *stopped, struct problem *problem)
{
	int r;

	*fd = accept4(criu.listener, NULL, NULL, SOCK_CLOEXEC);
	if (*fd < 0)
		return problem_set(problem, errno, NULL, "cannot talk to CRIU's plug-in");
	r = receive(*fd, stopped, sizeof(*stopped), problem);
	if (r < 0)
		return r;
	if (stopped->pid == PLUGIN_READY) {
		close_one(&criu.held);
		criu.held = *fd;
		*fd = -1;
		return HELD;
	}
	return ASKS;
}

/* Wait for what it does, a moment. Return an enum event or a negative errno. */
static int next_event(int *fd, struct plugin_stopped *stopped, struct problem *problem)
{
	struct pollfd polled[] = {
		{ .fd = criu.listener, .events = POLLIN },
		{ .fd = criu.process, .events = POLLIN },
	};
	int r;

	if (poll(polled, 2, POLL_MS) < 0 && errno != EINTR)
		return problem_set(problem, errno, NULL, "cannot wait for criu");
	if (polled[0].revents & POLLIN)
		return take_call(fd, stopped, problem);
	if (!(polled[1].revents & POLLIN))
		return NOTHING;
	r = reap(problem);
	if (r < 0)
		return r;
	close_one(&criu.listener);
	unlink(STATE_SOCKET);
	return ENDED;
}

static int answer(int fd, int result, struct problem *problem)
{
	const struct plugin_answer told = { .result = result };

	if (send(fd, &told, sizeof(told), MSG_NOSIGNAL) < 0 && result == 0)
		return problem_set(problem, errno, NULL, "CRIU has ended too early");
	return result;
}

static int let_go(struct problem *problem)
{
	int r = answer(criu.held, 0, problem);

	close_one(&criu.held);
	return r;
}

static int failed(const char *what, const char *log, const char *hint, struct problem *problem)
{
	char said[160];

	images_last_error(log, said, sizeof(said));
	if (WIFSIGNALED(criu.status))
		return problem_set(problem, 0, NULL, "criu %s was killed by signal %d", what,
				   WTERMSIG(criu.status));
	return problem_set(problem, 0, hint, "criu %s failed with status %d: %s", what,
			   WEXITSTATUS(criu.status), said);
}

static bool succeeded(void)
{
	return WIFEXITED(criu.status) && WEXITSTATUS(criu.status) == 0;
}

/* Run before the freeze also because it fills the caches that the dump then finds warm. */
static int check(const struct freezing *freezing, struct problem *problem)
{
	static const char *const argv[] = { "criu", "check", NULL };
	_cleanup_buffer_ struct buffer said = { 0 };
	int r;

	(void)freezing;
	if (access(PLUGIN, R_OK) < 0)
		return problem_set(problem, errno, "install it there", "cannot read " PLUGIN);
	r = child_run(argv, &said, CHECK_TIMEOUT_MS, problem);
	if (r <= 0)
		return r;
	return problem_set(problem, 0, "build the kernel with the fragment checkpoint",
			   "criu check is not content: %.*s", said.used > 160 ? 160 : (int)said.used,
			   said.data ? said.data : "");
}

static int take_stopped(struct freezing *freezing, int fd, const struct plugin_stopped *stopped)
{
	struct plugin_area *spared;
	int r;

	if (stopped->areas > PLUGIN_AREAS_MAX)
		return problem_set(freezing->problem, E2BIG, NULL,
				   "cannot understand CRIU's plug-in");
	spared = calloc(stopped->areas + 1, sizeof(*spared));
	if (!spared)
		return problem_set(freezing->problem, ENOMEM, NULL, "cannot take the memory");
	r = receive(fd, spared, stopped->areas * sizeof(*spared), freezing->problem);
	if (r == 0)
		r = freezing->stopped(freezing, stopped->pid, spared, stopped->areas);
	free(spared);
	return r;
}

/* Serve the plug-in until CRIU is where it is @wanted. */
static int follow(struct freezing *freezing, enum event wanted)
{
	for (;;) {
		_cleanup_close_ int fd = -1;
		struct plugin_stopped stopped;
		int r = freezing->may_go_on(freezing);

		if (r == 0)
			r = next_event(&fd, &stopped, freezing->problem);
		if (r == ENDED)
			freezing->state->helper = 0;
		if (r < 0 || (r == ENDED && wanted == ENDED && succeeded()))
			return r < 0 ? r : 0;
		if (r == ENDED)
			return failed("dump", DUMP_LOG, "see what of the application CRIU cannot dump: "
				      "criu dump by hand, on a test machine", freezing->problem);
		if (r == HELD && wanted == HELD)
			return 0;
		/* Nothing is stopped before it is let go. */
		if (r == ASKS && wanted == HELD)
			return problem_set(freezing->problem, 0, NULL, "CRIU did not wait for its turn");
		if (r == ASKS) {
			r = answer(fd, take_stopped(freezing, fd, &stopped), freezing->problem);
			if (r < 0)
				return r;
		}
	}
}

static int begin_freeze(struct freezing *freezing)
{
	char pid[16];
	const char *const argv[] = {
		"criu",		       "dump",
		"--tree",	       pid,
		"--images-dir",	       STATE_IMAGES,
		"--log-file",	       DUMP_LOG,
		"--leave-stopped",     "--tcp-established",
		"--network-lock",      "nftables",
		"--libdir",	       PLUGIN_DIRECTORY,
		"--file-locks",	       CGROUPS_LEFT,
		NULL,
	};
	const char *const environment[] = { PLUGIN_SOCKET "=" STATE_SOCKET, PRELOADED,
					    freezing->unit ? PLUGIN_UNIT "=1" : NULL, NULL };
	int r = listen_for_plugin(freezing->problem);

	snprintf(pid, sizeof(pid), "%d", freezing->pid);
	freezing->state->touched = true;
	if (r == 0)
		r = run(argv, environment, -1, freezing->problem);
	freezing->state->helper = criu.pid;
	return r < 0 ? r : follow(freezing, HELD);
}

static int freeze(struct freezing *freezing)
{
	int r = let_go(freezing->problem);

	return r < 0 ? r : follow(freezing, ENDED);
}

/* Without anybody to talk to it gives up. */
static void abandon_freeze(void)
{
	close_one(&criu.held);
	close_one(&criu.listener);
}

static int start_restore(struct problem *problem)
{
	static const char *const argv[] = {
		"criu",		      "restore",
		"--images-dir",	      STATE_IMAGES,
		"--log-file",	      RESTORE_LOG,
		"--restore-detached", "--leave-stopped",
		"--tcp-established",  "--file-locks",
		"--libdir",	      PLUGIN_DIRECTORY,
		CGROUPS_LEFT,	      NULL,
	};
	static const char *const environment[] = { PRELOADED, NULL };
	_cleanup_close_ int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	return run(argv, environment, nowhere, problem);
}

static void abandon_restore(void)
{
	struct problem problem;

	if (criu.pid > 0) {
		kill(criu.pid, SIGKILL);
		reap(&problem);
	}
	if (criu.held >= 0)
		unlink(FIRST_IMAGE);
	close_one(&criu.held);
}

/*
 * The image that CRIU reads first is a fifo, and to open it is to wait for us. So it is held after
 * it has had its look at the kernel, where no plug-in could hold it.
 */
static void begin_restore(void)
{
	struct problem problem;

	if (mkfifo(FIRST_IMAGE, 0600) == 0)
		criu.held = open(FIRST_IMAGE, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	/* What is wrong is told when it is tried again. */
	if (criu.held >= 0 && start_restore(&problem) < 0)
		abandon_restore();
}

/* Wait for its end, @wait_ms at most. Return 1 for the end, 0 when it goes on, a negative errno. */
static int has_ended(int wait_ms, struct problem *problem)
{
	struct pollfd polled = { .fd = criu.process, .events = POLLIN };

	int r;

	do
		r = poll(&polled, 1, wait_ms);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return problem_set(problem, errno, NULL, "cannot wait for criu");
	return r ? reap(problem) : 0;
}

static int pass_on(int fifo, struct problem *problem)
{
	_cleanup_close_ int image = open(FIRST_IMAGE, O_RDONLY | O_CLOEXEC);
	char data[PIPE_BUF]; /* what a fifo takes at once */
	ssize_t size = image < 0 ? -1 : read(image, data, sizeof(data));

	if (size > 0 && size < (ssize_t)sizeof(data) && write(fifo, data, (size_t)size) == size)
		return 0;
	return problem_set(problem, size < 0 ? errno : EFBIG, NULL, "cannot pass on " FIRST_IMAGE);
}

/*
 * Put the first image where the fifo was, once that has been opened, and give it to who has opened it.
 * Return 1 if it came to its end before: then it has done nothing.
 */
static int let_restore_go(struct problem *problem)
{
	_cleanup_close_ int fd = -1;
	char fifo[32];
	int r = 0;

	snprintf(fifo, sizeof(fifo), "/proc/self/fd/%d", criu.held);
	while (r == 0 && fd < 0) {
		fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			r = has_ended(1, problem);
	}
	if (r >= 0 && rename(FIRST_IMAGE IMAGES_LATER, FIRST_IMAGE) < 0)
		return problem_set(problem, errno, NULL, "cannot make " FIRST_IMAGE);
	close_one(&criu.held);
	return r == 0 ? pass_on(fd, problem) : r;
}

static int restore(const char *command, pid_t pid, struct problem *problem)
{
	int r = 0;

	(void)command;
	(void)pid;
	if (criu.held >= 0)
		r = let_restore_go(problem);
	/* One that could not be told, or came too early, has done nothing yet. */
	if (r < 0)
		abandon_restore();
	if (criu.pid == 0)
		r = start_restore(problem);
	if (r == 0)
		r = has_ended(RESTORE_TIMEOUT_MS, problem);
	if (r == 0)
		r = problem_set(problem, ETIMEDOUT, "the log is " RESTORE_LOG,
				"criu restore did not end in %d ms", RESTORE_TIMEOUT_MS);
	if (r < 0)
		return r;
	return succeeded() ? 0 : failed("restore", RESTORE_LOG, "the log is " RESTORE_LOG, problem);
}

const struct freezer freezer_criu = {
	.name = "criu",
	.program = "criu",
	.keeps_memory = true,
	.check = check,
	.begin_freeze = begin_freeze,
	.freeze = freeze,
	.abandon_freeze = abandon_freeze,
	.begin_restore = begin_restore,
	.restore = restore,
	.abandon_restore = abandon_restore,
};
