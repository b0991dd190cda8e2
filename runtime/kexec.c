// SPDX-License-Identifier: GPL-2.0-only
#include "kexec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdbool.h>
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

static int open_shared(int directory, const char *name, struct problem *problem)
{
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return problem_set(problem, errno, "the file must be in the second bundle",
				   "cannot open " SHARE_PATH "/%s", name);
	return fd;
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
 * Load the next kernel from the shared directory. kexec_file_load(2) reads both files itself, and
 * works on 9p as on any regular file. Return 0 or a negative errno, with @problem set.
 */
int kexec_load_from_share(const char *image, const char *initrd, const char *cmdline,
			  struct problem *problem)
{
	_cleanup_close_ int directory = -1;
	_cleanup_close_ int kernel = -1;
	_cleanup_close_ int initramfs = -1;
	int r = mount_share(problem);

	if (r < 0)
		return r;
	directory = open(SHARE_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return problem_set(problem, errno, NULL, "cannot open " SHARE_PATH);
	kernel = open_shared(directory, image, problem);
	if (kernel < 0)
		return kernel;
	initramfs = open_shared(directory, initrd, problem);
	if (initramfs < 0)
		return initramfs;
	if (syscall(SYS_kexec_file_load, kernel, initramfs, strlen(cmdline) + 1, cmdline, 0UL) < 0)
		return problem_set(problem, errno, load_hint(errno),
				   "kexec_file_load of " SHARE_PATH "/%s with %s", image, initrd);
	return 0;
}

/* Jump into the loaded kernel. Returns only when that failed: a negative errno, @problem set. */
int kexec_jump(struct problem *problem)
{
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	return problem_set(problem, errno, errno == EINVAL ? "load a kernel first" : NULL,
			   "reboot into the loaded kernel");
}
