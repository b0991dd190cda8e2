/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process that undoes an update that ends before its jump, however it ends: also by kill -9.
 */
#ifndef SKU_GUARD_H
#define SKU_GUARD_H

#include "state.h"

struct guard {
	pid_t pid;
	int rope; /* the update's end of a pipe: the guard acts when nobody holds it any more */
};

int guard_start(struct guard *guard, struct state *state, int session, struct problem *problem);
int guard_let_go(struct guard *guard);

#endif
