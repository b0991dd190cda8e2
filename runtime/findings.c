// SPDX-License-Identifier: GPL-2.0-only
#include "findings.h"

#include <stdio.h>
#include <unistd.h>

#include "copied.h"
#include "json.h"
#include "memfds.h"
#include "unit.h"

/* Say in JSON, if that is wanted, how it ended: in which @phase, with what @problem (or NULL). */
void findings_json(const struct update_options *options, const struct check *check,
		   const struct problem *problem, const char *phase, enum status status)
{
	struct json json;

	if (!options->json)
		return;
	json_begin(&json, STDOUT_FILENO);
	json_number(&json, "status", status);
	json_string(&json, "phase", phase);
	if (problem) {
		json_string(&json, "problem", problem->text);
		json_string(&json, "hint", problem->hint ? problem->hint : "");
	}
	json_list(&json, "findings");
	for (size_t i = 0; i < check->count; i++) {
		json_item(&json);
		json_string(&json, "what", check->findings[i].what);
		json_string(&json, "problem", check->findings[i].problem.text);
		json_string(&json, "hint",
			    check->findings[i].problem.hint ? check->findings[i].problem.hint : "");
		json_item_end(&json);
	}
	json_list_end(&json);
	json_end(&json);
}

/* Return how much was found. */
size_t findings_print(const struct check *check)
{
	for (size_t i = 0; i < check->count; i++)
		problem_print(&check->findings[i].problem);
	return check->count;
}

/* Check everything, and print what was found. Return how much that is. */
size_t findings_gather(const struct update_options *options, struct check *check)
{
	check_machine(options, check);
	if (options->image)
		check_next(options, check);
	if (options->unit)
		check_unit(options->unit, check);
	if (options->pid)
		check_application(options, check);
	return findings_print(check);
}

/* Check only: no session is made, nothing is touched. */
enum status findings_only(const struct update_options *options)
{
	static struct check check;
	enum status status = findings_gather(options, &check) ? STATUS_CHECK : STATUS_OK;

	if (options->json)
		findings_json(options, &check, NULL, "check", status);
	else if (status == STATUS_OK)
		printf("nothing stands in the way of an update\n");
	if (!options->json) {
		copied_print();
		keeping_say(&check.shared);
	}
	return status;
}
