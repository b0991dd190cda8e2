// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs one part of what a unit of systemd takes along, for test_runtime_unit.py. The first line of
 * output is the result; more of them follow where there is more to tell.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"
#include "runfiles.h"
#include "undumpable.h"
#include "unit.h"

static struct problem problem;

static void read_file(const char *path, struct buffer *data)
{
	FILE *file = fopen(path, "r");
	char text[4096];
	size_t size;

	if (!file)
		exit(2);
	while ((size = fread(text, 1, sizeof(text), file)))
		buffer_add(data, text, size);
	fclose(file);
}

static int on_unit(const char *path)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	_cleanup_buffer_ struct buffer again = { 0 };
	struct unit unit;
	int r;

	read_file(path, &text);
	r = unit_read(&text, &unit, &problem);
	printf("%d\n", r);
	if (r == 0 && unit_write(&unit, &again, &problem) == 0)
		printf("%.*s", (int)again.used, again.data);
	return 0;
}

static int on_ask(const char *name)
{
	struct unit unit;
	int r = unit_ask(name, &unit, &problem);

	printf("%d\n", r);
	if (r == 0)
		printf("%s\n%d\n%s\n%u\n%s\n%s\n", unit.name, unit.main, unit.identifier, unit.priority,
		       unit.cgroup, unit.directories);
	else
		printf("%s\n", problem.text);
	return 0;
}

/* What process @pid has below /run, to a file. */
static int on_keep(const char *pid)
{
	_cleanup_buffer_ struct buffer record = { 0 };
	_cleanup_tasks_ struct tasks tasks = { 0 };
	struct runfiles found = { 0 };
	int r = tasks_gather(atoi(pid), &tasks, &problem);

	if (r == 0)
		r = runfiles_find(&tasks, " more/below systemd", &found, &problem);
	if (r == 0)
		r = runfiles_write(&found, &record, &problem);
	printf("%d\n%.*s", r, (int)record.used, record.data ? record.data : "");
	runfiles_free(&found);
	return 0;
}

static int on_make(const char *path)
{
	_cleanup_buffer_ struct buffer record = { 0 };

	read_file(path, &record);
	printf("%d\n", runfiles_make(&record, &problem));
	return 0;
}

static int on_file(const char *target)
{
	const char *hint = undumpable_hint(target);

	printf("%s\n", hint ? hint : "");
	return 0;
}

static int on_areas(const char *pid)
{
	int r = undumpable_areas(atoi(pid), &problem);

	printf("%d\n%s\n", r, r < 0 ? problem.text : "");
	return 0;
}

static int on_mounts(const char *pid)
{
	int r = undumpable_mounts(atoi(pid), &problem);

	printf("%d\n%s\n", r, r < 0 ? problem.text : "");
	return 0;
}

static int on_journal(const char *text)
{
	problem_program = "skuctl";
	journal_say(JOURNAL_INFO, "nobody hears this");
	journal_begin();
	journal_phase("dump");
	journal_unit("a.service");
	journal_say(JOURNAL_NOTICE, "%s", text);
	journal_phase(NULL);
	problem_set(&problem, 0, "do that", "it is broken");
	problem_print(&problem);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const char *argument);
	} parts[] = {
		{ "unit", on_unit },   { "ask", on_ask },     { "keep", on_keep },
		{ "make", on_make },   { "file", on_file },   { "areas", on_areas },
		{ "mounts", on_mounts }, { "journal", on_journal },
	};

	for (size_t i = 0; argc == 3 && i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strcmp(argv[1], parts[i].name))
			return parts[i].run(argv[2]);
	return 2;
}
