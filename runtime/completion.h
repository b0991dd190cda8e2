/* SPDX-License-Identifier: GPL-2.0-only */
/* What completes skuctl's words in a shell. */
#ifndef SKU_COMPLETION_H
#define SKU_COMPLETION_H

#include <stdio.h>

int completion_print(const char *shell, FILE *out);

#endif
