// SPDX-License-Identifier: GPL-2.0-only
#include "facts.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "file.h"

static uint64_t memory_total_kib(void)
{
	char text[256]; /* MemTotal is the first line */
	const char *at;

	file_text("/proc/meminfo", text, sizeof(text));
	at = strstr(text, "MemTotal:");
	return at ? strtoull(at + strlen("MemTotal:"), NULL, 10) : 0;
}

/* Read the running kernel's command line. */
void cmdline_read(char *cmdline, size_t size)
{
	file_text("/proc/cmdline", cmdline, size);
}

/* Gather the facts; one that the kernel does not tell is left empty or 0. */
void facts_gather(struct facts *facts)
{
	struct timespec now = { 0 };

	memset(facts, 0, sizeof(*facts));
	uname(&facts->kernel);
	cmdline_read(facts->cmdline, sizeof(facts->cmdline));
	file_text("/sys/devices/system/cpu/online", facts->cpus_online, sizeof(facts->cpus_online));
	file_text("/sys/devices/system/cpu/possible", facts->cpus_possible,
		  sizeof(facts->cpus_possible));
	facts->memory_kib = memory_total_kib();
	facts->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	clock_gettime(CLOCK_BOOTTIME, &now);
	facts->uptime_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/*
 * Copy the value of the last word @name=VALUE of a command line, which is the one that counts.
 * Return false when there is none or it does not fit.
 */
bool cmdline_value(const char *cmdline, const char *name, char *value, size_t size)
{
	size_t name_size = strlen(name);
	const char *found = NULL;
	size_t found_size = 0;
	const char *at = cmdline;
	size_t word;

	for (;; at += word) {
		at += strspn(at, " \n");
		word = strcspn(at, " \n");
		if (!word)
			break;
		if (word > name_size && !strncmp(at, name, name_size) && at[name_size] == '=') {
			found = at + name_size + 1;
			found_size = word - name_size - 1;
		}
	}
	if (!found || found_size >= size)
		return false;
	memcpy(value, found, found_size);
	value[found_size] = '\0';
	return true;
}

/* Return whether the kernel's command line says @name=@value. */
bool facts_option(const struct facts *facts, const char *name, const char *value)
{
	char said[64];

	return cmdline_value(facts->cmdline, name, said, sizeof(said)) && !strcmp(said, value);
}
