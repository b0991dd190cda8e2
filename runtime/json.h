/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writes one JSON object a line to a file descriptor, through a buffer of fixed size. A failed
 * write is remembered, and told by json_end() alone.
 */
#ifndef SKU_JSON_H
#define SKU_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
	int fd;
	int error; /* 0, or the negative errno of the first write that failed */
	bool more; /* a member was written: the next one needs a comma */
	size_t used;
	char buffer[4096];
};

void json_begin(struct json *json, int fd);
void json_string(struct json *json, const char *key, const char *value);
void json_text(struct json *json, const char *key, const char *value, size_t size);
void json_number(struct json *json, const char *key, uint64_t value);
void json_list(struct json *json, const char *key);
void json_item(struct json *json);
void json_item_end(struct json *json);
void json_list_end(struct json *json);
int json_end(struct json *json);

#endif
