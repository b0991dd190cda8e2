// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs one part of the runtime on standard input, for test_runtime.py: each line of output is a
 * JSON object. The parts that need no arm64 machine are linked with it, and built with sanitizers.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "copied.h"
#include "facts.h"
#include "file.h"
#include "json.h"
#include "kmsg.h"
#include "lines.h"
#include "problem.h"
#include "shell.h"
#include "volume.h"

static struct json json;

static void on_command(char *line)
{
	struct command command;
	const char *wrong = command_parse(line, &command);

	if (wrong) {
		json_string(&json, "wrong", wrong);
		return;
	}
	json_number(&json, "verb", command.verb);
	if (command.verb == VERB_LOAD) {
		json_string(&json, "image", command.image);
		json_string(&json, "initrd", command.initrd);
		json_string(&json, "cmdline", command.cmdline);
	}
	if (command.path)
		json_string(&json, "path", command.path);
	if (command.text)
		json_string(&json, "text", command.text);
}

static void on_put(char *line)
{
	struct problem problem;
	char *text = strchr(line, ' ');
	int r;

	if (!text)
		return;
	*text++ = '\0';
	r = file_put(line, text, &problem);
	json_number(&json, "result", (uint64_t)-r);
	if (r < 0)
		json_string(&json, "message", problem.text);
}

/* With a small buffer, whose end the sanitizer watches. */
static void on_get(const char *line)
{
	struct problem problem;
	char content[8];
	ssize_t size = file_get(line, content, sizeof(content), &problem);

	if (size < 0) {
		json_number(&json, "result", (uint64_t)-size);
		json_string(&json, "message", problem.text);
	} else {
		json_text(&json, "text", content, (size_t)size);
	}
}

static void on_copied(const char *line)
{
	struct copied copied;

	if (!copied_read(line, &copied))
		return;
	json_number(&json, "bytes", copied.bytes);
	json_number(&json, "total", copied.total);
	json_string(&json, "reason", copied.reason);
}

static void on_record(const char *line)
{
	struct kmsg_record record;

	if (!kmsg_parse(line, strlen(line), &record))
		return;
	json_number(&json, "level", record.level);
	json_number(&json, "facility", record.facility);
	json_number(&json, "sequence", record.sequence);
	json_number(&json, "us", record.stamp_us);
	json_text(&json, "text", record.text, record.size);
}

static void on_option(const char *line)
{
	static struct facts facts;

	snprintf(facts.cmdline, sizeof(facts.cmdline), "%s", line);
	json_number(&json, "found", facts_option(&facts, "sku.lab", "poweroff"));
}

/* A name, and the command line it is looked for in; the buffer's end is watched. */
static void on_value(char *line)
{
	char *cmdline = strchr(line, ' ');
	char value[16];

	if (!cmdline)
		return;
	*cmdline++ = '\0';
	if (cmdline_value(cmdline, line, value, sizeof(value)))
		json_string(&json, "value", value);
}

static void on_shell(const char *line)
{
	static struct shell shell;
	struct problem problem;
	const char *text;
	size_t size;
	int status;

	if (shell_start(&shell, line, &problem) < 0)
		return;
	json_number(&json, "second", (uint64_t)-shell_start(&shell, line, &problem));
	while (waitpid(shell.pid, &status, WNOHANG) == 0) {
		struct pollfd polled = { .fd = shell.output, .events = POLLIN };

		if (poll(&polled, 1, 10) > 0)
			shell_listen(&shell);
	}
	status = shell_end(&shell, status, &text, &size);
	json_number(&json, "status", (uint64_t)status);
	json_text(&json, "output", text, size);
}

static void on_problem(const char *line)
{
	struct problem problem;
	int r = problem_set(&problem, ENOENT, "a hint", "cannot open %s", line);

	json_string(&json, "message", problem.text);
	json_number(&json, "result", (uint64_t)-r);
}

static void on_volume(char *line)
{
	uint8_t uuid[VOLUME_UUID_BYTES];
	char *path = strchr(line, ' ');
	int fd;

	if (!path)
		return;
	*path++ = '\0';
	if (!volume_parse_uuid(line, uuid)) {
		json_string(&json, "wrong", line);
		return;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	json_number(&json, "found", volume_has_uuid(fd, uuid));
	close(fd);
}

static void on_line(const char *part, char *line)
{
	if (!strcmp(part, "command"))
		on_command(line);
	else if (!strcmp(part, "get"))
		on_get(line);
	else if (!strcmp(part, "put"))
		on_put(line);
	else if (!strcmp(part, "copied"))
		on_copied(line);
	else if (!strcmp(part, "kmsg"))
		on_record(line);
	else if (!strcmp(part, "option"))
		on_option(line);
	else if (!strcmp(part, "value"))
		on_value(line);
	else if (!strcmp(part, "shell"))
		on_shell(line);
	else if (!strcmp(part, "volume"))
		on_volume(line);
	else if (!strcmp(part, "problem"))
		on_problem(line);
	else
		json_string(&json, "text", line);
}

int main(int argc, char **argv)
{
	static struct lines lines;
	const char *part = argc == 2 ? argv[1] : "";
	char *line;
	int r;

	do {
		while ((r = lines_take(&lines, &line)) != -EAGAIN) {
			json_begin(&json, STDOUT_FILENO);
			if (r < 0)
				json_number(&json, "errno", (uint64_t)-r);
			else
				on_line(part, line);
			if (json_end(&json) < 0)
				return 1;
		}
	} while (lines_fill(&lines, STDIN_FILENO) > 0);
	return 0;
}
