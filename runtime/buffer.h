/* SPDX-License-Identifier: GPL-2.0-only */
/* Bytes in memory that grows with them. */
#ifndef SKU_BUFFER_H
#define SKU_BUFFER_H

#include <stddef.h>

#include "cleanup.h"

/* Starts out as zeroes; freed by _cleanup_buffer_ or buffer_free(). */
struct buffer {
	char *data;  /* NULL as long as nothing was added; not NUL-terminated */
	size_t used; /* bytes */
	size_t room;
};

int buffer_reserve(struct buffer *buffer, size_t more);
int buffer_add(struct buffer *buffer, const void *data, size_t size);
int buffer_printf(struct buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void buffer_free(struct buffer *buffer);

#define _cleanup_buffer_ _cleanup_(buffer_free)

#endif
