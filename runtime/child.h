/* SPDX-License-Identifier: GPL-2.0-only */
/* Other programs, run without a shell. */
#ifndef SKU_CHILD_H
#define SKU_CHILD_H

#include <stddef.h>
#include <sys/types.h>

#include "buffer.h"
#include "problem.h"

/* Where programs are looked for: the first process is given no PATH. */
#ifndef CHILD_PATH /* another one for tests */
#define CHILD_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#endif

pid_t child_start(const char *const argv[], const char *const environment[], int output,
		  struct problem *problem);
int child_run(const char *const argv[], struct buffer *output, unsigned int timeout_ms,
	      struct problem *problem);

#endif
