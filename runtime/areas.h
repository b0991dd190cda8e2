/* SPDX-License-Identifier: GPL-2.0-only */
/* Which memory of a process stays in place, and is not for CRIU to copy. */
#ifndef SKU_AREAS_H
#define SKU_AREAS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cleanup.h"
#include "criu_plugin.h"
#include "pin_mem_uapi.h"
#include "problem.h"

/* What is smaller costs more to keep than to copy. */
#define AREAS_MIN_SIZE (1UL << 20)

/* Starts out as zeroes. */
struct areas {
	size_t count;
	struct pin_mem_range *list; /* sorted, disjoint */
};

int areas_gather(pid_t pid, struct plugin_area *spared, size_t count, struct areas *areas,
		 struct problem *problem);
size_t areas_remove(struct areas *areas, uint64_t start, uint64_t end);
void areas_free(struct areas *areas);

#define _cleanup_areas_ _cleanup_(areas_free)

#endif
