// SPDX-License-Identifier: GPL-2.0-only
#include "waiting.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "file.h"

#define WAITING "/sys/kernel/partial_init/waiting"
#define SETTLE "/sys/kernel/partial_init/settle"
#define POLL_MS 10

/* Read what waits, a line for each device; "" when nothing does, or this kernel knows no waiting. */
void waiting_read(char *list, size_t size)
{
	file_text(WAITING, list, size);
}

/* Read "waiting", "settling" or "settled"; the last also when nothing was told to wait. */
void waiting_state(char *state, size_t size)
{
	file_text(SETTLE, state, size);
	if (!*state)
		snprintf(state, size, "settled");
}

/*
 * Take the next device off @list, which is written to. Return whether there was one; the kernel's
 * "... N more", of those that did not fit, is none.
 */
bool waiting_next(char **list, struct waiting_device *device)
{
	char *line = strsep(list, "\n");

	device->bus = line ? strsep(&line, " ") : NULL;
	device->name = line ? strsep(&line, " ") : NULL;
	device->driver = line;
	return device->driver && *device->driver && strcmp(device->bus, "...");
}

/*
 * Have the first device that waits get its driver now, and wait for that: one after the other, so
 * that interfaces get the names that they have without waiting. Return whether there was one.
 */
bool waiting_start_first(void)
{
	static char text[WAITING_SIZE];
	struct waiting_device device;
	struct problem problem;
	char *list = text;
	char path[128];

	waiting_read(text, sizeof(text));
	if (!waiting_next(&list, &device))
		return false;
	dprintf(STDERR_FILENO, "%s: something is missing, so %s %s need not wait for %s any more\n",
		problem_program, device.bus, device.name, device.driver);
	snprintf(path, sizeof(path), "/sys/bus/%s/drivers_probe", device.bus);
	/* Its own failure is in the kernel's log, and it waits no more. */
	if (file_put(path, device.name, &problem) < 0 && problem.error == ENOENT)
		return false;
	return true;
}

/*
 * Let all devices that wait go. Does not wait for them. Return 0, also where nothing does, or a
 * negative errno, with @problem set.
 */
int waiting_settle(struct problem *problem)
{
	if (access(SETTLE, F_OK) < 0)
		return 0;
	return file_put(SETTLE, "1\n", problem);
}

/* Wait until all of them have started. Return 0 or -ETIMEDOUT, with @problem set. */
int waiting_see_settled(unsigned int patience_ms, struct problem *problem)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
	char state[16];

	for (unsigned int waited = 0;; waited += POLL_MS) {
		waiting_state(state, sizeof(state));
		if (!strcmp(state, "settled"))
			return 0;
		if (waited >= patience_ms)
			break;
		nanosleep(&pause, NULL);
	}
	return problem_set(problem, ETIMEDOUT, "see skuctl status, and the kernel's log",
			   "devices are still being started");
}
