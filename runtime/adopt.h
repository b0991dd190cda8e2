/* SPDX-License-Identifier: GPL-2.0-only */
/* How systemd comes by the processes of a unit that it has not started. */
#ifndef SKU_ADOPT_H
#define SKU_ADOPT_H

#include "problem.h"
#include "unit.h"

#define ADOPT_REPORT "/var/lib/sku/report.json" /* of the last update; stays over a reset */

int adopt_prepare(const struct unit *unit, struct problem *problem);
int adopt_arrange(const struct unit *unit, struct problem *problem);
int adopt_hold(const struct unit *unit, struct problem *problem);
int adopt_now(struct problem *problem);
int adopt(const char *name, struct problem *problem);
int adopt_settle(struct problem *problem);

#endif
