/* SPDX-License-Identifier: GPL-2.0-only */
/* The record that says what was frozen: a text of lines "word value". */
#ifndef SKU_APP_H
#define SKU_APP_H

#include <stdint.h>
#include <sys/types.h>

#include "buffer.h"
#include "problem.h"
#include "tasks.h"

#define APP_RECORD "app"
#define APP_PORTS_MAX 1024

/* Starts out as zeroes. */
struct app {
	struct tasks tasks; /* of each its memory is under its pid */
	uint16_t *ports;    /* local TCP ports, kept silent until it is back */
	size_t port_count;
};

int app_write(const struct app *app, struct buffer *text, struct problem *problem);
int app_read(const struct buffer *text, struct app *app, struct problem *problem);
void app_free(struct app *app);

#define _cleanup_app_ _cleanup_(app_free)

#endif
