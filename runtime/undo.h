/* SPDX-License-Identifier: GPL-2.0-only */
/* Going back on what an update has done, before its jump. */
#ifndef SKU_UNDO_H
#define SKU_UNDO_H

#include "state.h"

#define PID_RESERVE_NEXT "/proc/sys/kernel/pid_reserve_next"

int undo(struct state *state, int session);

#endif
