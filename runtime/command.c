// SPDX-License-Identifier: GPL-2.0-only
#include "command.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const struct {
	const char *word;
	enum verb verb;
} verbs[] = {
	{ "get", VERB_GET },
	{ "jump", VERB_JUMP },
	{ "kmsg", VERB_KMSG },
	{ "load", VERB_LOAD },
	{ "poweroff", VERB_POWEROFF },
	{ "put", VERB_PUT },
	{ "run", VERB_RUN },
	{ "unload", VERB_UNLOAD },
};

/* Cut the next word off *rest; an empty one means that there is none. */
static char *take_word(char **rest)
{
	char *word = *rest;
	size_t size = strcspn(word, " ");

	*rest = word + size;
	if (**rest) {
		**rest = '\0';
		(*rest)++;
	}
	return word;
}

/* A name must stay in the directory the host shares. */
static bool is_file_name(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

static const char *parse_load(char *rest, struct command *command)
{
	command->image = take_word(&rest);
	command->initrd = take_word(&rest);
	command->cmdline = rest;
	if (!is_file_name(command->image) || !is_file_name(command->initrd))
		return "load takes an image, an initrd and a command line; the first two are file "
		       "names without a directory";
	return NULL;
}

static const char *parse_get(char *rest, struct command *command)
{
	command->path = rest;
	if (*rest != '/' || strchr(rest, ' '))
		return "get takes an absolute path, without blanks";
	return NULL;
}

static const char *parse_put(char *rest, struct command *command)
{
	command->path = take_word(&rest);
	command->text = rest;
	if (*command->path != '/' || !*rest)
		return "put takes an absolute path, without blanks, and a text";
	return NULL;
}

/*
 * Parse @line (without its newline), which is cut up in place; @command points into it. Return
 * NULL, or what is wrong with the line.
 */
const char *command_parse(char *line, struct command *command)
{
	char *rest = line;
	const char *word = take_word(&rest);

	*command = (struct command){ 0 };
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(word, verbs[i].word))
			continue;
		command->verb = verbs[i].verb;
		switch (command->verb) {
		case VERB_GET:
			return parse_get(rest, command);
		case VERB_LOAD:
			return parse_load(rest, command);
		case VERB_PUT:
			return parse_put(rest, command);
		case VERB_RUN:
			command->text = rest;
			return *rest ? NULL : "run takes a command for the shell";
		case VERB_JUMP:
		case VERB_KMSG:
		case VERB_POWEROFF:
		case VERB_UNLOAD:
			return *rest ? "this command takes no arguments" : NULL;
		}
	}
	return "unknown command; known are get, jump, kmsg, load, poweroff, put, run and unload";
}
