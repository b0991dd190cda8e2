// SPDX-License-Identifier: GPL-2.0-only
/*
 * sku-agent, the init of the lab's guest: it does what the lab asks for, on a root file system that
 * has a shell. It must never return: the kernel panics when its first process ends.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "counter.h"
#include "facts.h"
#include "problem.h"
#include "root.h"
#include "serve.h"

#define HOST_NAME "sku"

int main(void)
{
	uint64_t counter = counter_now();
	static struct facts facts;

	problem_program = "sku-agent";
	if (getpid() != 1) {
		dprintf(STDERR_FILENO, "sku-agent is the init of the lab's guest; run by hand it "
				       "does nothing\n");
		return 2;
	}
	/* sku-init has left all of it in place, a kernel that mounts its root itself has not. */
	root_mount_all();
	sethostname(HOST_NAME, strlen(HOST_NAME));
	facts_gather(&facts);
	if (!serve(&facts, counter, NULL))
		dprintf(STDERR_FILENO, "sku-agent: there is no lab port\n");
	if (facts_option(&facts, "sku.lab", "poweroff"))
		power_off();
	for (;;)
		pause();
}
