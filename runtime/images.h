/* SPDX-License-Identifier: GPL-2.0-only */
/* A freezer's images: files on a tmpfs of their own, records of a session, and back. */
#ifndef SKU_IMAGES_H
#define SKU_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

struct images_size {
	uint64_t all;   /* bytes */
	uint64_t pages; /* of these, memory that was copied */
};

#define IMAGES_LATER ".later"

int images_prepare(bool memory, struct problem *problem);
int images_put(int session, struct images_size *size, struct problem *problem);
int images_get(int session, struct images_size *size, struct problem *problem);
void images_remove(void);
void images_last_error(const char *log, char *text, size_t size);

#endif
