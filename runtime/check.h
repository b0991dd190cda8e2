/* SPDX-License-Identifier: GPL-2.0-only */
/* What must hold before an update begins. */
#ifndef SKU_CHECK_H
#define SKU_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "problem.h"
#include "shared.h"
#include "update.h"

#define CHECK_FINDINGS_MAX 32

struct check {
	bool takes_memfds; /* the next kernel does, from this one */
	struct shared shared; /* of the application, and what would become of it */
	size_t count;
	struct {
		const char *what;
		struct problem problem;
	} findings[CHECK_FINDINGS_MAX];
};

void check_machine(const struct update_options *options, struct check *check);
struct problem *check_found(struct check *check, const char *what);
void check_loaded(const struct update_options *options, struct check *check);
void check_next(const struct update_options *options, struct check *check);
void check_application(const struct update_options *options, struct check *check);

#endif
