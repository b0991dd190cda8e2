/* SPDX-License-Identifier: GPL-2.0-only */
/* Getting at the data of an application that could not be brought back. */
#ifndef SKU_RESCUE_H
#define SKU_RESCUE_H

#include "problem.h"

int rescue(const char *name, const char *directory, struct problem *problem);

#endif
