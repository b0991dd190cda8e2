// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "cleanup.h"
#include "journal.h"
#include "tasks.h"
#include "unit.h"

#define CGROUPS "/sys/fs/cgroup"

static bool is_in(const struct tasks *tasks, pid_t pid)
{
	for (size_t i = 0; i < tasks->count; i++)
		if (tasks->pids[i] == pid)
			return true;
	return false;
}

/* All that runs in the unit must go along: what is left behind, its next start would not know of. */
static void check_processes(const struct unit *unit, struct check *check)
{
	_cleanup_tasks_ struct tasks tasks = { 0 };
	_cleanup_file_ FILE *file = NULL;
	char path[sizeof(unit->cgroup) + sizeof(CGROUPS "/cgroup.procs")];
	struct problem problem;
	int pid;

	if (tasks_gather(unit->main, &tasks, &problem) < 0) {
		*check_found(check, "unit") = problem;
		return;
	}
	snprintf(path, sizeof(path), CGROUPS "%s/cgroup.procs", unit->cgroup);
	file = fopen(path, "re");
	if (!file) {
		problem_set(check_found(check, "unit"), errno, NULL, "cannot read %s", path);
		return;
	}
	while (fscanf(file, "%d", &pid) == 1)
		if (!is_in(&tasks, pid))
			problem_set(check_found(check, "unit"), 0,
				    "wait for its end, or end it: what is taken along is the main "
				    "process and what descends from it",
				    "process %d of %s does not descend from its main process %d", pid,
				    unit->name, unit->main);
}

/* Check the unit that is to be taken along; the check of its processes is another one. */
void check_unit(const struct unit *unit, struct check *check)
{
	struct problem problem;
	struct statfs about;

	if (strcmp(unit->state, "active") || unit->main <= 0) {
		problem_set(check_found(check, "unit"), 0, "start it, or leave it out",
			    "%s is %s, and has %s main process", unit->name, unit->state,
			    unit->main > 0 ? "a" : "no");
		return;
	}
	if (!strcmp(unit->type, "oneshot"))
		problem_set(check_found(check, "unit"), 0, "have it of another type",
			    "%s is of the type oneshot, which has no process to keep", unit->name);
	if (statfs(CGROUPS, &about) < 0 || about.f_type != CGROUP2_SUPER_MAGIC)
		problem_set(check_found(check, "unit"), 0,
			    "boot with systemd.unified_cgroup_hierarchy=1",
			    CGROUPS " is not that of version 2, by which units are taken along");
	else
		check_processes(unit, check);
	if (journal_can_listen(&problem) < 0)
		*check_found(check, "unit") = problem;
}
