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

enum silence {
	SILENCE_NEW, /* what would begin a connection to them is dropped */
	SILENCE_OUT, /* and all that goes from them */
	SILENCE_ALL,
};

/* What CRIU marks its own packets with. They pass. */
#define SILENCE_MARK 0xC114U

int silence_on(const uint16_t *ports, size_t count, enum silence what, struct problem *problem);
int silence_off(struct problem *problem);

#endif
