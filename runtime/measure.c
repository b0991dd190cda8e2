// SPDX-License-Identifier: GPL-2.0-only
#include "measure.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MIB (1UL << 20)
#define HUGE (2 * MIB)
#define PAGE 4096UL

static uint64_t now_ns(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static char *map(size_t size, int advice)
{
	char *data = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (data == MAP_FAILED)
		return NULL;
	madvise(data, size + HUGE, advice);
	return data;
}

/* Copy @size bytes, as a restore does: into memory that is given out while it is written. */
static int copy(size_t size, int advice, uint64_t *ns, struct problem *problem)
{
	char *from = map(size, advice);
	char *to = from ? map(size, advice) : NULL;

	if (!to) {
		if (from)
			munmap(from, size + HUGE);
		return problem_set(problem, ENOMEM, "measure with less: --mib", "cannot get memory");
	}
	memset(from, 0x5a, size + HUGE);
	*ns = now_ns();
	memcpy(to, from, size + HUGE);
	*ns = now_ns() - *ns;
	munmap(from, size + HUGE);
	munmap(to, size + HUGE);
	return 0;
}

/* Measure copies of @mib MiB, in small and in huge pages. */
int measure_copies(size_t mib, struct measure *measure, struct problem *problem)
{
	uint64_t small_ns;
	uint64_t huge_ns;
	int r = copy(mib * MIB, MADV_NOHUGEPAGE, &small_ns, problem);

	if (r == 0)
		r = copy(mib * MIB, MADV_HUGEPAGE, &huge_ns, problem);
	if (r < 0)
		return r;
	measure->copy_4k_ns = small_ns / ((mib * MIB + HUGE) / PAGE);
	measure->copy_2m_ns = huge_ns / ((mib * MIB + HUGE) / HUGE);
	return 0;
}
