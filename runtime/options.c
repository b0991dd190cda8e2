// SPDX-License-Identifier: GPL-2.0-only
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "kept.h"
#include "measure.h"
#include "pin_mem_uapi.h"

#define CMDLINE_MAX 4096
#define MIB_MAX 4096
#define SECONDS_MAX 86400

/* Say what cannot be taken, and @hint, what can. Return -EINVAL. */
int options_wrong(const char *what, const char *value, const char *hint)
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
		return options_wrong(what, text, "give a whole number that is larger than 0");
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
	return options_wrong("the phase", text,
		     "it is one of check, load, silence, freeze, detach, dump, seal and jump");
}

static int take_phase_timeout(const char *text, struct update_options *update)
{
	const char *equals = strchr(text, '=');
	int phase;
	int r;

	if (!equals)
		return options_wrong("--phase-timeout", text, "give PHASE=SECONDS");
	r = take_phase(text, (size_t)(equals - text), &phase);
	if (r < 0)
		return r;
	return take_number("--phase-timeout", equals + 1, SECONDS_MAX, &update->phase_timeout_s[phase]);
}

static int take_option(enum choice option, const char *value, struct given *given)
{
	unsigned int number;
	int r;

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
			return options_wrong("--name", value, "give 1 to 63 letters");
		given->update.name = value;
		return 0;
	case OPTION_TIMEOUT:
		return take_number("--timeout", value, SECONDS_MAX, &given->update.timeout_s);
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
		return given->update.freezer ? 0 : options_wrong("--freezer", value, "there are criu and command");
	case OPTION_FREEZE_COMMAND:
		given->update.freeze_command = value;
		return 0;
	case OPTION_RESTORE_COMMAND:
		if (strlen(value) >= STATE_COMMAND_SIZE)
			return options_wrong("--restore-command", value, "put it into a script: 1023 letters");
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
		return take_number("--mib", value, MIB_MAX, &given->mib);
	case OPTIONS:
		break;
	}
	return -EINVAL;
}

/* A bundle that is refused is a finding of the check, beside all others. */
static int take_bundle(struct given *given)
{
	static struct problem refused;
	static struct bundle bundle;

	if (!given->bundle)
		return given->key ? options_wrong("--key", given->key, "it goes with --bundle") : 0;
	if (given->update.image || given->update.initrd)
		return options_wrong("--bundle", given->bundle, "it brings what --image and --initrd name");
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
		return options_wrong("--cmdline", given->update.cmdline, "it is too long");
	given->update.cmdline = cmdline;
	return 0;
}

static void list_options(struct option *list)
{
	for (int i = 0; i < OPTIONS; i++)
		list[i] = (struct option){
			.name = option_words[i].word,
			.has_arg = option_words[i].value ? required_argument : no_argument,
			.val = i,
		};
	list[OPTIONS] = (struct option){ 0 };
}

/* The one word that is no option: the shell that is to be completed. */
static int take_rest(enum command command, int count, char **words, struct given *given)
{
	if (command == COMMAND_COMPLETION && count > 0) {
		given->shell = *words++;
		count--;
	}
	if (count <= 0)
		return 0;
	return options_wrong("the word", *words, "skuctl help lists the options");
}

/*
 * Take the options of @command from @argv, whose first is its word. Return 0, or -EINVAL with all
 * said. @given keeps pointers into @argv.
 */
int options_take(enum command command, int argc, char **argv, struct given *given)
{
	struct option list[OPTIONS + 1];
	int found;
	int r;

	list_options(list);
	while ((found = getopt_long(argc, argv, "", list, NULL)) != -1) {
		if (found == '?')
			return -EINVAL; /* getopt_long() has said why */
		if (!command_has(command, (enum choice)found))
			return options_wrong("the option", option_words[found].word,
					     "it is one of another command: see skuctl help");
		if (take_option((enum choice)found, optarg, given) < 0)
			return -EINVAL;
	}
	r = take_rest(command, argc - optind, argv + optind, given);
	return r < 0 ? r : finish(given);
}
