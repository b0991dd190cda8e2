/* SPDX-License-Identifier: GPL-2.0-only */
/* What can be told of a kernel from its file. */
#ifndef SKU_IMAGE_H
#define SKU_IMAGE_H

#include "problem.h"
#include "reads.h"

int image_check(const char *path, struct reads *reads, struct problem *problem);

#endif
