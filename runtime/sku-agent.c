// SPDX-License-Identifier: GPL-2.0-only
/*
 * sku-agent, the init of the lab's guest: it does what the lab asks for, on a root file system that
 * has a shell. As the first process it must never return: the kernel panics when that ends. With
 * --service it is one of another init's services.
 */
#include <stdbool.h>
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

static void begin(void)
{
	/* sku-init has left all of it in place, a kernel that mounts its root itself has not. */
	root_mount_all();
	sethostname(HOST_NAME, strlen(HOST_NAME));
}

int main(int argc, char **argv)
{
	bool service = argc == 2 && !strcmp(argv[1], "--service");
	uint64_t counter = counter_now();
	static struct facts facts;

	problem_program = "sku-agent";
	if (getpid() != 1 && !service) {
		dprintf(STDERR_FILENO, "sku-agent is the init of the lab's guest; run by hand it "
				       "does nothing\n");
		return 2;
	}
	if (!service)
		begin();
	facts_gather(&facts);
	if (!serve(&facts, counter, NULL))
		dprintf(STDERR_FILENO, "sku-agent: there is no lab port\n");
	if (facts_option(&facts, "sku.lab", "poweroff"))
		power_off();
	if (service)
		return 1;
	for (;;)
		pause();
}
