/* SPDX-License-Identifier: GPL-2.0-only */
/* Loading the next kernel, and jumping into it. */
#ifndef SKU_KEXEC_H
#define SKU_KEXEC_H

#include "problem.h"

int kexec_load_files(const char *image, const char *initrd, const char *cmdline,
		     struct problem *problem);
int kexec_load_from_share(const char *image, const char *initrd, const char *cmdline,
			  struct problem *problem);
int kexec_unload(struct problem *problem);
int kexec_jump(struct problem *problem);

#endif
