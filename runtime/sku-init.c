// SPDX-License-Identifier: GPL-2.0-only
/*
 * sku-init, the first process of the initramfs: it mounts what a program needs, reports the boot
 * over the lab's port, and does what the lab asks for. Without that port it prints what it found
 * and waits, or powers off when the command line says sku.lab=poweroff.
 *
 * It must never return: the kernel panics when its first process ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "command.h"
#include "counter.h"
#include "facts.h"
#include "file.h"
#include "kexec.h"
#include "lab.h"
#include "problem.h"

#define PATIENCE_MS 1000      /* for a port that may not be there */
#define PATIENCE_LAB_MS 15000 /* for one that the command line promises */

static const struct {
	const char *type;
	const char *path;
	unsigned long flags;
	const char *options;
} mounts[] = {
	/* devtmpfs first: the console is in it. */
	{ "devtmpfs", "/dev", MS_NOSUID, "mode=0755" },
	{ "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755" },
};

/* Point the standard streams to the console, which the initramfs itself need not hold. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR);

	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	for (int stream = STDIN_FILENO; fd >= 0 && stream <= STDERR_FILENO; stream++)
		if (fd != stream)
			dup2(fd, stream);
	if (fd > STDERR_FILENO)
		close(fd);
}

/* A file system that cannot be mounted is reported and done without, as far as that goes. */
static void mount_all(void)
{
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		struct problem problem;
		int error = 0;

		if (mkdir(mounts[i].path, 0755) < 0 && errno != EEXIST)
			error = errno;
		else if (mount(mounts[i].type, mounts[i].path, mounts[i].type, mounts[i].flags,
			       mounts[i].options) < 0 && errno != EBUSY)
			error = errno;
		if (i == 0)
			open_console();
		if (!error)
			continue;
		problem_set(&problem, error, "build the kernel with this file system",
			    "cannot mount %s on %s", mounts[i].type, mounts[i].path);
		problem_print(&problem);
	}
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

static void __attribute__((noreturn)) power_off(void)
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

static int obey(struct lab *lab, char *line, struct problem *problem)
{
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
	}
	return problem_set(problem, 0, NULL, "no code for the command '%.64s'", line);
}

/* Do what the lab asks for, until it is gone. */
static void serve(struct lab *lab)
{
	for (;;) {
		struct problem problem;
		char *line;
		int r = lines_read(&lab->commands, lab->fd, &line);

		if (r == 0 || (r < 0 && r != -E2BIG))
			return;
		if (r < 0)
			r = problem_set(&problem, -r, "send a shorter one", "cannot take a line");
		else
			r = obey(lab, line, &problem);
		if (r < 0) {
			problem_print(&problem);
			lab_report_problem(lab, &problem);
		}
	}
}

int main(void)
{
	uint64_t counter = counter_now();
	/* Static: both are too large for a first process to find no stack for. */
	static struct facts facts;
	static struct lab lab;
	bool promised;

	if (getpid() != 1) {
		dprintf(STDERR_FILENO, "sku-init is the first process of an initramfs; run by hand "
				       "it does nothing\n");
		return 2;
	}
	mount_all();
	facts_gather(&facts);
	promised = facts_option(&facts, "sku.lab", "poweroff");
	if (lab_open(&lab, promised ? PATIENCE_LAB_MS : PATIENCE_MS) == 0) {
		mount_debugfs();
		lab_report_init(&lab, &facts, counter);
		serve(&lab);
		dprintf(STDERR_FILENO, "sku-init: the lab is gone\n");
	} else {
		dprintf(STDERR_FILENO, "sku-init: no lab port; %s up, CPUs %s, %ju KiB of memory\n",
			facts.kernel.release, facts.cpus_online, (uintmax_t)facts.memory_kib);
	}
	if (promised)
		power_off();
	dprintf(STDERR_FILENO, "sku-init: nothing left to do; waiting\n");
	for (;;)
		pause();
}
