/* SPDX-License-Identifier: GPL-2.0-only */
/* What the running kernel says about itself. */
#ifndef SKU_FACTS_H
#define SKU_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/utsname.h>

#define CMDLINE_SIZE 4096

struct facts {
	struct utsname kernel;
	char cmdline[CMDLINE_SIZE];
	char cpus_online[256];   /* lists such as "0-3,8", as sysfs has them */
	char cpus_possible[256];
	uint64_t memory_kib;     /* MemTotal */
	uint64_t page_size;      /* bytes */
	uint64_t uptime_ns;      /* CLOCK_BOOTTIME */
};

void facts_gather(struct facts *facts);
void cmdline_read(char *cmdline, size_t size);
bool cmdline_value(const char *cmdline, const char *name, char *value, size_t size);
bool facts_option(const struct facts *facts, const char *name, const char *value);

#endif
