// SPDX-License-Identifier: GPL-2.0-only
/*
 * skuctl replaces the kernel under an application that stays alive. docs/update.md describes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adopt.h"
#include "cleanup.h"
#include "completion.h"
#include "file.h"
#include "journal.h"
#include "json.h"
#include "kept.h"
#include "measure.h"
#include "memfds.h"
#include "options.h"
#include "pin.h"
#include "problem.h"
#include "rescue.h"
#include "restore.h"
#include "state.h"
#include "undo.h"
#include "unit.h"
#include "update.h"
#include "waiting.h"

#define UNDO_PATIENCE_MS 60000
#define SETTLE_PATIENCE_MS 60000
#define MEASURE_MIB 64

static enum status needs(const char *command, const char *option)
{
	struct problem problem;

	problem_set(&problem, 0, "skuctl help lists the options", "%s needs %s", command, option);
	problem_print(&problem);
	return STATUS_USER;
}

/* A freezer that is two commands needs both, and another one neither. */
static bool has_commands(const struct given *given)
{
	bool wanted = given->update.freezer == &freezer_command;

	return !given->update.freeze_command == !wanted && !given->update.restore_command == !wanted;
}

/* Return whether the unit is known to systemd, if one is given. */
static bool take_unit(struct given *given)
{
	static struct unit unit;
	struct problem problem;

	if (!given->unit)
		return true;
	if (given->update.pid) {
		options_wrong("--unit", given->unit, "it is in place of --pid");
		return false;
	}
	if (unit_ask(given->unit, &unit, &problem) < 0) {
		problem_print(&problem);
		return false;
	}
	journal_unit(unit.name);
	given->update.unit = &unit;
	given->update.pid = unit.main;
	return true;
}

static enum status do_update(struct given *given)
{
	if (!take_unit(given))
		return STATUS_USER;
	if (!has_commands(given))
		return needs("update", "--freeze-command and --restore-command with --freezer command, "
			     "and only then");
	if (!given->update.pid)
		return needs("update", "--pid or --unit");
	if (!given->update.image != !given->update.initrd ||
	    !given->update.image != !given->update.cmdline)
		return needs("update", "--bundle, or --image, --initrd and --cmdline, or none of them after load");
	return update(&given->update);
}

static enum status do_load(struct given *given)
{
	if (!given->update.image || !given->update.initrd || !given->update.cmdline)
		return needs("load", "--bundle, or --image, --initrd and --cmdline");
	return update_load(&given->update);
}

static enum status do_check(struct given *given)
{
	if (!take_unit(given))
		return STATUS_USER;
	if (given->update.image && (!given->update.initrd || !given->update.cmdline))
		return needs("check", "--initrd and --cmdline with --image");
	if (!has_commands(given))
		return needs("check", "--freeze-command and --restore-command with --freezer command, "
			     "and only then");
	given->update.dry_run = true;
	return update(&given->update);
}

static enum status do_status(struct given *given)
{
	static char waiting[WAITING_SIZE];
	struct waiting_device device;
	char *list = waiting;
	char phase[32];
	char state[16];
	struct json json;

	file_text(STATE_STATUS, phase, sizeof(phase));
	waiting_read(waiting, sizeof(waiting));
	if (!given->update.json) {
		printf("%s\n", *phase ? phase : access(STATE_FAILED, F_OK) == 0 ? "failed" : "idle");
		while (waiting_next(&list, &device))
			printf("%s %s waits for its driver, %s\n", device.bus, device.name,
			       device.driver);
		return STATUS_OK;
	}
	waiting_state(state, sizeof(state));
	json_begin(&json, STDOUT_FILENO);
	json_string(&json, "phase", *phase ? phase : "idle");
	json_string(&json, "failed", access(STATE_FAILED, F_OK) == 0 ? STATE_FAILED : "");
	json_string(&json, "report", access(STATE_REPORT, F_OK) == 0 ? STATE_REPORT : "");
	json_string(&json, "devices", state);
	json_list(&json, "waiting");
	while (waiting_next(&list, &device)) {
		json_item(&json);
		json_string(&json, "bus", device.bus);
		json_string(&json, "device", device.name);
		json_string(&json, "driver", device.driver);
		json_item_end(&json);
	}
	json_list_end(&json);
	json_end(&json);
	return STATUS_OK;
}

/* Devices that were told to wait get their drivers; back when all have been tried. */
static enum status do_start(struct given *given)
{
	struct problem problem;

	(void)given;
	if (waiting_settle(&problem) == 0 &&
	    waiting_see_settled(SETTLE_PATIENCE_MS, &problem) == 0)
		return STATUS_OK;
	problem_print(&problem);
	return problem.error == ETIMEDOUT ? STATUS_TIMED_OUT : STATUS_CHECK;
}

static enum status do_report(struct given *given)
{
	static char text[65536];

	(void)given;
	file_text(STATE_REPORT, text, sizeof(text));
	if (!*text) {
		struct problem problem;

		problem_set(&problem, errno, access(STATE_FAILED, F_OK) == 0 ?
			    "the last update failed: read " STATE_FAILED :
			    "no update led to this kernel", "cannot read " STATE_REPORT);
		problem_print(&problem);
		return STATUS_CHECK;
	}
	puts(text);
	return STATUS_OK;
}

/* The one that is running undoes itself; what is left of one that was killed is undone here. */
static enum status do_undo(struct given *given)
{
	_cleanup_close_ int lock = -1;
	struct problem problem;
	struct state *state;
	pid_t told = 0;

	(void)given;
	for (unsigned int waited = 0;; waited += 100) {
		state = state_open(false, &lock, &problem);
		if (state || problem.error != EBUSY)
			break;
		if (waited >= UNDO_PATIENCE_MS) {
			problem_print(&problem);
			return STATUS_STUCK;
		}
		told = state_interrupt(told);
		usleep(100000);
	}
	if (!state && problem.error == ENOENT) {
		printf("there is nothing to undo\n");
		return STATUS_OK;
	}
	if (!state) {
		problem_print(&problem);
		return STATUS_INTERNAL;
	}
	return undo(state, -1) ? STATUS_STUCK : STATUS_OK;
}

static enum status do_restore(struct given *given)
{
	int r = restore_session(given->update.name, 0, 0, given->unverified);
	struct problem problem;

	if (r == 0 && adopt_now(&problem) < 0)
		problem_print(&problem);
	if (r == -ENOENT)
		printf("nothing was handed over\n");
	return r == 0 || r == -ENOENT ? STATUS_OK : STATUS_STUCK;
}

static enum status do_adopt(struct given *given)
{
	struct problem problem;

	if (!given->unit)
		return needs("adopt", "--unit");
	journal_unit(given->unit);
	if (adopt(given->unit, &problem) == 0)
		return STATUS_OK;
	problem_print(&problem);
	return STATUS_CHECK;
}

static enum status do_settle(struct given *given)
{
	struct problem problem;

	(void)given;
	if (adopt_settle(&problem) == 0)
		return STATUS_OK;
	problem_print(&problem);
	return STATUS_STUCK;
}

static enum status do_rescue(struct given *given)
{
	struct problem problem;

	if (!given->output)
		return needs("rescue", "--output");
	if (rescue(given->update.name, given->output, &problem) == 0)
		return STATUS_OK;
	problem_print(&problem);
	return STATUS_CHECK;
}

static enum status do_drop(struct given *given)
{
	struct problem problem, ignored;
	_cleanup_close_ int session = pin_retrieve(given->update.name, &problem);
	struct held held = { 0 };

	/* Shared memory is given up by letting go of it. */
	if (session >= 0 && held_take(&held, session, given->update.name, &ignored) < 0 && held.holder)
		problem_print(&ignored);
	if (session >= 0 && pin_drop(session, &problem) == 0) {
		held_end(&held);
		held_free(&held);
		unlink(STATE_FAILED);
		return STATUS_OK;
	}
	problem_print(&problem);
	return STATUS_CHECK;
}

static enum status do_measure(struct given *given)
{
	struct measure measure;
	struct problem problem;
	struct json json;

	if (measure_copies(given->mib, &measure, &problem) < 0) {
		problem_print(&problem);
		return STATUS_CHECK;
	}
	if (!given->update.json) {
		printf("a copy of a page of 4 KiB takes %ju ns, of 2 MiB %ju ns\n",
		       (uintmax_t)measure.copy_4k_ns, (uintmax_t)measure.copy_2m_ns);
		return STATUS_OK;
	}
	json_begin(&json, STDOUT_FILENO);
	json_number(&json, "copy_4k_ns", measure.copy_4k_ns);
	json_number(&json, "copy_2m_ns", measure.copy_2m_ns);
	json_end(&json);
	return STATUS_OK;
}

static enum status do_completion(struct given *given)
{
	if (given->shell && completion_print(given->shell, stdout) == 0)
		return STATUS_OK;
	return needs("completion", "the name of a shell: bash, zsh or fish");
}

static enum status (*const run[COMMANDS])(struct given *given) = {
	[COMMAND_UPDATE] = do_update,
	[COMMAND_CHECK] = do_check,
	[COMMAND_LOAD] = do_load,
	[COMMAND_STATUS] = do_status,
	[COMMAND_START] = do_start,
	[COMMAND_REPORT] = do_report,
	[COMMAND_UNDO] = do_undo,
	[COMMAND_RESTORE] = do_restore,
	[COMMAND_RESCUE] = do_rescue,
	[COMMAND_ADOPT] = do_adopt,
	[COMMAND_SETTLE] = do_settle,
	[COMMAND_DROP] = do_drop,
	[COMMAND_MEASURE] = do_measure,
	[COMMAND_COMPLETION] = do_completion,
};

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && i < 3; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return argc > 1 && !strcmp(argv[1], "help");
}

int main(int argc, char **argv)
{
	struct given given = {
		.update = { .name = PIN_SESSION, .freezer = &freezer_criu,
			    .timeout_s = UPDATE_TIMEOUT_S, .pause_before = -1 },
		.mib = MEASURE_MIB,
	};
	int command;

	problem_program = "skuctl";
	journal_begin();
	if (wants_help(argc, argv)) {
		words_help(stdout);
		return STATUS_OK;
	}
	command = argc > 1 ? command_find(argv[1]) : -1;
	if (command < 0) {
		words_help(stderr);
		return STATUS_USER;
	}
	if (options_take((enum command)command, argc - 1, argv + 1, &given) < 0)
		return STATUS_USER;
	return (int)run[command](&given);
}
