/* SPDX-License-Identifier: GPL-2.0-only */
/* File systems on block devices: held still, so that the next kernel finds their journals empty. */
#ifndef SKU_FREEZE_H
#define SKU_FREEZE_H

#include "problem.h"

int freeze_all(struct problem *problem);
void freeze_thaw(void);

#endif
