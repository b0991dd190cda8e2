// SPDX-License-Identifier: GPL-2.0-only
#include "problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"

const char *problem_program = "sku-init";

/*
 * Describe a failure: @format names what was tried on which object, @error is an errno or 0, @hint
 * says what to do. Return the negative errno (-EINVAL for 0), for the caller to pass on.
 */
int problem_set(struct problem *problem, int error, const char *hint, const char *format, ...)
{
	int size = (int)sizeof(problem->text);
	va_list args;
	int used;

	problem->error = error;
	problem->hint = hint;
	va_start(args, format);
	used = vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
	if (error && used >= 0 && used < size)
		snprintf(problem->text + used, (size_t)(size - used), ": %s", strerror(error));
	return error ? -error : -EINVAL;
}

/* Print a problem on the console, and have the journal know of it. */
void problem_print(const struct problem *problem)
{
	journal_say(JOURNAL_ERROR, "%s%s%s", problem->text, problem->hint ? "; what to do: " : "",
		    problem->hint ? problem->hint : "");
	if (journal_has_stderr())
		return;
	dprintf(STDERR_FILENO, "%s: %s\n", problem_program, problem->text);
	if (problem->hint)
		dprintf(STDERR_FILENO, "%s: what to do: %s\n", problem_program, problem->hint);
}
