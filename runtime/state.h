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

#ifndef STATE_DIRECTORY /* another one for tests */
#define STATE_DIRECTORY "/run/sku"
#endif
#define STATE_FILE STATE_DIRECTORY "/state"
#define STATE_STATUS STATE_DIRECTORY "/status"
#define STATE_CONTINUE STATE_DIRECTORY "/continue"
#define STATE_IMAGES STATE_DIRECTORY "/images"
#define STATE_REPORT STATE_DIRECTORY "/report.json"
#define STATE_FAILED STATE_DIRECTORY "/failed"
#define STATE_SOCKET STATE_DIRECTORY "/plugin.sock"
#define STATE_MEMFDS STATE_DIRECTORY "/memfds" /* plugin_memfds.h */

#define STATE_NAME_SIZE 16
#define STATE_COMMAND_SIZE 1024

#define STATE_MAGIC 0x73756b73U
#define STATE_VERSION 4

/* Flags are set before the thing is done: to undo what was not done does no harm. */
struct state {
	uint32_t magic;
	uint32_t version;
	pid_t updater;
	pid_t application;
	pid_t helper; /* what the freezer runs; 0: nothing */
	bool touched;  /* the application's tasks or sockets may not be as they were */
	bool silent;   /* rules of the packet filter */
	bool hushed;   /* the other sides of the connections */
	bool reserved; /* /proc/sys/kernel/pid_reserve_next */
	bool loaded;   /* a kernel */
	bool takes;    /* that one takes memfds from this one */
	bool keeping;  /* memfds: until their session is closed, none can change its size */
	bool frozen;   /* the file systems */
	bool hasty;    /* RCU's grace periods */
	uint64_t deadline_ms; /* CLOCK_MONOTONIC; 0: none */
	char freezer[STATE_NAME_SIZE];
	char restore_command[STATE_COMMAND_SIZE]; /* for what a freezer's commands have ended */
};

struct state *state_open(bool create, int *fd, struct problem *problem);
bool state_loaded(void);
bool state_takes(void);
pid_t state_interrupt(pid_t told);
void state_show(const char *phase);
uint64_t state_now_ms(void);

#endif
