// SPDX-License-Identifier: GPL-2.0-only
/*
 * skuctl replaces the kernel under an application that stays alive. docs/update.md describes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adopt.h"
#include "cleanup.h"
#include "file.h"
#include "journal.h"
#include "json.h"
#include "kept.h"
#include "measure.h"
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
#define MEASURE_MIB_MAX 4096
#define CMDLINE_MAX 4096

static const char usage[] =
	"usage: skuctl COMMAND [OPTION…]\n"
	"\n"
	"  update   replace the kernel under an application\n"
	"    --pid PID           the application's first process\n"
	"    --unit NAME         in place of it: a service of systemd, which goes on as that\n"
	"    --image FILE        the next kernel, an uncompressed Image\n"
	"    --initrd FILE       its initramfs, with sku-init as /init\n"
	"    --cmdline TEXT      its command line\n"
	"    --bundle DIR        all three, signed: a directory of sku bundle, in place of them;\n"
	"                        --cmdline with it is instead of the bundle's own\n"
	"    --key FILE          public key to trust, or a directory of *.pub (" BUNDLE_KEYS ")\n"
	"    --timeout S         undo the update if it has not jumped in S seconds (300)\n"
	"    --phase-timeout PHASE=S  the same, for one phase\n"
	"    --pause-before PHASE     wait there until /run/sku/continue exists\n"
	"    --verify            compare all memory with checksums before it is given back\n"
	"    --no-pid-reserve    go on where the kernel cannot keep pid numbers free\n"
	"    --no-kept-initramfs have the next kernel unpack its initramfs itself\n"
	"    --name NAME         of the memory session (sku)\n"
	"    --freezer NAME      what freezes the application: criu, or command:\n"
	"    --freeze-command TEXT   stops it, and leaves files in $SKU_IMAGES\n"
	"    --restore-command TEXT  brings it back from them\n"
	"    --dry-run           check only\n"
	"    --json              say in JSON how it ended\n"
	"  check    say what stands in the way of an update; the options of update, any of them\n"
	"  load     load the next kernel now, for an update without --image, --initrd and --cmdline\n"
	"  status   say which phase an update is in, and which devices wait  [--json]\n"
	"  start    let devices that wait have their drivers, and wait until they do\n"
	"  report   print the report of the update that led to this kernel, as JSON\n"
	"  undo     end an update that has not jumped, or clean up after one\n"
	"  restore  try again to bring back the application that was handed over  [--name NAME]\n"
	"           [--no-verify: also with memory that is not what it was]\n"
	"  rescue   write the memory and records handed over to files  --output DIR [--name NAME]\n"
	"  adopt    hand a unit that was kept to systemd, as its start  --unit NAME\n"
	"  settle   end an update of a unit that systemd has adopted\n"
	"  drop     give up the memory and records handed over  [--name NAME]\n"
	"  measure  copy memory, and say what that costs  [--json] [--mib N]\n"
	"\n"
	"phases: check load silence freeze detach dump seal jump\n"
	"exit status: 0 well, 1 internal error, 2 wrong usage, 3 a check failed, 4 undone,\n"
	"5 timed out and undone, 6 needs a hand\n";

enum choice {
	OPTION_PID = 256,
	OPTION_UNIT,
	OPTION_IMAGE,
	OPTION_INITRD,
	OPTION_CMDLINE,
	OPTION_BUNDLE,
	OPTION_KEY,
	OPTION_NAME,
	OPTION_TIMEOUT,
	OPTION_PHASE_TIMEOUT,
	OPTION_PAUSE_BEFORE,
	OPTION_VERIFY,
	OPTION_NO_VERIFY,
	OPTION_NO_PID_RESERVE,
	OPTION_NO_KEPT_INITRAMFS,
	OPTION_FREEZER,
	OPTION_FREEZE_COMMAND,
	OPTION_RESTORE_COMMAND,
	OPTION_DRY_RUN,
	OPTION_JSON,
	OPTION_OUTPUT,
	OPTION_MIB,
};

static const struct option options[] = {
	{ "pid", required_argument, NULL, OPTION_PID },
	{ "unit", required_argument, NULL, OPTION_UNIT },
	{ "image", required_argument, NULL, OPTION_IMAGE },
	{ "initrd", required_argument, NULL, OPTION_INITRD },
	{ "cmdline", required_argument, NULL, OPTION_CMDLINE },
	{ "bundle", required_argument, NULL, OPTION_BUNDLE },
	{ "key", required_argument, NULL, OPTION_KEY },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "phase-timeout", required_argument, NULL, OPTION_PHASE_TIMEOUT },
	{ "pause-before", required_argument, NULL, OPTION_PAUSE_BEFORE },
	{ "verify", no_argument, NULL, OPTION_VERIFY },
	{ "no-verify", no_argument, NULL, OPTION_NO_VERIFY },
	{ "no-pid-reserve", no_argument, NULL, OPTION_NO_PID_RESERVE },
	{ "no-kept-initramfs", no_argument, NULL, OPTION_NO_KEPT_INITRAMFS },
	{ "freezer", required_argument, NULL, OPTION_FREEZER },
	{ "freeze-command", required_argument, NULL, OPTION_FREEZE_COMMAND },
	{ "restore-command", required_argument, NULL, OPTION_RESTORE_COMMAND },
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "output", required_argument, NULL, OPTION_OUTPUT },
	{ "mib", required_argument, NULL, OPTION_MIB },
	{ NULL, 0, NULL, 0 },
};

struct given {
	struct update_options update;
	const char *unit;
	const char *bundle;
	const char *key;
	const char *output;
	unsigned int mib;
	bool no_kept_initramfs;
	bool unverified;
};

static int wrong(const char *what, const char *value, const char *hint)
{
	struct problem problem;

	problem_set(&problem, 0, hint, "cannot take %s '%.80s'", what, value);
	problem_print(&problem);
	return -EINVAL;
}

static int take_number(const char *what, const char *text, unsigned int max, unsigned int *number)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || !value || value > max)
		return wrong(what, text, "give a whole number that is larger than 0");
	*number = (unsigned int)value;
	return 0;
}

static int take_phase(const char *text, size_t size, int *phase)
{
	for (int i = 0; i < PHASES; i++)
		if (strlen(phase_names[i]) == size && !strncmp(phase_names[i], text, size)) {
			*phase = i;
			return 0;
		}
	return wrong("the phase", text,
		     "it is one of check, load, silence, freeze, detach, dump, seal and jump");
}

static int take_phase_timeout(const char *text, struct update_options *update)
{
	const char *equals = strchr(text, '=');
	int phase;
	int r;

	if (!equals)
		return wrong("--phase-timeout", text, "give PHASE=SECONDS");
	r = take_phase(text, (size_t)(equals - text), &phase);
	if (r < 0)
		return r;
	return take_number("--phase-timeout", equals + 1, 86400, &update->phase_timeout_s[phase]);
}

static int take_option(int option, const char *value, struct given *given)
{
	unsigned int number;
	int r = 0;

	switch (option) {
	case OPTION_PID:
		r = take_number("--pid", value, 1U << 22, &number);
		given->update.pid = r < 0 ? 0 : (pid_t)number;
		return r;
	case OPTION_UNIT:
		given->unit = value;
		return 0;
	case OPTION_IMAGE:
		given->update.image = value;
		return 0;
	case OPTION_INITRD:
		given->update.initrd = value;
		return 0;
	case OPTION_CMDLINE:
		given->update.cmdline = value;
		return 0;
	case OPTION_BUNDLE:
		given->bundle = value;
		return 0;
	case OPTION_KEY:
		given->key = value;
		return 0;
	case OPTION_NAME:
		if (!*value || strlen(value) >= PIN_MEM_NAME_SIZE)
			return wrong("--name", value, "give 1 to 63 letters");
		given->update.name = value;
		return 0;
	case OPTION_TIMEOUT:
		return take_number("--timeout", value, 86400, &given->update.timeout_s);
	case OPTION_PHASE_TIMEOUT:
		return take_phase_timeout(value, &given->update);
	case OPTION_PAUSE_BEFORE:
		return take_phase(value, strlen(value), &given->update.pause_before);
	case OPTION_VERIFY:
		given->update.verify = true;
		return 0;
	case OPTION_NO_VERIFY:
		given->unverified = true;
		return 0;
	case OPTION_NO_PID_RESERVE:
		given->update.no_pid_reserve = true;
		return 0;
	case OPTION_NO_KEPT_INITRAMFS:
		given->no_kept_initramfs = true;
		return 0;
	case OPTION_FREEZER:
		given->update.freezer = freezer_find(value);
		return given->update.freezer ? 0 : wrong("--freezer", value, "there are criu and command");
	case OPTION_FREEZE_COMMAND:
		given->update.freeze_command = value;
		return 0;
	case OPTION_RESTORE_COMMAND:
		if (strlen(value) >= STATE_COMMAND_SIZE)
			return wrong("--restore-command", value, "put it into a script: 1023 letters");
		given->update.restore_command = value;
		return 0;
	case OPTION_DRY_RUN:
		given->update.dry_run = true;
		return 0;
	case OPTION_JSON:
		given->update.json = true;
		return 0;
	case OPTION_OUTPUT:
		given->output = value;
		return 0;
	case OPTION_MIB:
		return take_number("--mib", value, MEASURE_MIB_MAX, &given->mib);
	default:
		return -EINVAL; /* getopt_long() has said why */
	}
}

/* A bundle that is refused is a finding of the check, beside all others. */
static int take_bundle(struct given *given)
{
	static struct problem refused;
	static struct bundle bundle;

	if (!given->bundle)
		return given->key ? wrong("--key", given->key, "it goes with --bundle") : 0;
	if (given->update.image || given->update.initrd)
		return wrong("--bundle", given->bundle, "it brings what --image and --initrd name");
	if (bundle_open(given->bundle, given->key, &bundle, &refused) < 0)
		given->update.refused = &refused;
	given->update.bundle = &bundle;
	given->update.image = bundle.image;
	given->update.initrd = bundle.initrd;
	if (!given->update.cmdline)
		given->update.cmdline = bundle.cmdline;
	return 0;
}

/* What only makes sense when all options are known. */
static int finish(struct given *given)
{
	static char cmdline[CMDLINE_MAX];

	if (take_bundle(given) < 0)
		return -EINVAL;
	if (!given->no_kept_initramfs || !given->update.cmdline)
		return 0;
	if (kept_off(given->update.cmdline, cmdline, sizeof(cmdline)) < 0)
		return wrong("--cmdline", given->update.cmdline, "it is too long");
	given->update.cmdline = cmdline;
	return 0;
}

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
		wrong("--unit", given->unit, "it is in place of --pid");
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
	struct problem problem;
	_cleanup_close_ int session = pin_retrieve(given->update.name, &problem);

	if (session >= 0 && pin_drop(session, &problem) == 0) {
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

static const struct {
	const char *word;
	enum status (*run)(struct given *given);
} commands[] = {
	{ "update", do_update },   { "check", do_check },   { "load", do_load },
	{ "status", do_status },   { "report", do_report }, { "undo", do_undo },
	{ "restore", do_restore }, { "rescue", do_rescue }, { "drop", do_drop },
	{ "measure", do_measure }, { "adopt", do_adopt },   { "settle", do_settle },
	{ "start", do_start },
};

int main(int argc, char **argv)
{
	struct given given = {
		.update = { .name = PIN_SESSION, .freezer = &freezer_criu,
			    .timeout_s = UPDATE_TIMEOUT_S, .pause_before = -1 },
		.mib = MEASURE_MIB,
	};
	const char *word = argc > 1 ? argv[1] : "";
	int option;

	problem_program = "skuctl";
	journal_begin();
	if (!strcmp(word, "help") || !strcmp(word, "--help") || !strcmp(word, "-h")) {
		fputs(usage, stdout);
		return STATUS_OK;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(word, commands[i].word))
			continue;
		while ((option = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1)
			if (take_option(option, optarg, &given) < 0)
				return STATUS_USER;
		if (finish(&given) < 0)
			return STATUS_USER;
		if (optind < argc - 1) {
			wrong("the word", argv[1 + optind], "skuctl help lists the options");
			return STATUS_USER;
		}
		return (int)commands[i].run(&given);
	}
	fputs(usage, stderr);
	return STATUS_USER;
}
