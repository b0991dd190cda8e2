// SPDX-License-Identifier: GPL-2.0-only
#include "serve.h"

#include <errno.h>
#include <linux/reboot.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "counter.h"
#include "file.h"
#include "kexec.h"
#include "problem.h"
#include "shell.h"

#define PATIENCE_MS 1000      /* for a port that may not be there */
#define PATIENCE_LAB_MS 15000 /* for one that the command line promises */

struct server {
	struct lab lab;
	struct shell shell;
	int children; /* a signalfd */
};

/* For the lab alone. A kernel without debugfs has no place to mount it on, and needs none. */
static void mount_debugfs(void)
{
	static const char path[] = "/sys/kernel/debug";
	struct problem problem;

	if (mount("debugfs", path, "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0 ||
	    errno == ENOENT || errno == ENODEV || errno == EBUSY)
		return;
	problem_set(&problem, errno, NULL, "cannot mount debugfs on %s", path);
	problem_print(&problem);
}

/* End this machine. */
void __attribute__((noreturn)) power_off(void)
{
	struct problem problem;

	sync();
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF,
		NULL);
	problem_set(&problem, errno, "switch the machine off by hand", "cannot power off");
	problem_print(&problem);
	for (;;)
		pause();
}

static int jump(struct lab *lab, struct problem *problem)
{
	/* Synced first: nothing but the report itself is to lie between the stamp and the jump. */
	sync();
	lab_report_stamp(lab, "jump", counter_now());
	return kexec_jump(problem);
}

static int load(struct lab *lab, const struct command *command, struct problem *problem)
{
	int r;

	lab_report_stamp(lab, "load", counter_now());
	r = kexec_load_from_share(command->image, command->initrd, command->cmdline, problem);
	if (r < 0)
		return r;
	lab_report_stamp(lab, "loaded", counter_now());
	return 0;
}

static int put(struct lab *lab, const struct command *command, struct problem *problem)
{
	int r = file_put(command->path, command->text, problem);

	if (r < 0)
		return r;
	lab_report_stamp(lab, "put", counter_now());
	return 0;
}

static int get(struct lab *lab, const struct command *command, struct problem *problem)
{
	static char content[FILE_MAX_SIZE];
	ssize_t size = file_get(command->path, content, sizeof(content), problem);

	if (size < 0)
		return (int)size;
	lab_report_content(lab, content, (size_t)size);
	return 0;
}

static int obey(struct server *server, char *line, struct problem *problem)
{
	struct lab *lab = &server->lab;
	struct command command;
	const char *wrong = command_parse(line, &command);

	if (wrong)
		return problem_set(problem, 0, wrong, "cannot take the command '%.64s'", line);
	switch (command.verb) {
	case VERB_GET:
		return get(lab, &command, problem);
	case VERB_JUMP:
		return jump(lab, problem);
	case VERB_KMSG:
		return lab_report_kmsg(lab, problem);
	case VERB_LOAD:
		return load(lab, &command, problem);
	case VERB_POWEROFF:
		lab_report_stamp(lab, "poweroff", counter_now());
		power_off();
	case VERB_PUT:
		return put(lab, &command, problem);
	case VERB_RUN:
		return shell_start(&server->shell, command.text, problem);
	}
	return problem_set(problem, 0, NULL, "no code for the command '%.64s'", line);
}

/* The first process is what every orphan is left to; one of those that end may be the shell. */
static void reap(struct server *server)
{
	struct signalfd_siginfo ignored;
	int status;
	pid_t pid;

	while (read(server->children, &ignored, sizeof(ignored)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		const char *text;
		size_t size;

		if (pid != server->shell.pid)
			continue;
		shell_end(&server->shell, &text, &size);
		lab_report_ran(&server->lab,
			       WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
			       text, size);
	}
}

/* Take one line. Return false when the lab is gone. */
static bool take_line(struct server *server)
{
	struct problem problem;
	char *line;
	int r = lines_read(&server->lab.commands, server->lab.fd, &line);

	if (r == 0 || (r < 0 && r != -E2BIG))
		return false;
	if (r < 0)
		r = problem_set(&problem, -r, "send a shorter one", "cannot take a line");
	else
		r = obey(server, line, &problem);
	if (r < 0) {
		problem_print(&problem);
		lab_report_problem(&server->lab, &problem);
	}
	return true;
}

/* Do what the lab asks for, until it is gone. */
static void follow(struct server *server)
{
	for (;;) {
		struct pollfd polled[] = {
			{ .fd = server->lab.fd, .events = POLLIN },
			{ .fd = server->children, .events = POLLIN },
			{ .fd = server->shell.pid ? server->shell.output : -1, .events = POLLIN },
		};
		bool ready = lines_ready(&server->lab.commands);

		if (poll(polled, 3, ready ? 0 : -1) < 0 && errno != EINTR)
			return;
		if (polled[2].revents)
			shell_listen(&server->shell);
		if (polled[1].revents)
			reap(server);
		if ((ready || polled[0].revents) && !take_line(server))
			return;
	}
}

/*
 * Look for the lab's port, report the boot, of which the first process began at @counter, and do
 * what the lab asks for until it is gone. Return false when there is no port.
 */
bool serve(const struct facts *facts, uint64_t counter)
{
	/* Static: too large for a first process to find no stack for. */
	static struct server server;
	bool promised = facts_option(facts, "sku.lab", "poweroff");
	sigset_t children;

	if (lab_open(&server.lab, promised ? PATIENCE_LAB_MS : PATIENCE_MS) < 0)
		return false;
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL);
	server.children = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
	mount_debugfs();
	lab_report_init(&server.lab, facts, counter);
	follow(&server);
	dprintf(STDERR_FILENO, "%s: the lab is gone\n", problem_program);
	return true;
}
