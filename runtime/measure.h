/* SPDX-License-Identifier: GPL-2.0-only */
/* What a copy of memory costs on this machine: what keeping it is measured against. */
#ifndef SKU_MEASURE_H
#define SKU_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#include "problem.h"

struct measure {
	uint64_t copy_4k_ns; /* a page of 4 KiB, the target touched for the first time */
	uint64_t copy_2m_ns; /* 2 MiB into a huge page, likewise */
};

int measure_copies(size_t mib, struct measure *measure, struct problem *problem);

#endif
