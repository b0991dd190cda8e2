// SPDX-License-Identifier: GPL-2.0-only
#include "buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Make room for @more bytes after those that are used. Return 0 or -ENOMEM. */
int buffer_reserve(struct buffer *buffer, size_t more)
{
	size_t room = buffer->room ? buffer->room : 256;
	char *data;

	if (more > SIZE_MAX / 4 || buffer->used > SIZE_MAX / 4)
		return -ENOMEM;
	while (room < buffer->used + more)
		room *= 2;
	if (room == buffer->room)
		return 0;
	data = realloc(buffer->data, room);
	if (!data)
		return -ENOMEM;
	buffer->data = data;
	buffer->room = room;
	return 0;
}

/* Add a copy of @size bytes. Return 0 or -ENOMEM. */
int buffer_add(struct buffer *buffer, const void *data, size_t size)
{
	int r = buffer_reserve(buffer, size);

	if (r < 0)
		return r;
	if (size)
		memcpy(buffer->data + buffer->used, data, size);
	buffer->used += size;
	return 0;
}

/* Add formatted text, without its NUL. Return 0 or a negative errno. */
int buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list args;
	int size;
	int r;

	va_start(args, format);
	size = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (size < 0)
		return -EINVAL;
	r = buffer_reserve(buffer, (size_t)size + 1);
	if (r < 0)
		return r;
	va_start(args, format);
	vsnprintf(buffer->data + buffer->used, (size_t)size + 1, format, args);
	va_end(args);
	buffer->used += (size_t)size;
	return 0;
}

/* Free what it holds; it can be used again. */
void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){ 0 };
}
