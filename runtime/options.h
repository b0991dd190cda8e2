/* SPDX-License-Identifier: GPL-2.0-only */
/* What skuctl was told on its command line. */
#ifndef SKU_OPTIONS_H
#define SKU_OPTIONS_H

#include <stdbool.h>

#include "update.h"
#include "words.h"

struct given {
	struct update_options update;
	const char *unit;
	const char *bundle;
	const char *key;
	const char *output;
	const char *shell;
	unsigned int mib;
	bool no_kept_initramfs;
	bool unverified;
};

int options_wrong(const char *what, const char *value, const char *hint);
int options_take(enum command command, int argc, char **argv, struct given *given);

#endif
