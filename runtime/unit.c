// SPDX-License-Identifier: GPL-2.0-only
#include "unit.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"

#define VERSION 1
#define RECORD_MAX 4096
#define ASK_TIMEOUT_MS 30000
#define SERVICE ".service"
#define PRIORITY_MAX 191 /* local7.debug */

/* What systemd.unit(5) lets a name have, and no more: it becomes a part of paths. */
static bool is_name(const char *name)
{
	size_t size = strlen(name);
	size_t suffix = strlen(SERVICE);

	if (size <= suffix || size >= UNIT_NAME_SIZE || strcmp(name + size - suffix, SERVICE) ||
	    name[0] == '.')
		return false;
	for (const char *at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr(":-_.\\@", *at))
			return false;
	return true;
}

static bool is_text(const char *text)
{
	for (; *text; text++)
		if (!isprint((unsigned char)*text))
			return false;
	return true;
}

/* Take one line KEY=VALUE, without its end. */
static void take_property(struct unit *unit, const char *line)
{
	const struct {
		const char *key;
		char *value;
		size_t size;
	} texts[] = {
		{ "Id=", unit->name, sizeof(unit->name) },
		{ "Type=", unit->type, sizeof(unit->type) },
		{ "ActiveState=", unit->state, sizeof(unit->state) },
		{ "ControlGroup=", unit->cgroup, sizeof(unit->cgroup) },
		{ "SyslogIdentifier=", unit->identifier, sizeof(unit->identifier) },
		{ "RuntimeDirectory=", unit->directories, sizeof(unit->directories) },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!strncmp(line, texts[i].key, strlen(texts[i].key)))
			snprintf(texts[i].value, texts[i].size, "%s", line + strlen(texts[i].key));
	if (!strncmp(line, "MainPID=", 8))
		unit->main = (pid_t)atoi(line + 8);
	if (!strncmp(line, "SyslogPriority=", 15))
		unit->priority = (unsigned int)strtoul(line + 15, NULL, 10);
}

/* Without an identifier of its own, a unit is called in the journal as its program is. */
static void name_identifier(struct unit *unit)
{
	char path[32];
	_cleanup_file_ FILE *file = NULL;

	snprintf(path, sizeof(path), "/proc/%d/comm", unit->main);
	file = fopen(path, "re");
	if (file && fgets(unit->identifier, (int)sizeof(unit->identifier), file))
		unit->identifier[strcspn(unit->identifier, "\n")] = '\0';
}

/*
 * Ask systemd for the service @name, with its suffix or without. A service that does not run has no
 * main process, and is no failure here: check_unit() tells.
 */
int unit_ask(const char *name, struct unit *unit, struct problem *problem)
{
	char full[UNIT_NAME_SIZE + sizeof(SERVICE)];
	const char *const argv[] = { "systemctl", "show", "--property",
				     "Id,Type,ActiveState,ControlGroup,MainPID,SyslogIdentifier,"
				     "SyslogPriority,RuntimeDirectory", "--", full, NULL };
	_cleanup_buffer_ struct buffer said = { 0 };
	char *line, *rest;
	int r;

	*unit = (struct unit){ 0 };
	snprintf(full, sizeof(full), "%s%s", name, strchr(name, '.') ? "" : SERVICE);
	if (!is_name(full))
		return problem_set(problem, EINVAL, "give the name of a service, such as mariadb.service",
				   "cannot take '%.80s' for a unit", name);
	r = child_run(argv, &said, ASK_TIMEOUT_MS, problem);
	if (r < 0)
		return r;
	if (r > 0 || buffer_add(&said, "", 1) < 0)
		return problem_set(problem, 0, "see that systemd is what runs here",
				   "cannot ask for %s: %.*s", full, said.used > 100 ? 100 : (int)said.used,
				   said.data ? said.data : "");
	for (line = strtok_r(said.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		take_property(unit, line);
	if (!is_name(unit->name))
		return problem_set(problem, 0, NULL, "cannot understand what systemctl says of %s", full);
	if (!*unit->identifier && unit->main > 0)
		name_identifier(unit);
	return 0;
}

/* Write @unit down for the next kernel. */
int unit_write(const struct unit *unit, struct buffer *text, struct problem *problem)
{
	if (buffer_printf(text, "version %d\nname %s\nmain %d\npriority %u\nidentifier %s\n", VERSION,
			  unit->name, unit->main, unit->priority, unit->identifier) < 0)
		return problem_set(problem, ENOMEM, NULL, "cannot write down the unit");
	return 0;
}

/* Read what the kernel before this one handed over: nothing in it is trusted. */
int unit_read(const struct buffer *text, struct unit *unit, struct problem *problem)
{
	char copy[RECORD_MAX];
	int version, main;

	*unit = (struct unit){ 0 };
	if (text->used < sizeof(copy)) {
		memcpy(copy, text->data, text->used);
		copy[text->used] = '\0';
		if (sscanf(copy, "version %d name %255s main %d priority %u identifier %63[^\n]",
			   &version, unit->name, &main, &unit->priority, unit->identifier) == 5 &&
		    version == VERSION && is_name(unit->name) && is_text(unit->identifier) &&
		    main > 0 && unit->priority <= PRIORITY_MAX) {
			unit->main = (pid_t)main;
			return 0;
		}
	}
	*unit = (struct unit){ 0 };
	return problem_set(problem, EINVAL, "bring the application back by hand: skuctl rescue",
			   "cannot use the record '" UNIT_RECORD "'");
}
