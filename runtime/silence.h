/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TCP ports on which nothing is heard or said for a while, so that no segment meets a machine that
 * has no socket for it. A table of nftables, made without the program of that name.
 */
#ifndef SKU_SILENCE_H
#define SKU_SILENCE_H

#include <stddef.h>
#include <stdint.h>

#include "problem.h"

int silence_on(const uint16_t *ports, size_t count, struct problem *problem);
int silence_off(struct problem *problem);

#endif
