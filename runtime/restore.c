// SPDX-License-Identifier: GPL-2.0-only
#include "restore.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "app.h"
#include "child.h"
#include "file.h"
#include "images.h"
#include "net.h"
#include "pin.h"
#include "report.h"
#include "silence.h"
#include "state.h"
#include "tcp.h"

#define CRIU_TIMEOUT_MS 600000
#define WINDOW_SCALING "/proc/sys/net/ipv4/tcp_window_scaling"
#define PID_RESERVED "/proc/sys/kernel/pid_reserved"
#define CRIU_LOG STATE_DIRECTORY "/restore.log"

struct restore {
	int session;
	struct problem problem;
	struct app app;
	struct report report;
	bool made;     /* CRIU has made the tasks */
	bool attached; /* some of them have their memory */
};

static int stamp(struct restore *restore, const char *phase, uint64_t counter)
{
	return pin_stamp(restore->session, phase, counter, &restore->problem);
}

static int take_records(struct restore *restore)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	struct pin_mem_info info;
	int r = pin_info(restore->session, &info, &restore->problem);

	restore->report.extents = r == 0 ? info.extents : 0;
	if (r == 0)
		r = pin_get(restore->session, APP_RECORD, &text, &restore->problem);
	if (r == 0)
		r = app_read(&text, &restore->app, &restore->problem);
	if (r == 0)
		r = images_prepare(&restore->problem);
	if (r == 0)
		r = images_get(restore->session, &restore->report.images, &restore->problem);
	return r;
}

/* The packet filter comes before the interfaces: a segment that meets no socket ends a connection. */
static int bring_network_up(struct restore *restore)
{
	_cleanup_buffer_ struct buffer state = { 0 };
	int r = silence_on(restore->app.ports, restore->app.port_count, &restore->problem);

	if (r == 0)
		r = pin_get(restore->session, NET_RECORD, &state, &restore->problem);
	if (r == 0)
		r = net_load(state.data, state.used, &restore->problem);
	return r;
}

static int run_criu(struct restore *restore)
{
	static const char *const argv[] = {
		"criu",	      "restore",
		"--images-dir", STATE_IMAGES,
		"--log-file", CRIU_LOG,
		"--restore-detached", "--leave-stopped",
		"--tcp-established",  "--file-locks",
		NULL,
	};
	_cleanup_buffer_ struct buffer said = { 0 };
	char error[160];
	int r = child_run(argv, &said, CRIU_TIMEOUT_MS, &restore->problem);

	if (r <= 0)
		return r;
	images_last_error(CRIU_LOG, error, sizeof(error));
	return problem_set(&restore->problem, 0,
			   "the log is " CRIU_LOG,
			   "criu restore failed with status %d: %s", r, error);
}

/*
 * A connection that was made without window scaling must not get a scale from the setting: CRIU sets
 * one only where there was one (docs/checkpoint.md).
 */
static int make_tasks(struct restore *restore)
{
	char before[16] = "";
	struct problem ignored;
	ssize_t size = file_get(WINDOW_SCALING, before, sizeof(before) - 1, &ignored);
	int r;

	if (size > 0)
		r = file_put(WINDOW_SCALING, "0\n", &restore->problem);
	else
		r = 0;
	if (r == 0)
		r = run_criu(restore);
	if (size > 0)
		file_put(WINDOW_SCALING, before, &ignored);
	restore->made = r == 0;
	return r;
}

/* Every memory that was kept goes to the process it was taken from, and none is left over. */
static int attach(struct restore *restore)
{
	const struct tasks *tasks = &restore->app.tasks;
	struct pin_mem_info info;
	int r = 0;

	for (size_t i = 0; r == 0 && i < tasks->count; i++) {
		r = pin_attach(restore->session, (uint64_t)tasks->pids[i], tasks->pids[i],
			       &restore->report.moved, &restore->problem);
		/* A process without memory of that kind has no key. */
		if (r == -ENOENT)
			r = 0;
		restore->attached |= restore->report.moved.pages > 0;
	}
	if (r == 0)
		r = pin_info(restore->session, &info, &restore->problem);
	if (r == 0 && info.pages)
		r = problem_set(&restore->problem, 0, NULL,
				"%ju pages belong to none of the processes", (uintmax_t)info.pages);
	return r;
}

/*
 * Nothing that fails from here on is a reason to keep the application from running. Its connections
 * are woken while it stands still: a write to a socket that is in repair mode fails.
 */
static void thaw(struct restore *restore)
{
	const struct tasks *tasks = &restore->app.tasks;
	struct problem problem;

	if (silence_off(&problem) < 0)
		problem_print(&problem);
	if (tcp_wake(tasks->pids, tasks->count, &problem) < 0)
		problem_print(&problem);
	tasks_continue(tasks);
	stamp(restore, "thaw-end", 0);
	if (access(PID_RESERVED, W_OK) == 0 && file_put(PID_RESERVED, "\n", &problem) < 0)
		problem_print(&problem);
	restore->report.tasks = tasks->count;
	if (report_write(&restore->report, restore->session, &problem) < 0)
		problem_print(&problem);
	if (pin_drop(restore->session, &problem) < 0)
		problem_print(&problem);
	images_remove();
	unlink(STATE_FAILED);
}

/*
 * What was made must not run without its memory. As long as nothing was attached, the session has
 * all of it, and a later try starts afresh. Otherwise the stopped processes have a part of it, and
 * stay as they are, unreachable: whoever rescues the data needs both.
 */
static void give_up(struct restore *restore)
{
	struct problem problem;

	if (restore->made && !restore->attached)
		tasks_kill(&restore->app.tasks);
	if (!restore->attached && silence_off(&problem) < 0)
		problem_print(&problem);
	report_failure(&restore->problem, true);
}

static int bring_back(struct restore *restore)
{
	int r = take_records(restore);

	if (r == 0 && (r = stamp(restore, "network", 0)) == 0)
		r = bring_network_up(restore);
	if (r == 0 && (r = stamp(restore, "restore", 0)) == 0)
		r = make_tasks(restore);
	if (r == 0 && (r = stamp(restore, "attach", 0)) == 0)
		r = attach(restore);
	if (r == 0)
		r = stamp(restore, "thaw", 0);
	return r;
}

/*
 * Bring back the application of the session @name. Return 0; -ENOENT when no session of that name
 * was handed over; another negative errno when it is not back, which has been told.
 */
int restore_session(const char *name, uint64_t counter)
{
	struct restore restore = { .session = -1 };
	int r;

	restore.session = pin_retrieve(name, &restore.problem);
	if (restore.session < 0) {
		if (restore.session != -ENOENT)
			report_failure(&restore.problem, restore.session != -EINVAL);
		return restore.session;
	}
	r = counter ? stamp(&restore, "mount", counter) : 0;
	if (r == 0)
		r = bring_back(&restore);
	if (r == 0)
		thaw(&restore);
	else
		give_up(&restore);
	app_free(&restore.app);
	close(restore.session);
	return r;
}

void restore_if_handed_over(uint64_t counter)
{
	if (access(PIN_DEVICE, F_OK) == 0)
		restore_session(PIN_SESSION, counter);
}
