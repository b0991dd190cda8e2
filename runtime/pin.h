/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sessions of /dev/pin_mem, by their file descriptor. Every call that returns an int returns 0 (or
 * what it says) or a negative errno with the problem set.
 */
#ifndef SKU_PIN_H
#define SKU_PIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "buffer.h"
#include "pin_mem_uapi.h"
#include "problem.h"

#define PIN_DEVICE "/dev/pin_mem"
#define PIN_SESSION "sku" /* unless another name is given */

/* Base pages that were moved, and how many of them are in huge mappings. */
struct pin_moved {
	uint64_t pages;
	uint64_t huge;
};

/* A range the kernel would not take; @reason is 0 when it is not about one. */
struct pin_refused {
	uint64_t start;
	uint64_t end;
	uint32_t reason;
};

/* As struct pin_mem_stamps has them. */
struct pin_stamp {
	char phase[24];
	uint64_t counter;
};

#define PIN_STAMPS_MAX 256
#define PIN_KEYS_MAX 4096

int pin_create(const char *name, struct problem *problem);
int pin_retrieve(const char *name, struct problem *problem);

int pin_detach(int session, pid_t pid, const struct pin_mem_range *ranges, size_t count,
	       struct pin_moved *moved, struct pin_refused *refused, struct problem *problem);
int pin_attach(int session, uint64_t key, pid_t pid, struct pin_moved *moved,
	       struct problem *problem);
int pin_seal(int session, bool checksum, struct problem *problem);
int pin_verify(int session, uint64_t *checked, struct problem *problem);
int pin_drop(int session, struct problem *problem);
int pin_info(int session, struct pin_mem_info *info, struct problem *problem);

int pin_put(int session, const char *name, const void *data, size_t size, struct problem *problem);
int pin_get(int session, const char *name, struct buffer *data, struct problem *problem);
int pin_list(int session, uint32_t index, char name[PIN_MEM_NAME_SIZE], struct problem *problem);

int pin_stamp(int session, const char *phase, uint64_t counter, struct problem *problem);
int pin_stamps(int session, struct pin_stamp *stamps, size_t *count, struct problem *problem);

int pin_keys(int session, uint64_t *keys, size_t *count, struct problem *problem);
int pin_read(int session, uint64_t key, uint64_t start, void *data, size_t size, uint64_t *done,
	     uint64_t *next, struct problem *problem);

const char *pin_reason(uint32_t reason);

#endif
