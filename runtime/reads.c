// SPDX-License-Identifier: GPL-2.0-only
#include "reads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

#define MAGIC "[kho reads]\n"
#define TEXT_MAX 1024 /* a longer one is none */
#define PIN_READS "/sys/class/misc/pin_mem/reads"

/* Where a running kernel tells it: each series has a place of its own, or is not there. */
static const char *const places[] = {
	PIN_READS,
	"/proc/sys/kernel/pid_reserve_reads",
};

/* What to do when the next kernel cannot read something. */
static const struct {
	const char *name;
	const char *hint;
} hints[] = {
	{ "kho", "build the next kernel with the series handover of this one" },
	{ "pin_mem", "build the next kernel with a series pin_mem that reads what this one writes" },
	{ "page_shift", "build the next kernel with this one's page size" },
	{ "va_bits", "build the next kernel with as many bits of virtual addresses as this one" },
	{ "huge_pages", "build the next kernel with CONFIG_TRANSPARENT_HUGEPAGE=y" },
	{ "pid_reserve", "build the next kernel with the series pid_reserve; --no-pid-reserve goes on "
			 "without, and takes the risk that a number is taken" },
};

static bool is_plain(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

/* Take a line into @reads. Return whether it is one. */
static bool take_line(char *line, struct reads *reads)
{
	size_t name = strcspn(line, " ");
	const char *versions = line + name;

	versions += strspn(versions, " ");
	if (!name || !*versions || !is_plain(line) || reads->count == READS_LINES_MAX ||
	    name >= sizeof(reads->lines[0].name) ||
	    strlen(versions) >= sizeof(reads->lines[0].versions))
		return false;
	line[name] = '\0';
	for (size_t i = 0; i < reads->count; i++)
		if (!strcmp(reads->lines[i].name, line))
			return false;
	snprintf(reads->lines[reads->count].name, sizeof(reads->lines[0].name), "%s", line);
	snprintf(reads->lines[reads->count].versions, sizeof(reads->lines[0].versions), "%s",
		 versions);
	reads->count++;
	return true;
}

/* Take what follows a magic, up to a NUL. */
static bool take_text(const char *text, size_t size, struct reads *reads)
{
	char copy[TEXT_MAX];
	char *rest = copy;
	char *line;

	size = strnlen(text, size);
	if (size >= sizeof(copy))
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	while ((line = strsep(&rest, "\n")))
		if (*line && !take_line(line, reads))
			return false;
	return true;
}

/*
 * Find all texts in @data, which is of the file @path, and add them to @reads. None is fine. Return
 * 0 or a negative errno, with @problem set, when one of them is damaged.
 */
int reads_find(const char *path, const char *data, size_t size, struct reads *reads,
	       struct problem *problem)
{
	const size_t magic = strlen(MAGIC);
	const char *end = data + size;
	const char *at = data;

	while ((at = memmem(at, (size_t)(end - at), MAGIC, magic))) {
		at += magic;
		if (!take_text(at, (size_t)(end - at), reads))
			return problem_set(problem, EINVAL, "build that kernel again",
					   "cannot tell what %s reads: a damaged text", path);
	}
	return 0;
}

/*
 * Ask the running kernel, whose files are below @root, what it reads, and thereby what it writes.
 * Return 0 or a negative errno, with @problem set, also when it does not say.
 */
int reads_running(const char *root, struct reads *reads, struct problem *problem)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char path[256];
		char text[TEXT_MAX];
		int r;

		snprintf(path, sizeof(path), "%s%s", root, places[i]);
		file_text(path, text, sizeof(text));
		r = reads_find(path, text, strlen(text), reads, problem);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < reads->count; i++)
		if (!strcmp(reads->lines[i].name, "pin_mem"))
			return 0;
	return problem_set(problem, ENOENT, "use the skuctl that belongs to this kernel",
			   "cannot tell what the running kernel writes: no " PIN_READS);
}

static const char *versions_of(const struct reads *reads, const char *name)
{
	for (size_t i = 0; i < reads->count; i++)
		if (!strcmp(reads->lines[i].name, name))
			return reads->lines[i].versions;
	return NULL;
}

static const char *last_word(const char *words)
{
	const char *blank = strrchr(words, ' ');

	return blank ? blank + 1 : words;
}

static bool has_word(const char *words, const char *word)
{
	size_t size = strlen(word);

	while (*words) {
		size_t n = strcspn(words, " ");

		if (n == size && !strncmp(words, word, n))
			return true;
		words += n;
		words += strspn(words, " ");
	}
	return false;
}

/* All that is written has to be read; only an address space may be larger than it must be. */
static bool can_read(const char *name, const char *versions, const char *written)
{
	if (!versions)
		return false;
	if (!strcmp(name, "va_bits"))
		return atoi(last_word(versions)) >= atoi(written);
	return has_word(versions, written);
}

static const char *hint_for(const char *name)
{
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (!strcmp(hints[i].name, name))
			return hints[i].hint;
	return "build the next kernel with what this one has";
}

/* Who keeps no memfds need not care whether they are read. */
static const char memfd[] = "memfd";

/* Return whether the next kernel reads what the running one writes of memfds. */
bool reads_memfds(const struct reads *running, const struct reads *next)
{
	const char *written = versions_of(running, memfd);
	const char *versions = versions_of(next, memfd);

	return written && versions && has_word(versions, last_word(written));
}

/*
 * See that the next kernel, of the file @path, reads all that the running one writes; with
 * @no_pid_reserve, no pid numbers are; memfds are another matter. Return 0, or a negative errno with @problem set for the first
 * that it does not.
 */
int reads_compare(const struct reads *running, const struct reads *next, const char *path,
		  bool no_pid_reserve, struct problem *problem)
{
	for (size_t i = 0; i < running->count; i++) {
		const char *name = running->lines[i].name;
		const char *written = last_word(running->lines[i].versions);
		const char *versions = versions_of(next, name);

		if ((no_pid_reserve && !strcmp(name, "pid_reserve")) || !strcmp(name, memfd) ||
		    can_read(name, versions, written))
			continue;
		return problem_set(problem, 0, hint_for(name),
				   "%s would not take over what this kernel leaves: %s is %s here, "
				   "and %s there", path, name, written, versions ? versions : "none");
	}
	return 0;
}
