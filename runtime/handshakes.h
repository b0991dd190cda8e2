/* SPDX-License-Identifier: GPL-2.0-only */
/* Connections that are not yet the application's: half made, or not accepted. */
#ifndef SKU_HANDSHAKES_H
#define SKU_HANDSHAKES_H

#include <stddef.h>
#include <stdint.h>

int handshakes_count(const uint16_t *ports, size_t count, size_t *pending);
void handshakes_wait(const uint16_t *ports, size_t count, unsigned int patience_ms);

#endif
