// SPDX-License-Identifier: GPL-2.0-only
/*
 * sku-init, the first process of the initramfs. With root= on the command line it mounts that, brings
 * back the application that was handed over, if there is one, and becomes the init of the root file
 * system. Without, it reports the boot over the lab's port and does what the lab asks for; without
 * that port either, it prints what it found and waits, or powers off when the command line says
 * sku.lab=poweroff.
 *
 * It must never return: the kernel panics when its first process ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "counter.h"
#include "facts.h"
#include "problem.h"
#include "restore.h"
#include "root.h"
#include "serve.h"

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

/* Go over to the root file system. Returns only when that could not be done. */
static void start_root(const struct facts *facts, uint64_t counter)
{
	struct problem problem;

	if (root_enter(facts->cmdline, &problem) == 0) {
		restore_if_handed_over(counter);
		root_become_init(facts->cmdline, &problem);
	}
	problem_print(&problem);
}

int main(void)
{
	uint64_t counter = counter_now();
	/* Static: too large for a first process to find no stack for. */
	static struct facts facts;

	if (getpid() != 1) {
		dprintf(STDERR_FILENO, "sku-init is the first process of an initramfs; run by hand "
				       "it does nothing\n");
		return 2;
	}
	mount_all();
	facts_gather(&facts);
	if (root_wanted(facts.cmdline))
		start_root(&facts, counter);
	if (!serve(&facts, counter))
		dprintf(STDERR_FILENO, "sku-init: no lab port; %s up, CPUs %s, %ju KiB of memory\n",
			facts.kernel.release, facts.cpus_online, (uintmax_t)facts.memory_kib);
	if (facts_option(&facts, "sku.lab", "poweroff"))
		power_off();
	dprintf(STDERR_FILENO, "sku-init: nothing left to do; waiting\n");
	for (;;)
		pause();
}
