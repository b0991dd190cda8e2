/* SPDX-License-Identifier: GPL-2.0-only */
/* What a jump copies, as the series quick_kexec has the kernel say it. */
#ifndef SKU_COPIED_H
#define SKU_COPIED_H

#include <stdbool.h>
#include <stdint.h>

#define COPIED_NEXT "/sys/kernel/kexec_in_place"
#define COPIED_LAST "/sys/kernel/kexec_in_place_last"

struct copied {
	uint64_t bytes;
	uint64_t total; /* bytes of the image */
	char reason[80];
};

bool copied_read(const char *path, struct copied *copied);
void copied_print(void);

#endif
