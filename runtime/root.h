/* SPDX-License-Identifier: GPL-2.0-only */
/* From the initramfs to the root file system that the command line names. */
#ifndef SKU_ROOT_H
#define SKU_ROOT_H

#include <stdbool.h>

#include "problem.h"

bool root_wanted(const char *cmdline);
int root_enter(const char *cmdline, struct problem *problem);
int root_become_init(const char *cmdline, struct problem *problem);

#endif
