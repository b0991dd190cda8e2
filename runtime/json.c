// SPDX-License-Identifier: GPL-2.0-only
#include "json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void flush(struct json *json)
{
	size_t done = 0;

	while (done < json->used && !json->error) {
		ssize_t n = write(json->fd, json->buffer + done, json->used - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			json->error = -EIO;
		else if (errno != EINTR)
			json->error = -errno;
	}
	json->used = 0;
}

static void put(struct json *json, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (json->used == sizeof(json->buffer))
			flush(json);
		json->buffer[json->used++] = text[i];
	}
}

/*
 * A byte that is not printable ASCII is written as the code point of the same value: the line stays
 * valid JSON whatever a command line or a log holds.
 */
static void put_quoted(struct json *json, const char *text, size_t size)
{
	put(json, "\"", 1);
	for (size_t i = 0; i < size; i++) {
		unsigned char byte = (unsigned char)text[i];
		char escape[8];

		if (byte == '"' || byte == '\\') {
			escape[0] = '\\';
			escape[1] = (char)byte;
			put(json, escape, 2);
		} else if (byte >= 0x20 && byte < 0x7f) {
			put(json, &text[i], 1);
		} else {
			snprintf(escape, sizeof(escape), "\\u%04x", byte);
			put(json, escape, 6);
		}
	}
	put(json, "\"", 1);
}

static void put_key(struct json *json, const char *key)
{
	if (json->more)
		put(json, ",", 1);
	json->more = true;
	put_quoted(json, key, strlen(key));
	put(json, ":", 1);
}

/* Start an object; what is written goes to @fd. */
void json_begin(struct json *json, int fd)
{
	json->fd = fd;
	json->error = 0;
	json->more = false;
	json->used = 0;
	put(json, "{", 1);
}

/* Begin a member that is a list of objects; each is between json_item() and json_item_end(). */
void json_list(struct json *json, const char *key)
{
	put_key(json, key);
	put(json, "[", 1);
	json->more = false;
}

void json_item(struct json *json)
{
	if (json->more)
		put(json, ",", 1);
	put(json, "{", 1);
	json->more = false;
}

void json_item_end(struct json *json)
{
	put(json, "}", 1);
	json->more = true;
}

void json_list_end(struct json *json)
{
	put(json, "]", 1);
	json->more = true;
}

/* Add a member whose value is the NUL-terminated string @value. */
void json_string(struct json *json, const char *key, const char *value)
{
	json_text(json, key, value, strlen(value));
}

/* Add a member whose value is the @size bytes at @value. */
void json_text(struct json *json, const char *key, const char *value, size_t size)
{
	put_key(json, key);
	put_quoted(json, value, size);
}

/* Add a member whose value is a number. */
void json_number(struct json *json, const char *key, uint64_t value)
{
	char digits[24];
	int size = snprintf(digits, sizeof(digits), "%" PRIu64, value);

	put_key(json, key);
	put(json, digits, (size_t)size);
}

/* End the object and its line. Return 0, or the negative errno of the first write that failed. */
int json_end(struct json *json)
{
	put(json, "}\n", 2);
	flush(json);
	return json->error;
}
