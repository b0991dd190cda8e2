/* SPDX-License-Identifier: GPL-2.0-only */
/* Copies in memory that nobody can change any more. */
#ifndef SKU_SEALED_H
#define SKU_SEALED_H

#include <stddef.h>

#include "problem.h"

#define SEALED_PATH_SIZE 32

int sealed_copy(const char *path, struct problem *problem);
int sealed_text(const char *name, const char *text, size_t size, struct problem *problem);
void sealed_path(int fd, const char *process, char *path);

#endif
