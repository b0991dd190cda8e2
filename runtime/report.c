// SPDX-License-Identifier: GPL-2.0-only
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copied.h"
#include "counter.h"
#include "json.h"
#include "kept.h"
#include "state.h"

static int by_counter(const void *one, const void *other)
{
	const struct pin_stamp *a = one;
	const struct pin_stamp *b = other;

	return (a->counter > b->counter) - (a->counter < b->counter);
}

static int make_directory(struct problem *problem)
{
	if (mkdir(STATE_DIRECTORY, 0700) < 0 && errno != EEXIST)
		return problem_set(problem, errno, NULL, "cannot make " STATE_DIRECTORY);
	return 0;
}

/* Write the report of an update that @session was the memory of; all of its phases are stamped. */
int report_write(const struct report *report, int session, struct problem *problem)
{
	static struct pin_stamp stamps[PIN_STAMPS_MAX];
	_cleanup_close_ int fd = -1;
	size_t count = PIN_STAMPS_MAX;
	struct copied copied;
	struct json json;
	int r = pin_stamps(session, stamps, &count, problem);

	if (r == 0)
		r = make_directory(problem);
	if (r < 0)
		return r;
	fd = open(STATE_REPORT, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return problem_set(problem, errno, NULL, "cannot write " STATE_REPORT);
	qsort(stamps, count, sizeof(stamps[0]), by_counter);
	json_begin(&json, fd);
	json_number(&json, "counter_hz", counter_hz());
	json_number(&json, "pages", report->moved.pages);
	json_number(&json, "huge", report->moved.huge);
	json_number(&json, "extents", report->extents);
	json_number(&json, "verified", report->verified);
	json_number(&json, "image_bytes", report->images.all);
	json_number(&json, "pages_bytes", report->images.pages);
	json_number(&json, "shared_bytes", shared_kept_bytes(report->shared));
	json_number(&json, "shared_copied_bytes", report->shared->copied_bytes);
	json_string(&json, "shared_copied", report->shared->why);
	json_number(&json, "tasks", report->tasks);
	if (copied_read(COPIED_LAST, &copied)) {
		json_number(&json, "jump_bytes", copied.total);
		json_number(&json, "jump_copied_bytes", copied.bytes);
	}
	kept_report(&json);
	json_list(&json, "stamps");
	for (size_t i = 0; i < count; i++) {
		json_item(&json);
		json_string(&json, "phase", stamps[i].phase);
		json_number(&json, "counter", stamps[i].counter);
		json_item_end(&json);
	}
	json_list_end(&json);
	r = json_end(&json);
	return r < 0 ? problem_set(problem, -r, NULL, "cannot write " STATE_REPORT) : 0;
}

/*
 * Say on the console and in a file why the application is not back, and what can be done; @kept:
 * the session is there, with all that was handed over.
 */
void report_failure(const struct problem *problem, bool kept)
{
	struct problem dropped;
	_cleanup_close_ int fd = -1;

	problem_print(problem);
	if (make_directory(&dropped) < 0)
		return;
	fd = open(STATE_FAILED, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	dprintf(fd, "%s\n", problem->text);
	if (problem->hint)
		dprintf(fd, "%s\n", problem->hint);
	if (kept)
		dprintf(fd,
			"The application's memory and state are kept until they are dropped or the "
			"machine is reset.\n"
			"skuctl restore               tries again, once the cause is gone\n"
			"skuctl rescue --output DIR   writes memory and state to files\n"
			"skuctl drop                  gives them up\n");
	else
		dprintf(fd,
			"The application's memory and state are lost: what was handed over is damaged, "
			"and this kernel believes none of it.\n"
			"Start the application anew, from what it has on the disk.\n");
}
