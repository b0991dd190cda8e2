/* SPDX-License-Identifier: GPL-2.0-only */
/* Signatures of ssh-keygen(1), and the keys that are trusted. */
#ifndef SKU_SIGNATURE_H
#define SKU_SIGNATURE_H

#include "problem.h"

int signature_check(const char *signed_by, int message, const char *keys, const char *what,
		    struct problem *problem);

#endif
