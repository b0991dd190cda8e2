/* SPDX-License-Identifier: GPL-2.0-only */
/* What a process may have and CRIU cannot dump, as far as it is worth saying before it is tried. */
#ifndef SKU_UNDUMPABLE_H
#define SKU_UNDUMPABLE_H

#include <stddef.h>
#include <sys/types.h>

#include "problem.h"

const char *undumpable_hint(const char *target);
/* Each returns 0, or less with @problem set. */
int undumpable_files(pid_t pid, struct problem *problem);
int undumpable_areas(pid_t pid, struct problem *problem);
int undumpable_mounts(pid_t pid, struct problem *problem);

#endif
