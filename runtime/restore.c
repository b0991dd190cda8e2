// SPDX-License-Identifier: GPL-2.0-only
#include "restore.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adopt.h"
#include "app.h"
#include "counter.h"
#include "file.h"
#include "freezer.h"
#include "haste.h"
#include "images.h"
#include "journal.h"
#include "memfds.h"
#include "net.h"
#include "pin.h"
#include "report.h"
#include "runfiles.h"
#include "silence.h"
#include "state.h"
#include "unit.h"
#include "wake.h"
#include "warm.h"

#define DEVICE_TREE "/sys/firmware/fdt"
#define HANDOVER "linux,kho-fdt" /* in /chosen, when something was handed over */
#define WINDOW_SCALING "/proc/sys/net/ipv4/tcp_window_scaling"
#define PID_RESERVED "/proc/sys/kernel/pid_reserved"

struct restore {
	int session;
	struct problem problem;
	const char *name; /* of the session, and of that of the kernel's live update */
	struct app app;
	struct held held;
	struct unit unit;
	const struct freezer *freezer;
	struct buffer how; /* the freezer's record */
	const char *command;
	pid_t warming; /* who reads programs ahead */
	bool early;    /* the freezer has begun before its turn */
	bool unverified;
	struct report report;
	bool made;     /* CRIU has made the tasks */
	bool attached; /* some of them have their memory */
};

static int stamp(struct restore *restore, const char *phase, uint64_t counter)
{
	return pin_stamp(restore->session, phase, counter, &restore->problem);
}

static int get_optional(struct restore *restore, const char *name, struct buffer *data)
{
	int r = pin_get(restore->session, name, data, &restore->problem);

	return r == -ENOENT ? 0 : r;
}

/* CRIU runs already, as it is what most are frozen with. */
static int choose_freezer(struct restore *restore)
{
	struct buffer *how = &restore->how;
	int r = get_optional(restore, FREEZER_RECORD, how);
	char *newline;

	if (r == 0 && !how->used)
		return 0;
	if (r == 0 && buffer_add(how, "", 1) < 0)
		r = problem_set(&restore->problem, ENOMEM, NULL, "cannot read who froze it");
	if (r < 0)
		return r;
	restore->freezer->abandon_restore();
	newline = strchr(how->data, '\n');
	if (newline)
		*newline = '\0';
	restore->freezer = freezer_find(how->data);
	if (!newline || !restore->freezer)
		return problem_set(&restore->problem, EINVAL, "bring it back by hand: skuctl rescue",
				   "cannot use the record '" FREEZER_RECORD "'");
	restore->command = newline + 1;
	return images_prepare(!restore->freezer->keeps_memory, &restore->problem);
}

/* What systemd has of it, and what it has in /run. */
static int take_unit(struct restore *restore)
{
	_cleanup_buffer_ struct buffer unit = { 0 };
	_cleanup_buffer_ struct buffer files = { 0 };
	int r = get_optional(restore, UNIT_RECORD, &unit);

	if (r == 0 && unit.used)
		r = unit_read(&unit, &restore->unit, &restore->problem);
	if (r == 0 && unit.used)
		r = adopt_prepare(&restore->unit, &restore->problem);
	if (r == 0)
		r = get_optional(restore, RUNFILES_RECORD, &files);
	return r < 0 ? r : runfiles_make(&files, &restore->problem);
}

static int take_records(struct restore *restore)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	_cleanup_buffer_ struct buffer warm = { 0 };
	struct pin_mem_info info;
	int r = get_optional(restore, WARM_RECORD, &warm);

	if (r == 0)
		restore->warming = warm_read(&warm);
	if (r == 0)
		r = pin_info(restore->session, &info, &restore->problem);
	restore->report.extents = r == 0 ? info.extents : 0;
	if (r == 0)
		r = pin_get(restore->session, APP_RECORD, &text, &restore->problem);
	if (r == 0)
		r = app_read(&text, &restore->app, &restore->problem);
	if (r == 0)
		r = held_take(&restore->held, restore->session, restore->name, &restore->problem);
	if (r == 0)
		r = take_unit(restore);
	if (r == 0)
		r = choose_freezer(restore);
	if (r == 0)
		r = images_get(restore->session, &restore->report.images, &restore->problem);
	return r;
}

/*
 * Memory that is not what was sealed is given to nobody, unless that is wanted. It is not known
 * before the kernel is asked whether there is something to compare with.
 */
static int verify(struct restore *restore)
{
	uint64_t began = counter_now();
	int r;

	if (restore->unverified)
		return 0;
	r = pin_verify(restore->session, &restore->report.verified, &restore->problem);
	if (r == -ENODATA)
		return 0;
	return r == 0 ? stamp(restore, "verify", began) : r;
}

/* The packet filter comes before the interfaces: a segment that meets no socket ends a connection. */
static int bring_network_up(struct restore *restore)
{
	_cleanup_buffer_ struct buffer state = { 0 };
	int r = silence_on(restore->app.ports, restore->app.port_count, SILENCE_ALL,
			   &restore->problem);

	if (r == 0)
		r = pin_get(restore->session, NET_RECORD, &state, &restore->problem);
	if (r == 0)
		r = net_load(state.data, state.used, &restore->problem);
	return r;
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
		r = restore->freezer->restore(restore->command, restore->app.tasks.pids[0],
					      &restore->problem);
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

	if (!restore->freezer->keeps_memory)
		return 0;
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
	return r < 0 ? r : held_check(&restore->held, &restore->problem);
}

/*
 * Nothing that fails from here on is a reason to keep the application from running. Its connections
 * are woken while it stands still: a write to a socket that is in repair mode fails.
 */
static void thaw(struct restore *restore)
{
	const struct tasks *tasks = &restore->app.tasks;
	struct waking waking = WAKING_NONE;
	struct problem problem;

	if (silence_off(&problem) < 0)
		problem_print(&problem);
	if (restore->freezer->keeps_memory) {
		if (wake(&waking, tasks->pids, tasks->count, &problem) < 0)
			problem_print(&problem);
		tasks_continue(tasks);
	}
	stamp(restore, "thaw-end", 0);
	wake_missing(&waking);
	if (access(PID_RESERVED, W_OK) == 0 && file_put(PID_RESERVED, "\n", &problem) < 0)
		problem_print(&problem);
	held_end(&restore->held);
	restore->report.tasks = tasks->count;
	restore->report.shared = &restore->held.shared;
	if (report_write(&restore->report, restore->session, &problem) < 0)
		problem_print(&problem);
	if (pin_drop(restore->session, &problem) < 0)
		problem_print(&problem);
	images_remove();
	unlink(STATE_FAILED);
	if (*restore->unit.name && adopt_arrange(&restore->unit, &problem) < 0)
		problem_print(&problem);
	journal_say(JOURNAL_NOTICE, "the application is back: %zu processes, %ju pages kept in place",
		    tasks->count, (uintmax_t)restore->report.moved.pages);
}

/*
 * What was made must not run without its memory. As long as nothing was attached, the session has
 * all of it, and a later try starts afresh. Otherwise the stopped processes have a part of it, and
 * stay as they are, unreachable: whoever rescues the data needs both.
 */
static void give_up(struct restore *restore)
{
	struct problem problem;

	if (restore->made && !restore->attached && restore->freezer->keeps_memory)
		tasks_kill(&restore->app.tasks);
	if (!restore->attached && silence_off(&problem) < 0)
		problem_print(&problem);
	report_failure(&restore->problem, true);
	if (*restore->unit.name && adopt_hold(&restore->unit, &problem) < 0)
		problem_print(&problem);
}

static int bring_back(struct restore *restore)
{
	int r = verify(restore);

	if (r == 0)
		r = take_records(restore);
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

/* Whether the kernel before this one has left something, as the device tree that it made says. */
static bool is_likely(void)
{
	static char tree[FILE_MAX_SIZE + 1];

	file_text(DEVICE_TREE, tree, sizeof(tree));
	return memmem(tree, sizeof(tree), HANDOVER, sizeof(HANDOVER));
}

/* Start what can be started before it is known what was handed over. */
static void begin_early(struct restore *restore)
{
	if (net_loopback(&restore->problem) < 0 || images_prepare(false, &restore->problem) < 0)
		return;
	restore->early = true;
	restore->freezer->begin_restore();
}

static void end(struct restore *restore)
{
	if (restore->freezer && restore->freezer->abandon_restore)
		restore->freezer->abandon_restore();
	if (restore->early && restore->session < 0)
		images_remove();
	if (restore->warming > 0)
		waitpid(restore->warming, NULL, 0);
	app_free(&restore->app);
	held_free(&restore->held);
	buffer_free(&restore->how);
}

static int restore_retrieved(struct restore *restore, uint64_t counter, uint64_t entered)
{
	int r = counter ? stamp(restore, "mount", counter) : 0;

	if (r == 0 && entered)
		r = stamp(restore, "retrieve", entered);
	if (r == 0 && !restore->early)
		r = images_prepare(false, &restore->problem);
	if (r == 0)
		r = bring_back(restore);
	if (r == 0)
		thaw(restore);
	else
		give_up(restore);
	return r;
}

/*
 * Bring back the application of the session @name. The phases that went before began at @counter
 * and at @entered, 0 for none. With @unverified, its memory is not compared with the checksums that
 * the seal made. Return 0; -ENOENT when no session of that name was handed over;
 * another negative errno when it is not back, which has been told.
 */
int restore_session(const char *name, uint64_t counter, uint64_t entered, bool unverified)
{
	struct restore restore = {
		.session = -1,
		.name = name,
		.freezer = &freezer_criu,
		.unverified = unverified,
	};
	bool hasty = haste_on();
	int r;

	if (is_likely())
		begin_early(&restore);
	restore.session = pin_retrieve(name, &restore.problem);
	r = restore.session;
	if (r >= 0)
		r = restore_retrieved(&restore, counter, entered);
	else if (r != -ENOENT)
		report_failure(&restore.problem, r != -EINVAL);
	end(&restore);
	if (hasty)
		haste_off();
	if (restore.session >= 0)
		close(restore.session);
	return r;
}

void restore_if_handed_over(uint64_t counter)
{
	uint64_t entered = counter_now();

	if (access(PIN_DEVICE, F_OK) == 0)
		restore_session(PIN_SESSION, counter, entered, false);
}
