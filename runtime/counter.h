/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arm64 virtual counter. It keeps counting over a kexec, so that stamps taken by two kernels
 * are on one clock.
 */
#ifndef SKU_COUNTER_H
#define SKU_COUNTER_H

#include <stdint.h>

#ifndef __aarch64__
#error "the runtime is for arm64: build it with CROSS_COMPILE=aarch64-linux-gnu-"
#endif

/* Return CNTVCT_EL0, in ticks; the barrier keeps the read from being done early. */
static inline uint64_t counter_now(void)
{
	uint64_t ticks;

	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
	return ticks;
}

/* Return CNTFRQ_EL0, the ticks of a second. */
static inline uint64_t counter_hz(void)
{
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
}

#endif
