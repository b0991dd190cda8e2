// SPDX-License-Identifier: GPL-2.0-only
#include "kexec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#define SHARE_TAG "next"
#define SHARE_PATH "/bundle"

/* Mount the directory that the lab shares: once, since a 9p channel serves one mount. */
static int mount_share(struct problem *problem)
{
	static bool mounted;

	if (mounted)
		return 0;
	if (mkdir(SHARE_PATH, 0755) < 0 && errno != EEXIST)
		return problem_set(problem, errno, NULL, "cannot make the directory " SHARE_PATH);
	if (mount(SHARE_TAG, SHARE_PATH, "9p", MS_RDONLY,
		  "trans=virtio,version=9p2000.L,msize=524288") < 0)
		return problem_set(problem, errno,
				   "build the kernel with CONFIG_NET_9P_VIRTIO=y and "
				   "CONFIG_9P_FS=y, and give QEMU a share with mount_tag=" SHARE_TAG,
				   "cannot mount the 9p share '" SHARE_TAG "' on " SHARE_PATH);
	mounted = true;
	return 0;
}

static int open_given(const char *path, struct problem *problem)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? problem_set(problem, errno, "give the next kernel's file",
				    "cannot open %s", path) : fd;
}

static const char *load_hint(int error)
{
	switch (error) {
	case ENOSYS:
		return "build the running kernel with CONFIG_KEXEC_FILE=y";
	case ENOEXEC:
	case EINVAL:
		return "the image must be an uncompressed arm64 Image that runs on this machine";
	case EKEYREJECTED:
	case EPERM:
		return "the running kernel takes signed images only, or kexec_load_disabled is set";
	case EBUSY:
		return "another load is going on: try again";
	case EADDRNOTAVAIL:
	case ENOMEM:
		return "give the guest more memory";
	default:
		return NULL;
	}
}

/*
 * Load the next kernel with kexec_file_load(2), which reads both files itself, on 9p as well as on
 * a disk. Return 0 or a negative errno, with @problem set.
 */
int kexec_load_files(const char *image, const char *initrd, const char *cmdline,
		     struct problem *problem)
{
	_cleanup_close_ int kernel = open_given(image, problem);
	_cleanup_close_ int initramfs = kernel < 0 ? -1 : open_given(initrd, problem);

	if (kernel < 0)
		return kernel;
	if (initramfs < 0)
		return initramfs;
	if (syscall(SYS_kexec_file_load, kernel, initramfs, strlen(cmdline) + 1, cmdline, 0UL) < 0)
		return problem_set(problem, errno, load_hint(errno),
				   "kexec_file_load of %s with %s", image, initrd);
	return 0;
}

/* Load the next kernel from the directory that the lab shares: file names in it. */
int kexec_load_from_share(const char *image, const char *initrd, const char *cmdline,
			  struct problem *problem)
{
	char image_path[sizeof(SHARE_PATH) + 1 + NAME_MAX];
	char initrd_path[sizeof(image_path)];
	int r = mount_share(problem);

	if (r < 0)
		return r;
	if (snprintf(image_path, sizeof(image_path), SHARE_PATH "/%s", image) >=
		    (int)sizeof(image_path) ||
	    snprintf(initrd_path, sizeof(initrd_path), SHARE_PATH "/%s", initrd) >=
		    (int)sizeof(initrd_path))
		return problem_set(problem, ENAMETOOLONG, NULL, "cannot load %.64s", image);
	return kexec_load_files(image_path, initrd_path, cmdline, problem);
}

/* Forget the loaded kernel; none is fine as well. */
int kexec_unload(struct problem *problem)
{
	if (syscall(SYS_kexec_file_load, -1, -1, 0UL, NULL, KEXEC_FILE_UNLOAD) < 0)
		return problem_set(problem, errno, NULL, "cannot unload the next kernel");
	return 0;
}

/* Jump into the loaded kernel. Returns only when that failed: a negative errno, @problem set. */
int kexec_jump(struct problem *problem)
{
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	return problem_set(problem, errno, errno == EINVAL ? "load a kernel first" : NULL,
			   "reboot into the loaded kernel");
}
