// SPDX-License-Identifier: GPL-2.0-only
#include "words.h"

#include <string.h>

#include "bundle.h"
#include "update.h"

#define OF(name) (1U << COMMAND_##name)
/* A check and a load take what the update would, so that the same words do for all three. */
#define OF_UPDATES (OF(UPDATE) | OF(CHECK) | OF(LOAD))

const char *const phase_names[PHASES] = {
	[PHASE_CHECK] = "check",   [PHASE_LOAD] = "load",     [PHASE_SILENCE] = "silence",
	[PHASE_FREEZE] = "freeze", [PHASE_DETACH] = "detach", [PHASE_DUMP] = "dump",
	[PHASE_SEAL] = "seal",	   [PHASE_JUMP] = "jump",
};

const struct command_word command_words[COMMANDS] = {
	[COMMAND_UPDATE] = { "update", "replace the kernel under an application", false },
	[COMMAND_CHECK] = { "check", "say what stands in the way of an update", true },
	[COMMAND_LOAD] = { "load", "load the next kernel now, for a later update", true },
	[COMMAND_STATUS] = { "status", "say which phase an update is in, and which devices wait", false },
	[COMMAND_START] = { "start", "let devices that wait have their drivers", false },
	[COMMAND_REPORT] = { "report", "print the report of the update that led to this kernel", false },
	[COMMAND_UNDO] = { "undo", "end an update that has not jumped, or clean up after one", false },
	[COMMAND_RESTORE] = { "restore", "try again to bring back what was handed over", false },
	[COMMAND_RESCUE] = { "rescue", "write what was handed over to files", false },
	[COMMAND_ADOPT] = { "adopt", "hand a unit that was kept to systemd, as its start", false },
	[COMMAND_SETTLE] = { "settle", "end an update of a unit that systemd has adopted", false },
	[COMMAND_DROP] = { "drop", "give up what was handed over", false },
	[COMMAND_MEASURE] = { "measure", "copy memory, and say what that costs", false },
	[COMMAND_COMPLETION] = { "completion", "print what completes these words in a shell", false },
};

const struct option_word option_words[OPTIONS] = {
	[OPTION_PID] = { "pid", TAKES_TEXT, "PID", "the application's first process", OF_UPDATES },
	[OPTION_UNIT] = { "unit", TAKES_UNIT, "NAME", "a service of systemd, in place of a pid",
			  OF_UPDATES | OF(ADOPT) },
	[OPTION_IMAGE] = { "image", TAKES_FILE, "FILE", "the next kernel, an uncompressed Image",
			   OF_UPDATES },
	[OPTION_INITRD] = { "initrd", TAKES_FILE, "FILE", "its initramfs, with sku-init as /init",
			    OF_UPDATES },
	[OPTION_CMDLINE] = { "cmdline", TAKES_TEXT, "TEXT", "its command line", OF_UPDATES },
	[OPTION_BUNDLE] = { "bundle", TAKES_DIRECTORY, "DIR", "all three, signed, of sku bundle",
			    OF_UPDATES },
	[OPTION_KEY] = { "key", TAKES_FILE, "FILE", "trusted, or a directory of *.pub (" BUNDLE_KEYS ")",
			 OF_UPDATES },
	[OPTION_TIMEOUT] = { "timeout", TAKES_TEXT, "S", "undo what has not jumped in S seconds (300)",
			     OF_UPDATES },
	[OPTION_PHASE_TIMEOUT] = { "phase-timeout", TAKES_PHASE_TIME, "PHASE=S",
				   "the same, for one phase", OF_UPDATES },
	[OPTION_PAUSE_BEFORE] = { "pause-before", TAKES_PHASE, "PHASE",
				  "wait there until /run/sku/continue exists", OF_UPDATES },
	[OPTION_VERIFY] = { "verify", TAKES_NOTHING, NULL,
			    "compare all memory with checksums in the end", OF_UPDATES },
	[OPTION_NO_PID_RESERVE] = { "no-pid-reserve", TAKES_NOTHING, NULL,
				    "go on where the kernel cannot keep pids free", OF_UPDATES },
	[OPTION_NO_KEPT_INITRAMFS] = { "no-kept-initramfs", TAKES_NOTHING, NULL,
				       "have the next kernel unpack its initramfs", OF_UPDATES },
	[OPTION_FREEZER] = { "freezer", TAKES_FREEZER, "NAME",
			     "what freezes the application: criu, or command", OF_UPDATES },
	[OPTION_FREEZE_COMMAND] = { "freeze-command", TAKES_TEXT, "TEXT",
				    "stops it, and leaves files in $SKU_IMAGES", OF_UPDATES },
	[OPTION_RESTORE_COMMAND] = { "restore-command", TAKES_TEXT, "TEXT",
				     "brings it back from them", OF_UPDATES },
	[OPTION_DRY_RUN] = { "dry-run", TAKES_NOTHING, NULL, "check only", OF_UPDATES },
	[OPTION_NAME] = { "name", TAKES_TEXT, "NAME", "of the memory session (sku)",
			  OF_UPDATES | OF(RESTORE) | OF(RESCUE) | OF(DROP) },
	[OPTION_NO_VERIFY] = { "no-verify", TAKES_NOTHING, NULL,
			       "also with memory that differs from its checksum", OF(RESTORE) },
	[OPTION_OUTPUT] = { "output", TAKES_DIRECTORY, "DIR", "where to, a new directory",
			    OF(RESCUE) },
	[OPTION_MIB] = { "mib", TAKES_TEXT, "N", "how much, in MiB (64)", OF(MEASURE) },
	[OPTION_JSON] = { "json", TAKES_NOTHING, NULL, "say it in JSON",
			  OF_UPDATES | OF(STATUS) | OF(MEASURE) },
};

bool command_has(enum command command, enum choice option)
{
	return option_words[option].commands & (1U << command);
}

/* Return the command that is called @word, or -1. */
int command_find(const char *word)
{
	for (int i = 0; i < COMMANDS; i++)
		if (!strcmp(word, command_words[i].word))
			return i;
	return -1;
}

static void help_options(FILE *out, enum command command)
{
	for (unsigned int i = 0; i < OPTIONS; i++) {
		const struct option_word *option = &option_words[i];
		const char *value = option->value ? option->value : "";

		if (command_has(command, i))
			fprintf(out, "    --%s %-*s%s\n", option->word,
				(int)(25 - strlen(option->word)), value, option->help);
	}
}

void words_help(FILE *out)
{
	fputs("usage: skuctl COMMAND [OPTION…]\n\n", out);
	for (unsigned int i = 0; i < COMMANDS; i++) {
		fprintf(out, "  %-11s %s%s\n", command_words[i].word, command_words[i].help,
			command_words[i].hidden ? "; options of update" :
			i == COMMAND_COMPLETION ? ": bash, zsh or fish" : "");
		if (!command_words[i].hidden)
			help_options(out, i);
	}
	fputs("\nphases:", out);
	for (unsigned int i = 0; i < PHASES; i++)
		fprintf(out, " %s", phase_names[i]);
	fputs("\nexit status: 0 well, 1 internal error, 2 wrong usage, 3 a check failed,\n"
	      "4 undone, 5 timed out and undone, 6 needs a hand\n", out);
}
