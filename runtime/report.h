/* SPDX-License-Identifier: GPL-2.0-only */
/* What an update was like, in a file that stays after it. */
#ifndef SKU_REPORT_H
#define SKU_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "images.h"
#include "pin.h"
#include "problem.h"
#include "shared.h"

struct report {
	struct pin_moved moved;
	struct images_size images;
	uint64_t extents; /* runs of pages that follow each other in memory and in the process */
	uint64_t verified; /* pages compared with the checksums of the seal */
	const struct shared *shared;
	size_t tasks;
};

int report_write(const struct report *report, int session, struct problem *problem);
void report_failure(const struct problem *problem, bool kept);

#endif
