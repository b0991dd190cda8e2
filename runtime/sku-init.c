// SPDX-License-Identifier: GPL-2.0-only
/*
 * sku-init, the first process of the initramfs. With root= on the command line it mounts that,
 * brings back the application that was handed over, if there is one, and becomes the init of the
 * root file system. Without, or when that failed, it reports the boot over the lab's port and does
 * what the lab asks for; without that port either, it prints what it found and waits, or powers off
 * when the command line says sku.lab=poweroff.
 *
 * It must never return: the kernel panics when its first process ends.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "counter.h"
#include "facts.h"
#include "journal.h"
#include "problem.h"
#include "restore.h"
#include "root.h"
#include "serve.h"
#include "waiting.h"

/*
 * Whatever waits for its driver may have it, now that an application is back, or that none is to
 * come; not if sku.settle=no says that somebody else will say so.
 */
static void settle(const char *cmdline)
{
	struct problem problem;
	char value[8];

	if (cmdline_value(cmdline, "sku.settle", value, sizeof(value)) && !strcmp(value, "no"))
		return;
	if (waiting_settle(&problem) < 0)
		problem_print(&problem);
}

/*
 * Go over to the root file system. What is not needed for that is not done before: an application
 * may be waiting. Returns only when it failed, with @problem set.
 */
static void start_root(const char *cmdline, char **argv, uint64_t counter, struct problem *problem)
{
	if (root_enter(cmdline, problem) == 0) {
		journal_begin();
		restore_if_handed_over(counter);
		settle(cmdline);
		journal_pass_on();
		root_become_init(cmdline, argv, problem);
	}
	problem_print(problem);
}

int main(int argc __attribute__((unused)), char **argv)
{
	uint64_t counter = counter_now();
	/* Static: too large for a first process to find no stack for. */
	static char cmdline[CMDLINE_SIZE];
	static struct facts facts;
	const struct problem *failed = NULL;
	struct problem problem;

	if (getpid() != 1) {
		dprintf(STDERR_FILENO, "sku-init is the first process of an initramfs; run by hand "
				       "it does nothing\n");
		return 2;
	}
	root_mount_all();
	cmdline_read(cmdline, sizeof(cmdline));
	if (root_wanted(cmdline)) {
		start_root(cmdline, argv, counter, &problem);
		failed = &problem;
	}
	settle(cmdline);
	facts_gather(&facts);
	if (!serve(&facts, counter, failed))
		dprintf(STDERR_FILENO, "sku-init: no lab port; %s up, CPUs %s, %ju KiB of memory\n",
			facts.kernel.release, facts.cpus_online, (uintmax_t)facts.memory_kib);
	if (facts_option(&facts, "sku.lab", "poweroff"))
		power_off();
	dprintf(STDERR_FILENO, "sku-init: nothing left to do; waiting\n");
	for (;;)
		pause();
}
