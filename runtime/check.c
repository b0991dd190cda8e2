// SPDX-License-Identifier: GPL-2.0-only
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "auxv.h"
#include "cleanup.h"
#include "facts.h"
#include "file.h"
#include "image.h"
#include "memfds.h"
#include "pin.h"
#include "state.h"
#include "tasks.h"
#include "undo.h"
#include "undumpable.h"

/* Return where to put what was found; @what names it in one word. */
struct problem *check_found(struct check *check, const char *what)
{
	static struct problem dropped;

	if (check->count == CHECK_FINDINGS_MAX)
		return &dropped;
	check->findings[check->count].what = what;
	return &check->findings[check->count++].problem;
}

static bool says(const char *path, const char *wanted)
{
	char text[64];

	file_text(path, text, sizeof(text));
	return !strcmp(text, wanted);
}

/* Check the kernel that is loaded: one of somebody else's is neither replaced nor jumped into. */
void check_loaded(const struct update_options *options, struct check *check)
{
	bool loaded = says("/sys/kernel/kexec_loaded", "1");

	if (loaded && !state_loaded())
		problem_set(check_found(check, "kexec"), 0, "unload it: kexec -u",
			    "a kernel is loaded already, and not by skuctl");
	if (!loaded && options->pid && !options->image)
		problem_set(check_found(check, "kexec"), 0, "skuctl load, or --image, --initrd, --cmdline",
			    "no next kernel is loaded");
}

static void check_freezer(const struct update_options *options, struct check *check)
{
	const struct freezing freezing = {
		.pid = options->pid,
		.freeze_command = options->freeze_command,
		.restore_command = options->restore_command,
	};
	struct problem problem;

	if (options->freezer->check(&freezing, &problem) < 0)
		*check_found(check, options->freezer->name) = problem;
}

/* Check the running kernel and what is installed. */
void check_machine(const struct update_options *options, struct check *check)
{
	int device = open(PIN_DEVICE, O_RDWR | O_CLOEXEC);

	if (geteuid() != 0)
		problem_set(check_found(check, "rights"), EPERM, "run it as root", "cannot update");
	if (device < 0)
		problem_set(check_found(check, "pin_mem"), errno,
			    "build the kernel with the series pin_mem and boot it with kho=on",
			    "cannot open " PIN_DEVICE);
	else
		close(device);
	if (says("/proc/sys/kernel/kexec_load_disabled", "1"))
		problem_set(check_found(check, "kexec"), 0,
			    "boot with kernel.kexec_load_disabled=0: it cannot be taken back",
			    "kexec is switched off (kernel.kexec_load_disabled)");
	check_loaded(options, check);
	if (!options->no_pid_reserve && access(PID_RESERVE_NEXT, W_OK) < 0)
		problem_set(check_found(check, "pid_reserve"), errno,
			    "build the kernel with the series pid_reserve; --no-pid-reserve goes on "
			    "without, and takes the risk that a number is taken",
			    "cannot write " PID_RESERVE_NEXT);
	check_freezer(options, check);
}

/* The next kernel keeps nothing unless it is told to; an earlier word is overridden by a later. */
static bool is_on(const char *cmdline, const char *option)
{
	char value[8];

	return cmdline_value(cmdline, option, value, sizeof(value)) &&
	       (!strcmp(value, "on") || !strcmp(value, "1") || !strcmp(value, "y"));
}

/* After the jump is too late to find out that the next kernel refuses what is handed over. */
static int check_image(const struct update_options *options, struct check *check,
		       struct problem *problem)
{
	struct reads running = { 0 };
	struct reads next = { 0 };
	int r = image_check(options->image, &next, problem);

	/* What has no /dev/pin_mem is told so in plain words by check_machine(). */
	if (r < 0 || access(PIN_DEVICE, F_OK) < 0)
		return r;
	r = reads_running("", &running, problem);
	check->takes_memfds = r == 0 && reads_memfds(&running, &next) &&
			      is_on(options->cmdline, "liveupdate");
	return r < 0 ? r : reads_compare(&running, &next, options->image, options->no_pid_reserve,
					 problem);
}

/* Check the next kernel. */
void check_next(const struct update_options *options, struct check *check)
{
	struct problem problem;

	if (options->refused) {
		*check_found(check, "bundle") = *options->refused;
		return;
	}
	if (check_image(options, check, &problem) < 0)
		*check_found(check, "image") = problem;
	if (options->bundle && check->count)
		bundle_rename(options->bundle, &check->findings[check->count - 1].problem);
	if (access(options->initrd, R_OK) < 0)
		problem_set(check_found(check, "initrd"), errno, "give the next kernel's initramfs",
			    "cannot read %s", options->initrd);
	if (!is_on(options->cmdline, "kho"))
		problem_set(check_found(check, "cmdline"), 0, "add kho=on",
			    "the next kernel's command line does not have kho=on: it would keep "
			    "nothing");
}

/* A session leader that is not kept could not be made again: its number is all there would be. */
static void check_session(const struct tasks *tasks, pid_t pid, struct check *check)
{
	pid_t leader = getsid(pid);

	for (size_t i = 0; i < tasks->count; i++)
		if (tasks->pids[i] == leader)
			return;
	problem_set(check_found(check, "session"), 0, "start it with setsid(1) or as a service",
		    "process %d belongs to the session of %d, which is not part of it", pid, leader);
}

/* What CRIU itself says of it, it says late, and to who knows CRIU. */
static void check_dumpable(const struct update_options *options, pid_t pid, struct check *check)
{
	struct problem problem;

	if (options->freezer != &freezer_criu)
		return;
	if (undumpable_files(pid, &problem) < 0)
		*check_found(check, "application") = problem;
	if (undumpable_areas(pid, &problem) < 0)
		*check_found(check, "application") = problem;
	if (options->unit && undumpable_mounts(pid, &problem) < 0)
		*check_found(check, "application") = problem;
}

/* A restore that would fail must not be tried. */
static void check_shared(const struct update_options *options, const struct tasks *tasks,
			 struct check *check)
{
	bool takes = options->image ? check->takes_memfds : state_takes();
	struct problem problem;

	if (options->freezer->keeps_memory &&
	    keeping_foresee(tasks, takes, options->image || state_loaded(), &check->shared,
			    &problem) < 0)
		*check_found(check, "application") = problem;
}

/* Check the application. */
void check_application(const struct update_options *options, struct check *check)
{
	_cleanup_tasks_ struct tasks tasks = { 0 };
	struct problem problem;

	if (tasks_gather(options->pid, &tasks, &problem) < 0) {
		*check_found(check, "application") = problem;
		return;
	}
	for (size_t i = 0; i < tasks.count; i++) {
		int state = tasks_state(tasks.pids[i]);

		if (state == 'T' || state == 't')
			problem_set(check_found(check, "application"), 0, "let it run first (kill -CONT)",
				    "process %d is stopped or traced", tasks.pids[i]);
		check_dumpable(options, tasks.pids[i], check);
		if (options->image && auxv_fits(tasks.pids[i], options->image, &problem) < 0)
			*check_found(check, "application") = problem;
	}
	check_session(&tasks, options->pid, check);
	check_shared(options, &tasks, check);
}
