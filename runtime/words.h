/* SPDX-License-Identifier: GPL-2.0-only */
/* The words of skuctl's command line: its help and what completes them come from one table. */
#ifndef SKU_WORDS_H
#define SKU_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum command {
	COMMAND_UPDATE,
	COMMAND_CHECK,
	COMMAND_LOAD,
	COMMAND_STATUS,
	COMMAND_START,
	COMMAND_REPORT,
	COMMAND_UNDO,
	COMMAND_RESTORE,
	COMMAND_RESCUE,
	COMMAND_ADOPT,
	COMMAND_SETTLE,
	COMMAND_DROP,
	COMMAND_MEASURE,
	COMMAND_COMPLETION,
	COMMANDS,
};

enum choice {
	OPTION_PID,
	OPTION_UNIT,
	OPTION_IMAGE,
	OPTION_INITRD,
	OPTION_CMDLINE,
	OPTION_BUNDLE,
	OPTION_KEY,
	OPTION_TIMEOUT,
	OPTION_PHASE_TIMEOUT,
	OPTION_PAUSE_BEFORE,
	OPTION_VERIFY,
	OPTION_NO_PID_RESERVE,
	OPTION_NO_KEPT_INITRAMFS,
	OPTION_FREEZER,
	OPTION_FREEZE_COMMAND,
	OPTION_RESTORE_COMMAND,
	OPTION_DRY_RUN,
	OPTION_NAME,
	OPTION_NO_VERIFY,
	OPTION_OUTPUT,
	OPTION_MIB,
	OPTION_JSON,
	OPTIONS,
};

/* What follows an option; for whoever completes it. */
enum takes {
	TAKES_NOTHING,
	TAKES_TEXT,
	TAKES_FILE,
	TAKES_DIRECTORY,
	TAKES_UNIT,
	TAKES_PHASE,
	TAKES_PHASE_TIME,
	TAKES_FREEZER,
};

struct command_word {
	const char *word;
	const char *help; /* one line */
	bool hidden;	  /* has the options of another, which lists them */
};

struct option_word {
	const char *word;
	enum takes takes;
	const char *value; /* what the help calls it; NULL: TAKES_NOTHING */
	const char *help;
	unsigned int commands; /* 1 << enum command of those that have it */
};

extern const struct command_word command_words[COMMANDS];
extern const struct option_word option_words[OPTIONS];

bool command_has(enum command command, enum choice option);
int command_find(const char *word);
void words_help(FILE *out);

#endif
