// SPDX-License-Identifier: GPL-2.0-only
#include "completion.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "update.h"
#include "words.h"

#define UNITS "systemctl list-units --plain --no-legend --type service 2>/dev/null | cut -d ' ' -f 1"

/* As one word of any of the three shells; those of @escaped get a backslash. */
static void quote(FILE *out, const char *text, const char *escaped)
{
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'') {
			fputs("'\\''", out);
			continue;
		}
		if (strchr(escaped, *text))
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('\'', out);
}

/* All phases, each with @after behind it. */
static void phases(FILE *out, const char *after)
{
	for (unsigned int i = 0; i < PHASES; i++)
		fprintf(out, "%s%s%s", i ? " " : "", phase_names[i], after);
}

/* A bit for each option. */
static uint32_t options_of(enum command command)
{
	uint32_t options = 0;

	for (unsigned int i = 0; i < OPTIONS; i++)
		if (command_has(command, i))
			options |= UINT32_C(1) << i;
	return options;
}

/* Whether a command before has the same options, so that what is said of that holds for both. */
static bool is_said(enum command command)
{
	for (unsigned int i = 0; i < command; i++)
		if (options_of(i) == options_of(command))
			return true;
	return false;
}

/* All commands that have the options of @command, as what a `case` looks for. */
static void label(FILE *out, enum command command)
{
	const char *between = "";

	for (unsigned int i = command; i < COMMANDS; i++) {
		if (options_of(i) != options_of(command))
			continue;
		fprintf(out, "%s%s", between, command_words[i].word);
		between = "|";
	}
	fputs(") ", out);
}

static void bash_options(FILE *out, enum takes takes, const char *action)
{
	const char *between = "";

	for (unsigned int i = 0; i < OPTIONS; i++) {
		if (option_words[i].takes != takes)
			continue;
		fprintf(out, "%s--%s", between, option_words[i].word);
		between = "|";
	}
	fprintf(out, ") %s ;;\n", action);
}

static void bash_values(FILE *out)
{
	fputs("\tcase $before in\n\t", out);
	bash_options(out, TAKES_FILE, "compopt -o filenames; kind=-f");
	fputc('\t', out);
	bash_options(out, TAKES_DIRECTORY, "compopt -o filenames; kind=-d");
	fputc('\t', out);
	bash_options(out, TAKES_UNIT, "known=$(" UNITS ")");
	fputc('\t', out);
	bash_options(out, TAKES_FREEZER, "known='criu command'");
	fputc('\t', out);
	bash_options(out, TAKES_TEXT, "return");
	for (unsigned int i = 0; i < OPTIONS; i++) {
		bool time = option_words[i].takes == TAKES_PHASE_TIME;

		if (!time && option_words[i].takes != TAKES_PHASE)
			continue;
		fprintf(out, "\t--%s) %sknown='", option_words[i].word,
			time ? "compopt -o nospace; " : "");
		phases(out, time ? "=" : "");
		fputs("' ;;\n", out);
	}
	fputs("\tcompletion) known='bash zsh fish' ;;\n", out);
}

static void bash(FILE *out)
{
	fputs("_skuctl()\n{\n"
	      "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tlocal kind=-W known=\n"
	      "\t((COMP_CWORD > 1)) || before=\n", out);
	bash_values(out);
	fputs("\t'') known='", out);
	for (unsigned int i = 0; i < COMMANDS; i++)
		fprintf(out, "%s%s", i ? " " : "", command_words[i].word);
	fputs("' ;;\n", out);
	fputs("\t*) case ${COMP_WORDS[1]} in\n", out);
	for (unsigned int i = 0; i < COMMANDS; i++) {
		if (is_said(i) || !options_of(i))
			continue;
		fputs("\t\t", out);
		label(out, i);
		fputs("known='", out);
		for (unsigned int j = 0; j < OPTIONS; j++)
			if (command_has(i, j))
				fprintf(out, "--%s ", option_words[j].word);
		fputs("' ;;\n", out);
	}
	fputs("\t\tesac ;;\n\tesac\n"
	      "\tif [[ $kind == -W ]]; then\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -W \"$known\" -- \"$word\")\n"
	      "\telse\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen \"$kind\" -- \"$word\")\n"
	      "\tfi\n}\ncomplete -F _skuctl skuctl\n", out);
}

static void zsh_value(FILE *out, const struct option_word *option)
{
	if (option->takes == TAKES_NOTHING)
		return;
	fprintf(out, "':%s:'", option->value);
	switch (option->takes) {
	case TAKES_FILE:
		fputs("_files", out);
		break;
	case TAKES_DIRECTORY:
		fputs("'_files -/'", out);
		break;
	case TAKES_UNIT:
		fputs("_skuctl_units", out);
		break;
	case TAKES_FREEZER:
		fputs("'(criu command)'", out);
		break;
	case TAKES_PHASE:
	case TAKES_PHASE_TIME:
		fputs("'(", out);
		phases(out, option->takes == TAKES_PHASE ? "" : "=");
		fputs(")'", out);
		break;
	default:
		fputs("' '", out);
	}
}

static void zsh(FILE *out)
{
	fputs("#compdef skuctl\n"
	      "_skuctl_units()\n{\n\tlocal -a units\n\tunits=($(" UNITS "))\n"
	      "\tcompadd -a units\n}\n"
	      "_skuctl()\n{\n\tlocal -a known\n"
	      "\tif ((CURRENT == 2)); then\n\t\tknown=(\n", out);
	for (unsigned int i = 0; i < COMMANDS; i++) {
		fprintf(out, "\t\t\t%s':'", command_words[i].word);
		quote(out, command_words[i].help, "");
		fputc('\n', out);
	}
	fputs("\t\t)\n\t\t_describe command known\n\t\treturn\n\tfi\n"
	      "\tshift words\n\t((CURRENT--))\n\tcase $words[1] in\n"
	      "\tcompletion) _arguments '1:shell:(bash zsh fish)' ;;\n", out);
	for (unsigned int i = 0; i < COMMANDS; i++) {
		if (is_said(i) || !options_of(i))
			continue;
		fputc('\t', out);
		label(out, i);
		fputs("_arguments", out);
		for (unsigned int j = 0; j < OPTIONS; j++) {
			if (!command_has(i, j))
				continue;
			fprintf(out, " \\\n\t\t--%s'['", option_words[j].word);
			quote(out, option_words[j].help, ":[]");
			fputs("']'", out);
			zsh_value(out, &option_words[j]);
		}
		fputs(" ;;\n", out);
	}
	fputs("\tesac\n}\ncompdef _skuctl skuctl\n", out);
}

static void fish_value(FILE *out, const struct option_word *option)
{
	switch (option->takes) {
	case TAKES_NOTHING:
		break;
	case TAKES_FILE:
		fputs(" -r -F", out);
		break;
	case TAKES_DIRECTORY:
		fputs(" -x -a '(__fish_complete_directories)'", out);
		break;
	case TAKES_UNIT:
		fputs(" -x -a \"(" UNITS ")\"", out);
		break;
	case TAKES_FREEZER:
		fputs(" -x -a 'criu command'", out);
		break;
	case TAKES_PHASE:
	case TAKES_PHASE_TIME:
		fputs(" -x -a '", out);
		phases(out, option->takes == TAKES_PHASE ? "" : "=");
		fputc('\'', out);
		break;
	case TAKES_TEXT:
		fputs(" -x", out);
	}
}

static void fish(FILE *out)
{
	fputs("complete -c skuctl -f\n", out);
	for (unsigned int i = 0; i < COMMANDS; i++) {
		fprintf(out, "complete -c skuctl -n __fish_use_subcommand -a %s -d ",
			command_words[i].word);
		quote(out, command_words[i].help, "");
		fputc('\n', out);
	}
	fputs("complete -c skuctl -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n",
	      out);
	for (unsigned int i = 0; i < OPTIONS; i++) {
		fputs("complete -c skuctl -n '__fish_seen_subcommand_from", out);
		for (unsigned int j = 0; j < COMMANDS; j++)
			if (command_has(j, i))
				fprintf(out, " %s", command_words[j].word);
		fprintf(out, "' -l %s -d ", option_words[i].word);
		quote(out, option_words[i].help, "");
		fish_value(out, &option_words[i]);
		fputc('\n', out);
	}
}

/* Print what completes the words of skuctl in @shell. Return 0, or -EINVAL: it is not known. */
int completion_print(const char *shell, FILE *out)
{
	if (!strcmp(shell, "bash"))
		bash(out);
	else if (!strcmp(shell, "zsh"))
		zsh(out);
	else if (!strcmp(shell, "fish"))
		fish(out);
	else
		return -EINVAL;
	return 0;
}
