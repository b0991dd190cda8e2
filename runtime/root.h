/* SPDX-License-Identifier: GPL-2.0-only */
/* What a first process mounts, and the way to the root file system that the command line names. */
#ifndef SKU_ROOT_H
#define SKU_ROOT_H

#include <stdbool.h>

#include "problem.h"

void root_mount_all(void);
bool root_wanted(const char *cmdline);
int root_enter(const char *cmdline, struct problem *problem);
int root_become_init(const char *cmdline, char **argv, struct problem *problem);

#endif
