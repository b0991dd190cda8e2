/* SPDX-License-Identifier: GPL-2.0-only */
/* The programs and libraries that the way back needs, read ahead while something else is done. */
#ifndef SKU_WARM_H
#define SKU_WARM_H

#include <sys/types.h>

#include "buffer.h"

#define WARM_RECORD "warm"

int warm_gather(pid_t pid, struct buffer *list);
pid_t warm_read(const struct buffer *list);

#endif
