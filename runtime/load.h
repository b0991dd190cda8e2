/* SPDX-License-Identifier: GPL-2.0-only */
/* Loading the next kernel. */
#ifndef SKU_LOAD_H
#define SKU_LOAD_H

#include "problem.h"
#include "update.h"

int load_next(const struct update_options *options, struct problem *problem);

#endif
