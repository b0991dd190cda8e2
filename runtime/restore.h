/* SPDX-License-Identifier: GPL-2.0-only */
/* Bringing back an application whose memory was handed over. */
#ifndef SKU_RESTORE_H
#define SKU_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

int restore_session(const char *name, uint64_t counter, uint64_t entered, bool unverified);

/*
 * Bring back the application that was handed over, if there is one; @counter is when the first
 * process began. Never fails the boot: what goes wrong is on the console and in /run/sku/failed.
 */
void restore_if_handed_over(uint64_t counter);

#endif
