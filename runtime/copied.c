// SPDX-License-Identifier: GPL-2.0-only
#include "copied.h"

#include <inttypes.h>
#include <stdio.h>

#include "file.h"

#define MIB 1048576.0

/*
 * Read one of the two files above. Return false when there is nothing to say: the kernel has no
 * such file, no kernel is loaded, or no kernel before this one has left its word.
 */
bool copied_read(const char *path, struct copied *copied)
{
	char text[160];

	*copied = (struct copied){ 0 };
	file_text(path, text, sizeof(text));
	return sscanf(text, "%*15s %" SCNu64 " %" SCNu64 " %79[^\n]", &copied->bytes,
		      &copied->total, copied->reason) >= 2 &&
	       copied->bytes <= copied->total;
}

/* Say in a line which way the jump into the loaded kernel will take, if that is known. */
void copied_print(void)
{
	struct copied copied;

	if (!copied_read(COPIED_NEXT, &copied))
		return;
	if (!copied.bytes)
		printf("the loaded kernel is in place: the jump copies nothing of its %.1f MiB\n",
		       (double)copied.total / MIB);
	else
		printf("the jump will copy %.1f of %.1f MiB: %s\n", (double)copied.bytes / MIB,
		       (double)copied.total / MIB, copied.reason);
}
