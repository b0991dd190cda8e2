/* SPDX-License-Identifier: GPL-2.0-only */
/* A bundle of `sku bundle`: taken only when somebody trusted has signed all of it. */
#ifndef SKU_BUNDLE_H
#define SKU_BUNDLE_H

#include "problem.h"
#include "sealed.h"

#ifndef BUNDLE_KEYS /* another place for tests */
#define BUNDLE_KEYS "/etc/sku/keys"
#endif
#define BUNDLE_CMDLINE_SIZE 4096

/*
 * What is loaded are copies in memory, made before they were checked: whoever changes the files
 * afterwards changes nothing here. The paths lead to them as long as this process lives.
 */
struct bundle {
	const char *directory;
	char image[SEALED_PATH_SIZE];
	char initrd[SEALED_PATH_SIZE];
	char cmdline[BUNDLE_CMDLINE_SIZE];
};

int bundle_open(const char *directory, const char *keys, struct bundle *bundle,
		struct problem *problem);
void bundle_rename(const struct bundle *bundle, struct problem *problem);

#endif
