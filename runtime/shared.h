/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shared memory of an application, memfds and anonymous mappings: for the kernel both are files of
 * one and the same file system, and so is System V's.
 */
#ifndef SKU_SHARED_H
#define SKU_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buffer.h"
#include "problem.h"
#include "tasks.h"

#define SHARED_RECORD "shared"
#define SHARED_WHY_SIZE 160
/* A smaller file is copied: to keep one has its price, too. */
#define SHARED_MIN_BYTES (1UL << 20)

struct shared_file {
	uint64_t inode; /* under the kernel that is left */
	uint64_t size;	/* bytes, holes included */
	uint64_t bytes; /* of memory */
	bool stuck;	/* CRIU cannot make it again: it sets a seal that it then finds violated */
	const char *copied; /* why it is; NULL: it is kept */
};

/* Where a process has a file: its descriptor, or an address where it is mapped. */
struct shared_use {
	size_t file; /* its index */
	pid_t pid;
	bool mapped;
	bool shared; /* the mapping is */
	uint64_t at;
};

/* Starts out as zeroes. */
struct shared {
	dev_t device; /* of the file system */
	size_t count;
	struct shared_file *files;
	size_t use_count;
	struct shared_use *uses;
	uint64_t copied_bytes; /* of those that are */
	char why[SHARED_WHY_SIZE]; /* of the largest of them */
};

int shared_gather(const struct tasks *tasks, struct shared *shared, struct problem *problem);
int shared_open(const struct shared *shared, size_t file);
void shared_copy(struct shared *shared, size_t file, const char *why);
void shared_sum(struct shared *shared, const char *why);
int shared_stuck(const struct shared *shared, struct problem *problem);
uint64_t shared_kept_bytes(const struct shared *shared);
int shared_write(const struct shared *shared, struct buffer *text, struct problem *problem);
int shared_read(const struct buffer *text, struct shared *shared, struct problem *problem);
int shared_inode_at(const struct shared_use *use, dev_t *device, uint64_t *inode);
void shared_free(struct shared *shared);

#define _cleanup_shared_ _cleanup_(shared_free)

#endif
