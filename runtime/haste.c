// SPDX-License-Identifier: GPL-2.0-only
#include "haste.h"

#include "file.h"
#include "problem.h"

#define EXPEDITED "/sys/kernel/rcu_expedited"

/*
 * Packet filters, namespaces and mounts wait for grace periods, each of them some ticks long. An
 * expedited one interrupts every CPU instead. Return whether haste_off() is to follow: not where it
 * was so already, or cannot be.
 */
bool haste_on(void)
{
	struct problem problem;
	char now[8];

	file_text(EXPEDITED, now, sizeof(now));
	return now[0] == '0' && file_put(EXPEDITED, "1\n", &problem) == 0;
}

void haste_off(void)
{
	struct problem problem;

	if (file_put(EXPEDITED, "0\n", &problem) < 0)
		problem_print(&problem);
}
