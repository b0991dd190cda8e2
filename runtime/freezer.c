// SPDX-License-Identifier: GPL-2.0-only
#include "freezer.h"

#include <string.h>

/* Return the freezer of that name, or NULL. */
const struct freezer *freezer_find(const char *name)
{
	static const struct freezer *const freezers[] = { &freezer_criu, &freezer_command };

	for (size_t i = 0; i < sizeof(freezers) / sizeof(freezers[0]); i++)
		if (!strcmp(freezers[i]->name, name))
			return freezers[i];
	return NULL;
}
