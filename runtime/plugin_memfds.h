/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What skuctl tells the plug-in of the shared memory that CRIU is neither to write down nor to make anew.
 * A file with a line for each: "DEVICE INODE PID DESCRIPTOR". When it is dumped, the file's device and
 * number, and zeroes. When it is restored, the number that it had, which CRIU calls its image by, and who
 * holds the file now, under which descriptor.
 */
#ifndef SKU_PLUGIN_MEMFDS_H
#define SKU_PLUGIN_MEMFDS_H

#include <stdbool.h>

/* The environment variable that holds the file's path; it need not be there before it is needed. */
#define PLUGIN_MEMFDS "SKU_MEMFDS"

bool memfds_load(void);

#endif
