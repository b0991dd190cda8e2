// SPDX-License-Identifier: GPL-2.0-only
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "facts.h"
#include "volume.h"
#include "waiting.h"

#define ROOT "/mnt"
#define DEVICE_PATIENCE_MS 15000
#define WAITING_EACH_MS 1000 /* then the next device that waits for its driver is started */
#define POLL_MS 2

/* What there is from the first moment on, and goes along to the root file system. */
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

#define MOUNTS (sizeof(mounts) / sizeof(mounts[0]))

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

static bool is_mounted(const char *path)
{
	struct stat here, root;

	return stat(path, &here) == 0 && stat("/", &root) == 0 && here.st_dev != root.st_dev;
}

/* Mount what is not there yet. What cannot be is reported and done without, as far as that goes. */
void root_mount_all(void)
{
	for (size_t i = 0; i < MOUNTS; i++) {
		struct problem problem;
		int error = 0;

		if (mkdir(mounts[i].path, 0755) < 0 && errno != EEXIST)
			error = errno;
		else if (!is_mounted(mounts[i].path) &&
			 mount(mounts[i].type, mounts[i].path, mounts[i].type, mounts[i].flags,
			       mounts[i].options) < 0)
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

/* Wait for the device that @root means, and put its name into @device of @size bytes. */
static int wait_for_device(const char *root, char *device, size_t size, struct problem *problem)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
	uint8_t uuid[VOLUME_UUID_BYTES];
	int next = WAITING_EACH_MS;
	bool by_uuid = !strncmp(root, "UUID=", 5) && volume_parse_uuid(root + 5, uuid);

	if (!by_uuid && strncmp(root, "/dev/", 5))
		return problem_set(problem, EINVAL, "give root=/dev/NAME or root=UUID=…",
				   "cannot mount root=%s: not understood", root);
	snprintf(device, size, "%s", root);
	for (int waited = 0; by_uuid ? !volume_find(uuid, device, size) : access(device, F_OK) < 0;
	     waited += POLL_MS) {
		if (waited >= DEVICE_PATIENCE_MS)
			return problem_set(problem, ENODEV,
					   "see that the kernel has the disk's driver built in",
					   "cannot find the root device %s", root);
		if (waited >= next && waiting_start_first())
			next = waited + WAITING_EACH_MS;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int mount_root(const char *cmdline, struct problem *problem)
{
	char type[32] = "ext4";
	char options[256] = "";
	char root[256], device[256 + sizeof("/dev/")];
	int r;

	cmdline_value(cmdline, "root", root, sizeof(root));
	cmdline_value(cmdline, "rootfstype", type, sizeof(type));
	cmdline_value(cmdline, "rootflags", options, sizeof(options));
	r = wait_for_device(root, device, sizeof(device), problem);
	if (r < 0)
		return r;
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

/* Move the first @count mounts into the root file system, or @back. Return how many were moved. */
static size_t move_mounts(size_t count, bool back)
{
	size_t moved;

	for (moved = 0; moved < count; moved++) {
		const char *here = mounts[moved].path;
		char there[64];

		snprintf(there, sizeof(there), ROOT "%s", here);
		if (mount(back ? there : here, back ? here : there, NULL, MS_MOVE, NULL) < 0)
			break;
	}
	return moved;
}

static int change_root(struct problem *problem)
{
	size_t moved = move_mounts(MOUNTS, false);
	int error = errno;

	if (moved == MOUNTS && chdir(ROOT) == 0 && mount(".", "/", NULL, MS_MOVE, NULL) == 0 &&
	    chroot(".") == 0 && chdir("/") == 0)
		return 0;
	if (moved < MOUNTS)
		problem_set(problem, error, "make that directory on it",
			    "cannot move %s to the root file system", mounts[moved].path);
	else
		problem_set(problem, errno, NULL, "cannot go over to the root file system");
	move_mounts(moved, true);
	return -problem->error;
}

/*
 * Mount the root file system and make it "/", with /dev, /proc, /sys and /run as they are. Return 0
 * or a negative errno, with @problem set and everything back in its place.
 */
int root_enter(const char *cmdline, struct problem *problem)
{
	int r = mount_root(cmdline, problem);

	if (r < 0)
		return r;
	r = change_root(problem);
	if (r < 0)
		umount2(ROOT, MNT_DETACH);
	else
		mount_terminals();
	return r;
}

/*
 * Become the init of the root file system, with the arguments @argv that the kernel gave the first
 * process. Returns only when that failed.
 */
int root_become_init(const char *cmdline, char **argv, struct problem *problem)
{
	char init[256] = "/sbin/init";

	cmdline_value(cmdline, "init", init, sizeof(init));
	setenv("HOME", "/", 1);
	setenv("TERM", "linux", 1);
	setenv("PATH", CHILD_PATH, 1);
	argv[0] = init;
	execv(init, argv);
	return problem_set(problem, errno, "see init= on the command line", "cannot run %s", init);
}
