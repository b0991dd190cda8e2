/* SPDX-License-Identifier: GPL-2.0-only */
/* The TCP sockets of an application's processes, which may be stopped. */
#ifndef SKU_TCP_H
#define SKU_TCP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "problem.h"

int tcp_ports(const pid_t *pids, size_t count, uint16_t **ports, size_t *nr,
	      struct problem *problem);
int tcp_repair_off(const pid_t *pids, size_t count, struct problem *problem);
int tcp_wake(const pid_t *pids, size_t count, struct problem *problem);

#endif
