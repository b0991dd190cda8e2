/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an update has done so far, in a file on a tmpfs that is mapped by whoever does the update, by
 * the guard that undoes it, and by `skuctl undo` when both of them are gone.
 */
#ifndef SKU_STATE_H
#define SKU_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "problem.h"

#define STATE_DIRECTORY "/run/sku"
#define STATE_FILE STATE_DIRECTORY "/state"
#define STATE_STATUS STATE_DIRECTORY "/status"
#define STATE_CONTINUE STATE_DIRECTORY "/continue"
#define STATE_IMAGES STATE_DIRECTORY "/images"
#define STATE_REPORT STATE_DIRECTORY "/report.json"
#define STATE_FAILED STATE_DIRECTORY "/failed"
#define STATE_SOCKET STATE_DIRECTORY "/plugin.sock"

#define STATE_MAGIC 0x73756b73U
#define STATE_VERSION 1

/* Flags are set before the thing is done: to undo what was not done does no harm. */
struct state {
	uint32_t magic;
	uint32_t version;
	pid_t updater;
	pid_t application;
	pid_t criu; /* 0: not running */
	bool touched;  /* the application's tasks or sockets may not be as they were */
	bool silent;   /* rules of the packet filter */
	bool reserved; /* /proc/sys/kernel/pid_reserve_next */
	bool loaded;   /* a kernel */
	bool frozen;   /* the file systems */
	uint64_t deadline_ms; /* CLOCK_MONOTONIC; 0: none */
};

struct state *state_open(bool create, int *fd, struct problem *problem);
bool state_loaded(void);
pid_t state_interrupt(pid_t told);
void state_show(const char *phase);
uint64_t state_now_ms(void);

#endif
