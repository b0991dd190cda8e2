/* SPDX-License-Identifier: GPL-2.0-only */
/* File systems found by what is written in them: the names of disks change from boot to boot. */
#ifndef SKU_VOLUME_H
#define SKU_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOLUME_UUID_BYTES 16

bool volume_parse_uuid(const char *text, uint8_t uuid[VOLUME_UUID_BYTES]);
bool volume_has_uuid(int fd, const uint8_t uuid[VOLUME_UUID_BYTES]);
bool volume_find(const uint8_t uuid[VOLUME_UUID_BYTES], char *device, size_t size);

#endif
