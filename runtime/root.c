// SPDX-License-Identifier: GPL-2.0-only
#include "root.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "facts.h"

#define ROOT "/mnt"
#define DEVICE_PATIENCE_MS 15000
#define POLL_MS 2

/* Return whether the command line names a root file system. */
bool root_wanted(const char *cmdline)
{
	char device[256];

	return cmdline_value(cmdline, "root", device, sizeof(device));
}

/* The last of the words ro and rw counts, and ro is what the kernel takes without either. */
static unsigned long mount_flags(const char *cmdline)
{
	unsigned long flags = MS_RDONLY;

	for (const char *at = cmdline; *at; at += strcspn(at, " \n")) {
		at += strspn(at, " \n");
		if (strcspn(at, " \n") == 2 && !strncmp(at, "ro", 2))
			flags = MS_RDONLY;
		else if (strcspn(at, " \n") == 2 && !strncmp(at, "rw", 2))
			flags = 0;
	}
	return flags;
}

static int wait_for_device(const char *device, struct problem *problem)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };

	for (int waited = 0; access(device, F_OK) < 0; waited += POLL_MS) {
		if (waited >= DEVICE_PATIENCE_MS)
			return problem_set(problem, ENODEV,
					   "see that the kernel has the disk's driver built in",
					   "cannot find the root device %s", device);
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int mount_root(const char *cmdline, struct problem *problem)
{
	char type[32] = "ext4";
	char options[256] = "";
	char device[256];

	cmdline_value(cmdline, "root", device, sizeof(device));
	cmdline_value(cmdline, "rootfstype", type, sizeof(type));
	cmdline_value(cmdline, "rootflags", options, sizeof(options));
	if (strncmp(device, "/dev/", 5))
		return problem_set(problem, 0, "give root=/dev/NAME",
				   "cannot mount root=%s: only a device is understood", device);
	if (wait_for_device(device, problem) < 0)
		return -ENODEV;
	mkdir(ROOT, 0755);
	if (mount(device, ROOT, type, mount_flags(cmdline), options) < 0)
		return problem_set(problem, errno, "see root=, rootfstype= and rootflags=",
				   "cannot mount %s (%s)", device, type);
	return 0;
}

/* For an application with a terminal, and for CRIU's own checks; a kernel without them is fine. */
static void mount_terminals(void)
{
	if (mkdir("/dev/pts", 0755) == 0 || errno == EEXIST)
		mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		      "gid=5,mode=0620,ptmxmode=0666");
}

/*
 * Mount the root file system and make it "/", with /dev, /proc, /sys and /run as they are. Return 0
 * or a negative errno, with @problem set and everything still in its place.
 */
int root_enter(const char *cmdline, struct problem *problem)
{
	static const char *const moved[] = { "/dev", "/proc", "/sys", "/run" };
	int r = mount_root(cmdline, problem);

	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
		char target[64];

		snprintf(target, sizeof(target), ROOT "%s", moved[i]);
		if (mount(moved[i], target, NULL, MS_MOVE, NULL) < 0)
			return problem_set(problem, errno, "make that directory on it",
					   "cannot move %s to the root file system", moved[i]);
	}
	if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		return problem_set(problem, errno, NULL, "cannot go over to the root file system");
	mount_terminals();
	return 0;
}

/* Become the init of the root file system. Returns only when that failed. */
int root_become_init(const char *cmdline, struct problem *problem)
{
	char init[256] = "/sbin/init";

	cmdline_value(cmdline, "init", init, sizeof(init));
	setenv("HOME", "/", 1);
	setenv("TERM", "linux", 1);
	execl(init, init, NULL);
	return problem_set(problem, errno, "see init= on the command line", "cannot run %s", init);
}
