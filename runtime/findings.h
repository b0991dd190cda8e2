/* SPDX-License-Identifier: GPL-2.0-only */
/* What stands in the way of an update, gathered and told. */
#ifndef SKU_FINDINGS_H
#define SKU_FINDINGS_H

#include <stddef.h>

#include "check.h"
#include "problem.h"
#include "update.h"

size_t findings_gather(const struct update_options *options, struct check *check);
size_t findings_print(const struct check *check);
void findings_json(const struct update_options *options, const struct check *check,
		   const struct problem *problem, const char *phase, enum status status);
enum status findings_only(const struct update_options *options);

#endif
