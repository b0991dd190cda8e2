// SPDX-License-Identifier: GPL-2.0-only
#include "areas.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int add(struct areas *areas, uint64_t start, uint64_t end)
{
	struct pin_mem_range *list;

	if (start >= end)
		return 0;
	list = realloc(areas->list, (areas->count + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	list[areas->count++] = (struct pin_mem_range){ start, end };
	areas->list = list;
	return 0;
}

/* Add a mapping without the pages of the areas that are @spared; those are sorted. */
static int add_rest(struct areas *areas, uint64_t start, uint64_t end,
		    const struct plugin_area *spared, size_t count, uint64_t page)
{
	for (size_t i = 0; i < count && spared[i].start < end; i++) {
		uint64_t from = spared[i].start & ~(page - 1);
		uint64_t to = (spared[i].end + page - 1) & ~(page - 1);
		int r;

		if (to <= start)
			continue;
		r = add(areas, start, from < end ? from : end);
		if (r < 0)
			return r;
		start = to;
	}
	return add(areas, start, end);
}

/*
 * Whether a line of /proc/PID/maps is private anonymous memory that is large enough. A stack that
 * grows is left to CRIU, which puts it where the kernel wants it.
 */
static bool is_ours(const char *line, uint64_t *start, uint64_t *end)
{
	char name[32] = "";
	char shared;
	unsigned long inode;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*3c%c %*x %*s %lu %31[^\n]", start, end, &shared,
		   &inode, name) < 4)
		return false;
	return shared == 'p' && !inode && *end - *start >= AREAS_MIN_SIZE &&
	       (!name[0] || !strncmp(name, "[heap]", 6) || !strncmp(name, "[anon:", 6));
}

static int by_start(const void *one, const void *other)
{
	const struct plugin_area *a = one;
	const struct plugin_area *b = other;

	return (a->start > b->start) - (a->start < b->start);
}

/* Gather what is to be detached of @pid: all but the pages of the areas @spared, which get sorted. */
int areas_gather(pid_t pid, struct plugin_area *spared, size_t count, struct areas *areas,
		 struct problem *problem)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	_cleanup_file_ FILE *maps = NULL;
	char line[4352]; /* a path of PATH_MAX, and what is before it */

	areas_free(areas);
	if (count)
		qsort(spared, count, sizeof(*spared), by_start);
	snprintf(line, sizeof(line), "/proc/%d/maps", pid);
	maps = fopen(line, "re");
	if (!maps)
		return problem_set(problem, errno, "the application has ended", "cannot open %s",
				   line);
	while (fgets(line, sizeof(line), maps)) {
		uint64_t start;
		uint64_t end;

		if (is_ours(line, &start, &end) &&
		    add_rest(areas, start, end, spared, count, page) < 0)
			return problem_set(problem, ENOMEM, NULL, "cannot list the memory of %d",
					   pid);
	}
	return 0;
}

/* Remove every range that has a part in [start, end): CRIU copies it. Return how many there were. */
size_t areas_remove(struct areas *areas, uint64_t start, uint64_t end)
{
	size_t kept = 0;
	size_t removed;

	for (size_t i = 0; i < areas->count; i++)
		if (areas->list[i].end <= start || areas->list[i].start >= end)
			areas->list[kept++] = areas->list[i];
	removed = areas->count - kept;
	areas->count = kept;
	return removed;
}

void areas_free(struct areas *areas)
{
	free(areas->list);
	*areas = (struct areas){ 0 };
}
