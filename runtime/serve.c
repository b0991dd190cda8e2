// SPDX-License-Identifier: GPL-2.0-only
#include "serve.h"

#include <errno.h>
#include <linux/reboot.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "counter.h"
#include "file.h"
#include "kexec.h"
#include "lab.h"
#include "problem.h"
#include "shell.h"

#define PATIENCE_MS 1000      /* for a port that may not be there */
#define PATIENCE_LAB_MS 15000 /* for one that the command line promises */

struct server {
	struct lab lab;
	struct shell shell;
};

/* That there is a handler is what has SIGCHLD interrupt the wait. */
static void on_child(int signal __attribute__((unused)))
{
}

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

static int unload(struct lab *lab, struct problem *problem)
{
	int r = kexec_unload(problem);

	if (r == 0)
		lab_report_stamp(lab, "unloaded", counter_now());
	return r;
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
	case VERB_UNLOAD:
		return unload(lab, problem);
	}
	return problem_set(problem, 0, NULL, "no code for the command '%.64s'", line);
}

/* The first process is what every orphan is left to; one of those that end may be the shell. */
static void reap(struct server *server)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		const char *text;
		size_t size;

		if (pid != server->shell.pid)
			continue;
		status = shell_end(&server->shell, status, &text, &size);
		lab_report_ran(&server->lab, status, text, size);
	}
}

/* Obey all the lines that are there whole: none may be left when the port is waited for. */
static void take_lines(struct server *server)
{
	struct problem problem;
	char *line;
	int r;

	while ((r = lines_take(&server->lab.commands, &line)) != -EAGAIN) {
		if (r < 0)
			r = problem_set(&problem, -r, "send a shorter one", "cannot take a line");
		else
			r = obey(server, line, &problem);
		if (r < 0) {
			problem_print(&problem);
			lab_report_problem(&server->lab, &problem);
		}
	}
}

/*
 * Do what the lab asks for, until it is gone. SIGCHLD is blocked but for the wait, so that none is
 * lost between the look for children that have ended and the wait for the next one.
 */
static void follow(struct server *server)
{
	struct lab *lab = &server->lab;
	sigset_t none;

	sigemptyset(&none);
	for (;;) {
		struct pollfd polled[] = {
			{ .fd = lab->fd, .events = POLLIN },
			{ .fd = -1, .events = POLLIN },
		};

		reap(server);
		if (server->shell.pid)
			polled[1].fd = server->shell.output;
		if (ppoll(polled, 2, NULL, &none) < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		if (polled[1].revents)
			shell_listen(&server->shell);
		if (polled[0].revents) {
			if (lines_fill(&lab->commands, lab->fd) <= 0)
				return;
			take_lines(server);
		}
	}
}

static void watch_children(void)
{
	const struct sigaction action = { .sa_handler = on_child, .sa_flags = SA_NOCLDSTOP };
	sigset_t children;

	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL);
	sigaction(SIGCHLD, &action, NULL);
}

/*
 * Look for the lab's port, report the boot, of which the first process began at @counter, and what
 * @failed of it, if that is not NULL, and do what the lab asks for until it is gone. Return false
 * when there is no port.
 */
bool serve(const struct facts *facts, uint64_t counter, const struct problem *failed)
{
	/* Static: too large for a first process to find no stack for. */
	static struct server server;
	bool promised = facts_option(facts, "sku.lab", "poweroff");

	if (lab_open(&server.lab, promised ? PATIENCE_LAB_MS : PATIENCE_MS) < 0)
		return false;
	watch_children();
	mount_debugfs();
	lab_report_init(&server.lab, facts, counter);
	if (failed)
		lab_report_problem(&server.lab, failed);
	follow(&server);
	dprintf(STDERR_FILENO, "%s: the lab is gone\n", problem_program);
	return true;
}
