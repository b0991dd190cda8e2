// SPDX-License-Identifier: GPL-2.0-only
#include "luo.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

/* Only one may have the device open, and opening it for a session takes next to no time. */
#define TRIES 50
#define PAUSE_NS 4000000

static bool has_open(pid_t pid, dev_t device)
{
	_cleanup_closedir_ DIR *files = NULL;
	const struct dirent *entry;
	struct stat about;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	files = opendir(path);
	while (files && (entry = readdir(files)))
		if (fstatat(dirfd(files), entry->d_name, &about, 0) == 0 && S_ISCHR(about.st_mode) &&
		    about.st_rdev == device)
			return true;
	return false;
}

/* Return the process that has the character device @device open, without opening it; 0: none. */
pid_t luo_opener(const char *device)
{
	_cleanup_closedir_ DIR *processes = opendir("/proc");
	const struct dirent *entry;
	struct stat about;

	if (stat(device, &about) < 0)
		return 0;
	while (processes && (entry = readdir(processes)))
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    has_open((pid_t)atoi(entry->d_name), about.st_rdev))
			return (pid_t)atoi(entry->d_name);
	return 0;
}

static int open_device(struct problem *problem)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	int fd = -1;

	for (int try = 0; try < TRIES && fd < 0; try++) {
		if (try)
			nanosleep(&pause, NULL);
		fd = open(LUO_DEVICE, O_RDWR | O_CLOEXEC);
		if (fd < 0 && errno != EBUSY)
			break;
	}
	if (fd >= 0)
		return fd;
	if (errno == EBUSY)
		return problem_set(problem, EBUSY, "only one program may have it open: let it end, or close it",
				   "process %d has " LUO_DEVICE " open", luo_opener(LUO_DEVICE));
	return problem_set(problem, errno, errno == EIO ? "the kernel's log says what of the handover is wrong" :
			   "boot with liveupdate=on a kernel with CONFIG_LIVEUPDATE=y (Linux 7.3)",
			   "cannot open " LUO_DEVICE);
}

static int open_session(unsigned long request, const char *name, const char *what,
			struct problem *problem)
{
	_cleanup_close_ int device = open_device(problem);
	struct luo_session session = { .size = sizeof(session), .fd = -1 };

	if (device < 0)
		return device;
	snprintf((char *)session.name, sizeof(session.name), "%s", name);
	if (ioctl(device, request, &session) < 0)
		return problem_set(problem, errno, NULL, "cannot %s the session '%s' of " LUO_DEVICE,
				   what, name);
	return session.fd;
}

/* Make a session in the kernel that is left. Return its descriptor or a negative errno. */
int luo_create(const char *name, struct problem *problem)
{
	return open_session(LUO_CREATE_SESSION, name, "create", problem);
}

/*
 * Take the session that was handed over: once, and to close it gives up what is in it. Return its
 * descriptor or a negative errno.
 */
int luo_retrieve(const char *name, struct problem *problem)
{
	return open_session(LUO_RETRIEVE_SESSION, name, "retrieve", problem);
}

/* Keep the file of @fd under @token; it cannot change its size from here on. Return 0 or a negative errno. */
int luo_preserve(int session, int fd, uint64_t token)
{
	struct luo_file file = { .size = sizeof(file), .fd = fd, .token = token };

	return ioctl(session, LUO_PRESERVE_FD, &file) < 0 ? -errno : 0;
}

/* Return a descriptor of the file that was kept under @token, or a negative errno. */
int luo_take(int session, uint64_t token)
{
	struct luo_file file = { .size = sizeof(file), .fd = -1, .token = token };

	return ioctl(session, LUO_RETRIEVE_FD, &file) < 0 ? -errno : file.fd;
}
