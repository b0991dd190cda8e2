// SPDX-License-Identifier: GPL-2.0-only
#include "volume.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

/* The superblock of ext2, 3 and 4: Documentation/filesystems/ext4/super.rst of the kernel. */
#define SUPERBLOCK 1024
#define MAGIC_AT 0x38
#define UUID_AT 0x68
#define MAGIC_LOW 0x53
#define MAGIC_HIGH 0xef

static int digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Read a UUID as 8-4-4-4-12 hexadecimal digits; return whether @text is one, and nothing else. */
bool volume_parse_uuid(const char *text, uint8_t uuid[VOLUME_UUID_BYTES])
{
	for (size_t i = 0; i < VOLUME_UUID_BYTES; i++, text += 2) {
		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return false;
		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
			return false;
		uuid[i] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
	}
	return !*text;
}

/* Return whether the device or file @fd holds an ext2, 3 or 4 with this @uuid. */
bool volume_has_uuid(int fd, const uint8_t uuid[VOLUME_UUID_BYTES])
{
	uint8_t block[UUID_AT + VOLUME_UUID_BYTES];

	return pread(fd, block, sizeof(block), SUPERBLOCK) == (ssize_t)sizeof(block) &&
	       block[MAGIC_AT] == MAGIC_LOW && block[MAGIC_AT + 1] == MAGIC_HIGH &&
	       !memcmp(block + UUID_AT, uuid, VOLUME_UUID_BYTES);
}

/* Put the name of the block device with this @uuid into @device; return whether there is one. */
bool volume_find(const uint8_t uuid[VOLUME_UUID_BYTES], char *device, size_t size)
{
	_cleanup_closedir_ DIR *devices = opendir("/sys/class/block");
	const struct dirent *entry;

	while (devices && (entry = readdir(devices))) {
		_cleanup_close_ int fd = -1;

		if (entry->d_name[0] == '.' ||
		    snprintf(device, size, "/dev/%s", entry->d_name) >= (int)size)
			continue;
		fd = open(device, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && volume_has_uuid(fd, uuid))
			return true;
	}
	return false;
}
