// SPDX-License-Identifier: GPL-2.0-only
/* The record of the shared memory: what the next kernel's live update keeps, and where it belongs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared.h"

#define VERSION "version 1"
#define TEXT_MAX (16U << 20)
#define PID_LIMIT (1U << 22) /* PID_MAX_LIMIT of a 64-bit kernel */
#define DESCRIPTOR_LIMIT (1U << 30)

/* Write down what is kept for the next kernel, and what is not. */
int shared_write(const struct shared *shared, struct buffer *text, struct problem *problem)
{
	int r = buffer_printf(text, VERSION "\n");

	for (size_t i = 0; r == 0 && i < shared->count; i++) {
		const struct shared_file *file = &shared->files[i];

		if (file->copied)
			continue;
		r = buffer_printf(text, "kept %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", file->inode,
				  file->size, file->bytes);
		for (size_t k = 0; r == 0 && k < shared->use_count; k++)
			if (shared->uses[k].file == i)
				r = buffer_printf(text, "%s %d %" PRIu64 "\n",
						  shared->uses[k].mapped ? "map" : "fd",
						  shared->uses[k].pid, shared->uses[k].at);
	}
	if (r == 0 && shared->copied_bytes)
		r = buffer_printf(text, "copied %" PRIu64 " %s\n", shared->copied_bytes, shared->why);
	return r < 0 ? problem_set(problem, -r, NULL, "cannot write down the shared memory") : 0;
}

static int take_kept(struct shared *shared, const char *line)
{
	struct shared_file file = { 0 };
	struct shared_file *files;
	char rest;

	if (sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64 "%c", &file.inode, &file.size, &file.bytes,
		   &rest) != 3 || !file.inode || file.inode > UINT32_MAX)
		return -EINVAL;
	for (size_t i = 0; i < shared->count; i++)
		if (shared->files[i].inode == file.inode)
			return -EINVAL;
	files = realloc(shared->files, (shared->count + 1) * sizeof(*files));
	if (!files)
		return -ENOMEM;
	files[shared->count++] = file;
	shared->files = files;
	return 0;
}

/* A use is of the file that was named last. */
static int take_use(struct shared *shared, const char *line, bool mapped)
{
	struct shared_use use = { .file = shared->count - 1, .mapped = mapped };
	struct shared_use *uses;
	unsigned long pid;
	char rest;

	if (!shared->count || sscanf(line, "%lu %" SCNu64 "%c", &pid, &use.at, &rest) != 2 || !pid ||
	    pid >= PID_LIMIT || (!mapped && use.at >= DESCRIPTOR_LIMIT))
		return -EINVAL;
	use.pid = (pid_t)pid;
	uses = realloc(shared->uses, (shared->use_count + 1) * sizeof(*uses));
	if (!uses)
		return -ENOMEM;
	uses[shared->use_count++] = use;
	shared->uses = uses;
	return 0;
}

static int take_line(struct shared *shared, const char *line, bool first)
{
	int at = 0;

	if (first)
		return !strcmp(line, VERSION) ? 0 : -EINVAL;
	if (!strncmp(line, "kept ", 5))
		return take_kept(shared, line + 5);
	if (!strncmp(line, "map ", 4))
		return take_use(shared, line + 4, true);
	if (!strncmp(line, "fd ", 3))
		return take_use(shared, line + 3, false);
	if (sscanf(line, "copied %" SCNu64 " %n", &shared->copied_bytes, &at) != 1 || !at)
		return -EINVAL;
	snprintf(shared->why, sizeof(shared->why), "%s", line + at);
	return 0;
}

/* Read what the kernel before this one handed over: nothing in it is trusted. */
int shared_read(const struct buffer *text, struct shared *shared, struct problem *problem)
{
	size_t at = 0;
	int r = text->used && text->used <= TEXT_MAX ? 0 : -EINVAL;

	while (r == 0 && at < text->used) {
		const char *newline = memchr(text->data + at, '\n', text->used - at);
		size_t size = newline ? (size_t)(newline - (text->data + at)) : 0;
		char line[SHARED_WHY_SIZE + 64];

		if (!newline || size >= sizeof(line) || memchr(text->data + at, '\0', size)) {
			r = -EINVAL;
			break;
		}
		memcpy(line, text->data + at, size);
		line[size] = '\0';
		r = take_line(shared, line, at == 0);
		at += size + 1;
	}
	return r < 0 ? problem_set(problem, -r, "bring the application back by hand: skuctl rescue",
				   "cannot use the record '" SHARED_RECORD "'") : 0;
}
