// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drop-ins below /run, which are made before there is a systemd to read them, have the unit's next
 * start be `skuctl adopt`. That moves the processes into the unit's cgroup, and hands over the main
 * one by sd_notify(3). `skuctl settle`, after it, takes the drop-ins away again.
 */
#include "adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "child.h"
#include "cleanup.h"
#include "file.h"
#include "journal.h"
#include "plugin_journal.h"
#include "state.h"
#include "tasks.h"

#define UNITS "/run/systemd/system"
/* They are read in the order of their names, and this one is to have the last word. */
#define DROP_IN "zzzz-sku.conf"
#define SETTLE "sku-settle.service"
#define SETTLE_UNIT "/usr/lib/systemd/system/" SETTLE
#define WANTS UNITS "/multi-user.target.wants"
#define TAKEN STATE_DIRECTORY "/unit" /* the record, for who adopts */
#define CGROUPS "/sys/fs/cgroup"
#define PATH_SIZE 512
#define ROUNDS_MAX 16
#define SYSTEMCTL_TIMEOUT_MS 90000

static int make_directory(const char *path, struct problem *problem)
{
	char part[PATH_SIZE];

	snprintf(part, sizeof(part), "%s/", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return problem_set(problem, errno, NULL, "cannot make %s", part);
		*slash = '/';
	}
	return 0;
}

static int write_file(const char *path, const char *text, size_t size, mode_t mode,
		      struct problem *problem)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	int r = fd < 0 ? -errno : file_write_all(fd, text, size);

	return r < 0 ? problem_set(problem, -r, NULL, "cannot write %s", path) : 0;
}

static void drop_in_path(char *path, const char *unit, const char *name)
{
	snprintf(path, PATH_SIZE, UNITS "/%s.d%s%s", unit, *name ? "/" : "", name);
}

static int write_drop_in(const char *unit, const char *text, struct problem *problem)
{
	char path[PATH_SIZE];
	int r;

	drop_in_path(path, unit, "");
	r = make_directory(path, problem);
	drop_in_path(path, unit, DROP_IN);
	return r < 0 ? r : write_file(path, text, strlen(text), 0644, problem);
}

static void remove_drop_in(const char *unit)
{
	char path[PATH_SIZE];

	drop_in_path(path, unit, DROP_IN);
	unlink(path);
	drop_in_path(path, unit, "");
	rmdir(path);
}

/* Before its processes are made: the journal, for their output, and how they are called in it. */
int adopt_prepare(const struct unit *unit, struct problem *problem)
{
	_cleanup_buffer_ struct buffer header = { 0 };

	journal_unit(unit->name);
	/* As sd_journal_stream_fd(3) does it: identifier, unit, priority, prefixes, no copies. */
	if (buffer_printf(&header, "%s\n%s\n%u\n1\n0\n0\n0\n", unit->identifier, unit->name,
			  unit->priority) < 0)
		return problem_set(problem, ENOMEM, NULL, "cannot prepare the journal");
	if (getpid() == 1 && journal_listen(problem) < 0)
		return -problem->error;
	return write_file(PLUGIN_JOURNAL_HEADER, header.data, header.used, 0600, problem);
}

/* The processes run: arrange that systemd adopts them when it starts, or reloads. */
int adopt_arrange(const struct unit *unit, struct problem *problem)
{
	_cleanup_buffer_ struct buffer record = { 0 };
	_cleanup_buffer_ struct buffer settle = { 0 };
	int r = unit_write(unit, &record, problem);

	unlink(PLUGIN_JOURNAL_HEADER);
	if (r == 0)
		r = write_file(TAKEN, record.data, record.used, 0600, problem);
	if (r == 0)
		r = write_drop_in(unit->name,
				  "# Made by skuctl, until sku-settle.service has run.\n"
				  "[Service]\n"
				  "Type=notify\n"
				  "ExecCondition=\nExecStartPre=\nExecStart=\nExecStartPost=\n"
				  "ExecStart=+/usr/bin/skuctl adopt --unit %n\n", problem);
	if (r == 0 && (buffer_printf(&settle, "[Unit]\nWants=%s\nAfter=%s\n", unit->name,
				     unit->name) < 0 ||
		       buffer_add(&settle, "", 1) < 0))
		r = problem_set(problem, ENOMEM, NULL, "cannot arrange the adoption");
	if (r == 0)
		r = write_drop_in(SETTLE, settle.data, problem);
	if (r == 0)
		r = make_directory(WANTS, problem);
	if (r == 0 && symlink(SETTLE_UNIT, WANTS "/" SETTLE) < 0 && errno != EEXIST)
		r = problem_set(problem, errno, NULL, "cannot make " WANTS "/" SETTLE);
	return r;
}

/*
 * The processes are not back: systemd must not start others before somebody has decided that what is
 * kept of them is not needed. `skuctl drop` removes the file that this asks for.
 */
int adopt_hold(const struct unit *unit, struct problem *problem)
{
	unlink(PLUGIN_JOURNAL_HEADER);
	return write_drop_in(unit->name,
			     "# Made by skuctl: what is kept of this unit comes first.\n"
			     "[Unit]\nConditionPathExists=!" STATE_FAILED "\n", problem);
}

static int read_taken(struct unit *unit, struct problem *problem)
{
	char text[4096];
	struct buffer record = { .data = text };

	file_text(TAKEN, text, sizeof(text));
	if (!*text)
		return problem_set(problem, ENOENT, "it is for the start after an update",
				   "no unit waits to be adopted");
	/* file_text() takes the newline at the end away. */
	strcat(text, "\n");
	record.used = strlen(text);
	return unit_read(&record, unit, problem);
}

/* Return the path of the file that takes processes into the cgroup of this one. */
static int own_cgroup(char *path, struct problem *problem)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_SIZE - 64];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "0::/", 4)) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(path, PATH_SIZE, CGROUPS "%s/cgroup.procs", line + 3);
			return 0;
		}
	return problem_set(problem, 0, "boot with systemd.unified_cgroup_hierarchy=1",
			   "this process is in no cgroup of version 2");
}

/* One that has ended meanwhile is not missed. */
static int move(const char *cgroup, pid_t pid, struct problem *problem)
{
	char number[16];
	int r;

	snprintf(number, sizeof(number), "%d\n", pid);
	r = file_put(cgroup, number, problem);
	return r == -ESRCH ? 0 : r;
}

/* They run and may make others, so it is looked again until there is none that is new. */
static int move_all(const char *cgroup, pid_t main, struct problem *problem)
{
	_cleanup_tasks_ struct tasks tasks = { 0 };
	size_t before = 0;

	for (int round = 0; round < ROUNDS_MAX; round++) {
		int r = tasks_gather(main, &tasks, problem);

		if (r == 0 && round && tasks.count == before)
			return 0;
		before = tasks.count;
		for (size_t i = 0; r == 0 && i < tasks.count; i++)
			r = move(cgroup, tasks.pids[i], problem);
		if (r < 0)
			return r;
	}
	return 0;
}

/* As sd_notify(3): a path, or the name of an abstract socket that begins with @. */
static int notify(const char *text, struct problem *problem)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size;

	if (!path || !strchr("/@", *path) || strlen(path) >= sizeof(address.sun_path))
		return problem_set(problem, 0, "systemd runs it, nobody else",
				   "there is no $NOTIFY_SOCKET");
	strcpy(address.sun_path, path);
	size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (*path == '@')
		address.sun_path[0] = '\0';
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
			     size) < 0)
		return problem_set(problem, errno, NULL, "cannot tell systemd");
	return 0;
}

/* As the start of the unit @name: hand its processes over to systemd. */
int adopt(const char *name, struct problem *problem)
{
	char cgroup[PATH_SIZE];
	char text[128];
	struct unit unit;
	int r = read_taken(&unit, problem);

	if (r == 0 && strcmp(unit.name, name))
		r = problem_set(problem, EINVAL, NULL, "cannot adopt %s: it was %s that was kept", name,
				unit.name);
	if (r == 0)
		r = own_cgroup(cgroup, problem);
	if (r == 0)
		r = move_all(cgroup, unit.main, problem);
	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1\nSTATUS=Came through an update of the kernel",
		 unit.main);
	return notify(text, problem);
}

static int systemctl(const char *verb, const char *unit, struct problem *problem)
{
	const char *const argv[] = { "systemctl", verb, unit, NULL };
	_cleanup_buffer_ struct buffer said = { 0 };
	int r = child_run(argv, &said, SYSTEMCTL_TIMEOUT_MS, problem);

	if (r <= 0)
		return r;
	return problem_set(problem, 0, NULL, "systemctl %s%s%s failed: %.*s", verb, unit ? " " : "",
			   unit ? unit : "", said.used > 120 ? 120 : (int)said.used,
			   said.data ? said.data : "");
}

/* After a restore under a systemd that runs already: have it adopt the unit, if there is one. */
int adopt_now(struct problem *problem)
{
	int r = 0;

	if (access(TAKEN, F_OK) == 0)
		r = systemctl("daemon-reload", NULL, problem);
	if (r == 0 && access(TAKEN, F_OK) == 0)
		r = systemctl("start", SETTLE, problem);
	return r;
}

static int keep_report(struct problem *problem)
{
	static char text[FILE_MAX_SIZE];
	ssize_t size = file_get(STATE_REPORT, text, sizeof(text), problem);
	int r = size < 0 ? (int)size : make_directory("/var/lib/sku", problem);

	return r < 0 ? r : write_file(ADOPT_REPORT, text, (size_t)size, 0644, problem);
}

/*
 * The unit has been adopted, or could not be: its next start is an ordinary one again, and the
 * report stays. Return 0, or a negative errno when systemd does not have the process that was kept.
 */
int adopt_settle(struct problem *problem)
{
	struct unit taken, now;
	int r = read_taken(&taken, problem);

	if (r < 0)
		return r;
	journal_unit(taken.name);
	remove_drop_in(taken.name);
	remove_drop_in(SETTLE);
	unlink(WANTS "/" SETTLE);
	journal_end_listen();
	r = systemctl("daemon-reload", NULL, problem);
	if (r == 0)
		r = unit_ask(taken.name, &now, problem);
	if (r == 0 && (now.main != taken.main || strcmp(now.state, "active")))
		r = problem_set(problem, 0, "end the process, and start the unit",
				"%s is %s with main process %d, and not with the one that was kept, %d",
				taken.name, now.state, now.main, taken.main);
	if (r == 0)
		r = keep_report(problem);
	unlink(TAKEN);
	if (r == 0)
		journal_say(JOURNAL_NOTICE, "%s came through the update, main process %d", taken.name,
			    taken.main);
	return r;
}
