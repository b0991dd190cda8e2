// SPDX-License-Identifier: GPL-2.0-only
#include "tasks.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int add(struct tasks *tasks, pid_t pid)
{
	pid_t *pids = realloc(tasks->pids, (tasks->count + 1) * sizeof(*pids));

	if (!pids)
		return -ENOMEM;
	pids[tasks->count++] = pid;
	tasks->pids = pids;
	return 0;
}

/* A child is listed with the thread that made it. */
static int add_children(struct tasks *tasks, pid_t pid, pid_t tid)
{
	_cleanup_file_ FILE *file = NULL;
	char path[64];
	pid_t child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (fscanf(file, "%d", &child) == 1) {
		int r = add(tasks, child);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Call @each for every thread of @pid. */
static int for_threads(pid_t pid, int (*each)(void *data, pid_t pid, pid_t tid), void *data)
{
	_cleanup_closedir_ DIR *threads = NULL;
	const struct dirent *entry;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	threads = opendir(path);
	if (!threads)
		return -errno;
	while ((entry = readdir(threads))) {
		int r = 0;

		if (entry->d_name[0] != '.')
			r = each(data, pid, (pid_t)atoi(entry->d_name));
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_children_of(void *data, pid_t pid, pid_t tid)
{
	return add_children(data, pid, tid);
}

/* Gather @root and all that descend from it; for what stands still that is exact. */
int tasks_gather(pid_t root, struct tasks *tasks, struct problem *problem)
{
	int r;

	tasks_free(tasks);
	r = add(tasks, root);
	for (size_t i = 0; r == 0 && i < tasks->count; i++)
		r = for_threads(tasks->pids[i], add_children_of, tasks);
	if (r == -ENOENT)
		return problem_set(problem, ESRCH, "give the pid of a process that runs",
				   "cannot find the processes of %d", root);
	return r < 0 ? problem_set(problem, -r, NULL, "cannot list the processes of %d", root) : 0;
}

static int by_number(const void *one, const void *other)
{
	pid_t a = *(const pid_t *)one;
	pid_t b = *(const pid_t *)other;

	return (a > b) - (a < b);
}

static int add_thread(void *data, pid_t pid, pid_t tid)
{
	(void)pid;
	return add(data, tid);
}

/*
 * Write down every number that the tasks need again: of threads, process groups and sessions, as
 * the list "43,45-50".
 */
int tasks_numbers(const struct tasks *tasks, struct buffer *list, struct problem *problem)
{
	_cleanup_tasks_ struct tasks all = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < tasks->count; i++) {
		r = for_threads(tasks->pids[i], add_thread, &all);
		if (r == 0)
			r = add(&all, getpgid(tasks->pids[i]));
		if (r == 0)
			r = add(&all, getsid(tasks->pids[i]));
	}
	qsort(all.pids, all.count, sizeof(*all.pids), by_number);
	for (size_t i = 0; r == 0 && i < all.count;) {
		pid_t first = all.pids[i];
		pid_t last = first;

		while (++i < all.count && all.pids[i] <= last + 1)
			last = all.pids[i];
		if (first <= 0)
			continue;
		r = buffer_printf(list, list->used ? ",%d" : "%d", first);
		if (r == 0 && last > first)
			r = buffer_printf(list, "-%d", last);
	}
	return r < 0 ? problem_set(problem, -r, NULL, "cannot list the application's pids") : 0;
}

/* Let all tasks run that are stopped. */
void tasks_continue(const struct tasks *tasks)
{
	for (size_t i = 0; i < tasks->count; i++)
		kill(tasks->pids[i], SIGCONT);
}

/* End all tasks, children first. */
void tasks_kill(const struct tasks *tasks)
{
	for (size_t i = tasks->count; i--;)
		kill(tasks->pids[i], SIGKILL);
}

/* Return the letter of a process' state, as proc(5) has it, or a negative errno. */
int tasks_state(pid_t pid)
{
	_cleanup_file_ FILE *file = NULL;
	char line[512];
	const char *at;

	snprintf(line, sizeof(line), "/proc/%d/stat", pid);
	file = fopen(line, "re");
	if (!file)
		return -errno;
	if (!fgets(line, sizeof(line), file))
		return -EIO;
	at = strrchr(line, ')'); /* the name before it may hold anything */
	return at && at[1] == ' ' ? at[2] : -EIO;
}

void tasks_free(struct tasks *tasks)
{
	free(tasks->pids);
	*tasks = (struct tasks){ 0 };
}
