/* SPDX-License-Identifier: GPL-2.0-only */
/* The lines the lab sends: a verb, and for `load` two file names and a command line. */
#ifndef SKU_COMMAND_H
#define SKU_COMMAND_H

enum verb {
	VERB_JUMP,
	VERB_KMSG,
	VERB_LOAD,
	VERB_POWEROFF,
};

struct command {
	enum verb verb;
	const char *image;   /* file names in the shared directory */
	const char *initrd;
	const char *cmdline; /* the rest of the line, as it came */
};

const char *command_parse(char *line, struct command *command);

#endif
