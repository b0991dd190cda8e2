/* SPDX-License-Identifier: GPL-2.0-only */
/* The auxiliary vector of a process, and whether another kernel takes it. */
#ifndef SKU_AUXV_H
#define SKU_AUXV_H

#include <sys/types.h>

#include "problem.h"

int auxv_fits(pid_t pid, const char *image, struct problem *problem);

#endif
