/* SPDX-License-Identifier: GPL-2.0-only */
/* Files, read or written whole. */
#ifndef SKU_FILE_H
#define SKU_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "problem.h"

/* The longest file that is sent to the lab. */
#define FILE_MAX_SIZE 65536

int file_write_all(int fd, const void *data, size_t size);
void file_text(const char *path, char *text, size_t size);
int file_put(const char *path, const char *text, struct problem *problem);
ssize_t file_get(const char *path, char *buffer, size_t size, struct problem *problem);

#endif
