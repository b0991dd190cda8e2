// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a test does to a machine behind its kernel's back. It is /bin/sh of a guest's initramfs, so
 * that the lab can run it:
 *
 *	list DIRECTORY			the names in it, a line each
 *	config FILE OFFSET VALUE	16 bits of a function's configuration space (hexadecimal)
 *	spoil WHAT			the state of the series pci_state_cache, through /dev/mem;
 *					all but "data" with a checksum that is right
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE	4096
#define BEGIN	0x40000000ULL /* of the memory of QEMU's virt machine */
#define END	(BEGIN + (2048ULL << 20))
#define ROOM	(16 * PAGE)
#define CAPS	40

/* include/linux/kho/abi/device_state.h */
struct head {
	char magic[8];
	uint32_t version, head_crc;
	uint64_t next;
	char name[32], place[96], identity[96];
	char mark[8];
	uint64_t length;
	uint32_t data_crc, reserved;
};

/* drivers/pci/state_cache.h */
struct cap {
	uint16_t id, pos;
};

struct fn {
	uint16_t vendor, device;
	uint32_t class_rev, subsystem;
	uint16_t parent;
	uint8_t devfn, hdr_type;
	uint16_t cfg_size;
	uint8_t flags, sized, nr_caps, nr_ext;
	uint16_t reserved;
	uint32_t bar[7];
	struct cap cap[CAPS];
};

struct state {
	struct head head;
	uint32_t nr, reserved;
	struct fn fn[];
};

_Static_assert(sizeof(struct head) == 272 && sizeof(struct fn) == 212, "not the kernel's");

static uint32_t crc32_le(uint32_t crc, const void *data, size_t size)
{
	for (const uint8_t *byte = data; size--; byte++) {
		crc ^= *byte;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return crc;
}

static uint32_t data_crc(const struct state *state)
{
	const struct head *head = &state->head;
	uint32_t crc = crc32_le(~0U, &head->version, sizeof(head->version));

	crc = crc32_le(crc, head->name,
		       sizeof(head->name) + sizeof(head->place) + sizeof(head->identity));
	crc = crc32_le(crc, &head->length, sizeof(head->length));
	return crc32_le(crc, &state->nr, head->length);
}

static int change(struct state *state, const char *what)
{
	if (!strcmp(what, "nr"))
		state->nr = 0x7fffffff;
	else if (!strcmp(what, "parent"))
		state->fn[0].parent = 1;
	else if (strcmp(what, "bars") && strcmp(what, "caps") && strcmp(what, "data"))
		return -1;
	for (uint32_t i = 0; i < state->nr && !strcmp(what, "bars"); i++) {
		for (int bar = 0; bar < 7; bar++)
			if (state->fn[i].bar[bar] && state->fn[i].bar[bar] != ~0U)
				state->fn[i].bar[bar] ^= 1 << 28;
	}
	for (uint32_t i = 0; i < state->nr && !strcmp(what, "caps"); i++)
		state->fn[i].cap[0].pos ^= 4;
	if (strcmp(what, "data"))
		state->head.data_crc = data_crc(state);
	else
		state->fn[0].vendor ^= 1;
	return 0;
}

/* A state is a folio, so it begins with a page. Ones that were given up may still lie around. */
static int spoil(const char *what)
{
	static union {
		struct state state;
		char bytes[ROOM];
	} it;
	int memory = open("/dev/mem", O_RDWR | O_SYNC), found = 0;

	for (uint64_t at = BEGIN; memory >= 0 && at < END; at += PAGE) {
		size_t size = sizeof(struct head) + 8;

		if (pread(memory, it.bytes, size, (off_t)at) != (ssize_t)size ||
		    memcmp(it.state.head.magic, "DEVSTATE", 8) ||
		    strcmp(it.state.head.name, "pci-enumeration") ||
		    it.state.head.length > ROOM - sizeof(struct head))
			continue;
		size = sizeof(struct head) + it.state.head.length;
		if (pread(memory, it.bytes, size, (off_t)at) != (ssize_t)size ||
		    it.state.head.data_crc != data_crc(&it.state) ||
		    it.state.head.length != 8 + it.state.nr * sizeof(struct fn))
			continue; /* spoilt before */
		if (change(&it.state, what) || pwrite(memory, it.bytes, size, (off_t)at) < 0)
			return 1;
		found++;
	}
	printf("%d\n", found);
	return !found;
}

static int list(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			puts(entry->d_name);
	return !directory;
}

static int config(const char *path, const char *offset, const char *value)
{
	uint16_t word = (uint16_t)strtoul(value, NULL, 16);
	int file = open(path, O_WRONLY);

	return pwrite(file, &word, sizeof(word), strtol(offset, NULL, 16)) != sizeof(word);
}

int main(int argc, char **argv)
{
	char verb[16], word[3][128];
	int words = argc == 3 ? sscanf(argv[2], "%15s %127s %127s %127s", verb, word[0], word[1],
				       word[2]) : 0;
	int status = 2;

	errno = 0;
	if (words == 2 && !strcmp(verb, "list"))
		status = list(word[0]);
	else if (words == 4 && !strcmp(verb, "config"))
		status = config(word[0], word[1], word[2]);
	else if (words == 2 && !strcmp(verb, "spoil"))
		status = spoil(word[0]);
	if (status)
		fprintf(stderr, "%s: %s\n", argc == 3 ? argv[2] : "what?", strerror(errno));
	return status;
}
