/* SPDX-License-Identifier: GPL-2.0-only */
/* Grace periods of RCU cut short, for as long as a client waits. */
#ifndef SKU_HASTE_H
#define SKU_HASTE_H

#include <stdbool.h>

bool haste_on(void);
void haste_off(void);

#endif
