/* SPDX-License-Identifier: GPL-2.0-only */
/* The lines the lab sends: a verb, and what it is to be done with. */
#ifndef SKU_COMMAND_H
#define SKU_COMMAND_H

enum verb {
	VERB_GET,
	VERB_JUMP,
	VERB_KMSG,
	VERB_LOAD,
	VERB_POWEROFF,
	VERB_PUT,
	VERB_RUN,
	VERB_UNLOAD,
};

struct command {
	enum verb verb;
	const char *image;   /* load: file names in the shared directory */
	const char *initrd;
	const char *cmdline; /* load: the rest of the line, as it came */
	const char *path;    /* get, put: absolute */
	const char *text;    /* put, run: the rest of the line, as it came */
};

const char *command_parse(char *line, struct command *command);

#endif
