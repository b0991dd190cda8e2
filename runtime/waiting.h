/* SPDX-License-Identifier: GPL-2.0-only */
/* Devices that wait for their drivers: the kernel's series partial_init. */
#ifndef SKU_WAITING_H
#define SKU_WAITING_H

#include <stdbool.h>
#include <stddef.h>

#include "problem.h"

#define WAITING_SIZE 4097

struct waiting_device {
	const char *bus;
	const char *name;
	const char *driver;
};

bool waiting_next(char **list, struct waiting_device *device);
void waiting_read(char *list, size_t size);
void waiting_state(char *state, size_t size);
bool waiting_start_first(void);
int waiting_settle(struct problem *problem);
int waiting_see_settled(unsigned int patience_ms, struct problem *problem);

#endif
