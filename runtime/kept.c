// SPDX-License-Identifier: GPL-2.0-only
#include "kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "file.h"

#define KEPT_DIRECTORY "/sys/kernel/kept_initramfs"

/*
 * Write to @text the command line @cmdline for a kernel that is not to be kept its initramfs. The
 * word goes in front: what is behind a -- is not for the kernel. Return 0 or -ENAMETOOLONG.
 */
int kept_off(const char *cmdline, char *text, size_t size)
{
	int length = snprintf(text, size, "kept_initramfs=off %s", cmdline);

	return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

/* Say on standard error what the running kernel keeps for the one it has loaded, if it does that. */
void kept_say_next(void)
{
	char text[KEPT_TEXT_SIZE];

	file_text(KEPT_DIRECTORY "/next", text, sizeof(text));
	if (*text)
		fprintf(stderr, "skuctl: the next initramfs is %s\n", text);
}

static void add_number(struct json *json, const char *key, const char *path)
{
	char text[KEPT_TEXT_SIZE];

	file_text(path, text, sizeof(text));
	json_number(json, key, strtoull(text, NULL, 10));
}

/* Report how the root file system came: "kept", why it did not, or "" for a kernel without it. */
void kept_report(struct json *json)
{
	char came[KEPT_TEXT_SIZE];

	file_text(KEPT_DIRECTORY "/came", came, sizeof(came));
	json_string(json, "initramfs", came);
	add_number(json, "initramfs_files", KEPT_DIRECTORY "/files");
	add_number(json, "initramfs_pages", KEPT_DIRECTORY "/pages");
	add_number(json, "initramfs_ns", KEPT_DIRECTORY "/ns");
}
