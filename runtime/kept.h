/* SPDX-License-Identifier: GPL-2.0-only */
/* The initramfs of the next kernel as files that are kept for it; see docs/kept_initramfs.md. */
#ifndef SKU_KEPT_H
#define SKU_KEPT_H

#include <stddef.h>

#include "json.h"

#define KEPT_TEXT_SIZE 128

int kept_off(const char *cmdline, char *text, size_t size);
void kept_say_next(void);
void kept_report(struct json *json);

#endif
