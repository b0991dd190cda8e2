/* SPDX-License-Identifier: GPL-2.0-only */
/* Records of /dev/kmsg, as Documentation/ABI/testing/dev-kmsg describes them. */
#ifndef SKU_KMSG_H
#define SKU_KMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CONSOLE_EXT_LOG_MAX (8192 up to 6.1, PRINTK_MESSAGE_MAX 2048 later) is the longest record. */
#define KMSG_RECORD_MAX 8192

struct kmsg_record {
	unsigned int level;    /* 0 (emergency) to 7 (debug) */
	unsigned int facility; /* 0 is the kernel itself */
	uint64_t sequence;
	uint64_t stamp_us; /* since the kernel's clock started */
	const char *text;  /* in the buffer that was parsed; not NUL-terminated */
	size_t size;
};

bool kmsg_parse(const char *buffer, size_t size, struct kmsg_record *record);

#endif
