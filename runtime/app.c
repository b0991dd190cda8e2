// SPDX-License-Identifier: GPL-2.0-only
#include "app.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1
#define TEXT_MAX (1U << 20)
#define PID_LIMIT (1U << 22) /* PID_MAX_LIMIT of a 64-bit kernel */

/* Write @app down for the next kernel. */
int app_write(const struct app *app, struct buffer *text, struct problem *problem)
{
	int r = buffer_printf(text, "version %d\n", VERSION);

	for (size_t i = 0; r == 0 && i < app->tasks.count; i++)
		r = buffer_printf(text, "task %d\n", app->tasks.pids[i]);
	for (size_t i = 0; r == 0 && i < app->port_count; i++)
		r = buffer_printf(text, "port %u\n", app->ports[i]);
	return r < 0 ? problem_set(problem, -r, NULL, "cannot write down the application") : 0;
}

static int add_task(struct app *app, unsigned long value)
{
	pid_t *pids;

	if (!value || value >= PID_LIMIT)
		return -EINVAL;
	pids = realloc(app->tasks.pids, (app->tasks.count + 1) * sizeof(*pids));
	if (!pids)
		return -ENOMEM;
	pids[app->tasks.count++] = (pid_t)value;
	app->tasks.pids = pids;
	return 0;
}

static int add_port(struct app *app, unsigned long value)
{
	uint16_t *ports;

	if (!value || value > UINT16_MAX || app->port_count == APP_PORTS_MAX)
		return -EINVAL;
	ports = realloc(app->ports, (app->port_count + 1) * sizeof(*ports));
	if (!ports)
		return -ENOMEM;
	ports[app->port_count++] = (uint16_t)value;
	app->ports = ports;
	return 0;
}

static int take_line(struct app *app, const char *line)
{
	char word[16];
	unsigned long value;
	char rest;

	if (sscanf(line, "%15[a-z] %lu%c", word, &value, &rest) != 2)
		return -EINVAL;
	if (!strcmp(word, "task"))
		return add_task(app, value);
	if (!strcmp(word, "port"))
		return add_port(app, value);
	return !strcmp(word, "version") && value == VERSION ? 0 : -EINVAL;
}

/* Read what the kernel before this one handed over: nothing in it is trusted. */
int app_read(const struct buffer *text, struct app *app, struct problem *problem)
{
	size_t at = 0;
	int r = text->used <= TEXT_MAX ? 0 : -E2BIG;

	while (r == 0 && at < text->used) {
		const char *newline = memchr(text->data + at, '\n', text->used - at);
		size_t size = newline ? (size_t)(newline - (text->data + at)) : 0;
		char line[64];

		if (!newline || size >= sizeof(line)) {
			r = -EINVAL;
			break;
		}
		memcpy(line, text->data + at, size);
		line[size] = '\0';
		r = take_line(app, line);
		at += size + 1;
	}
	if (r == 0 && !app->tasks.count)
		r = -EINVAL;
	return r < 0 ? problem_set(problem, -r, "bring the application back by hand: skuctl rescue",
				   "cannot use the record '" APP_RECORD "'") : 0;
}

void app_free(struct app *app)
{
	tasks_free(&app->tasks);
	free(app->ports);
	*app = (struct app){ 0 };
}
