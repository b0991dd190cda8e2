// SPDX-License-Identifier: GPL-2.0-only
#include "kmsg.h"

#include <string.h>

/* Read digits up to @end_mark, and step over it. */
static bool take_number(const char **at, const char *end, char end_mark, uint64_t *value)
{
	const char *p = *at;

	*value = 0;
	while (p < end && *p >= '0' && *p <= '9') {
		uint64_t digit = (uint64_t)(*p - '0');

		if (*value > (UINT64_MAX - digit) / 10)
			return false;
		*value = *value * 10 + digit;
		p++;
	}
	if (p == *at || p == end || *p != end_mark)
		return false;
	*at = p + 1;
	return true;
}

/*
 * Parse one record "prefix,sequence,stamp,flags[,…];text\n KEY=value\n" of @size bytes. Return
 * false when it is not one.
 */
bool kmsg_parse(const char *buffer, size_t size, struct kmsg_record *record)
{
	const char *at = buffer;
	const char *end = buffer + size;
	const char *newline;
	uint64_t prefix;

	if (!take_number(&at, end, ',', &prefix) ||
	    !take_number(&at, end, ',', &record->sequence) ||
	    !take_number(&at, end, ',', &record->stamp_us))
		return false;
	at = memchr(at, ';', (size_t)(end - at));
	if (!at)
		return false;
	at++;
	newline = memchr(at, '\n', (size_t)(end - at));
	record->level = prefix & 7;
	record->facility = (unsigned int)(prefix >> 3);
	record->text = at;
	record->size = (size_t)((newline ? newline : end) - at);
	return true;
}
