/* SPDX-License-Identifier: GPL-2.0-only */
/* The other side of a connection, for which nobody is there for a while. */
#ifndef SKU_WAKE_H
#define SKU_WAKE_H

#include <stddef.h>
#include <sys/types.h>

#include "problem.h"
#include "segment.h"
#include "tcp.h"

/* Starts out as WAKING_NONE. */
struct waking {
	struct wire wire;
	struct connections connections;
};

int hush(const pid_t *pids, size_t count, struct problem *problem);
int wake(struct waking *waking, const pid_t *pids, size_t count, struct problem *problem);
pid_t wake_missing(struct waking *waking);

#define WAKING_NONE { .wire = WIRE_NONE }

#endif
