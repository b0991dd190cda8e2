// SPDX-License-Identifier: GPL-2.0-only
#include "load.h"

#include <errno.h>

#include "check.h"
#include "cleanup.h"
#include "copied.h"
#include "findings.h"
#include "kept.h"
#include "kexec.h"
#include "state.h"
#include "undo.h"

/* Load the next kernel, and say what is kept for it. */
int load_next(const struct update_options *options, struct problem *problem)
{
	int r = kexec_load_files(options->image, options->initrd, options->cmdline, problem);

	if (r < 0 && options->bundle)
		bundle_rename(options->bundle, problem);
	if (r == 0)
		kept_say_next();
	return r;
}

/*
 * Load the next kernel for an update that is to come. What a check finds is told, and nothing is
 * changed; after a load that failed no kernel is loaded.
 */
enum status update_load(const struct update_options *options)
{
	static struct check check;
	_cleanup_close_ int lock = -1;
	struct problem problem;
	struct state *state = state_open(true, &lock, &problem);
	enum status status = STATUS_OK;

	if (!state) {
		problem_print(&problem);
		return problem.error == EBUSY ? STATUS_USER : STATUS_INTERNAL;
	}
	check_loaded(options, &check);
	check_next(options, &check);
	if (findings_print(&check)) {
		status = STATUS_CHECK;
	} else {
		state->loaded = true;
		state->takes = check.takes_memfds;
		if (load_next(options, &problem) < 0) {
			problem_print(&problem);
			status = undo(state, -1) ? STATUS_STUCK : STATUS_CHECK;
		} else if (!options->json) {
			copied_print();
		}
	}
	findings_json(options, &check, NULL, phase_names[PHASE_LOAD], status);
	return status;
}
