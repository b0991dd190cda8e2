// SPDX-License-Identifier: GPL-2.0-only
#include "update.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app.h"
#include "areas.h"
#include "buffer.h"
#include "check.h"
#include "child.h"
#include "copied.h"
#include "file.h"
#include "freeze.h"
#include "guard.h"
#include "images.h"
#include "json.h"
#include "kexec.h"
#include "net.h"
#include "pin.h"
#include "silence.h"
#include "tcp.h"
#include "undo.h"

#define POLL_MS 50
#define REFUSALS_MAX 1024
#define CRIU_LOG STATE_DIRECTORY "/dump.log"

const char *const phase_names[PHASES] = {
	[PHASE_CHECK] = "check",   [PHASE_LOAD] = "load",	[PHASE_SILENCE] = "silence",
	[PHASE_FREEZE] = "freeze", [PHASE_DETACH] = "detach",	[PHASE_DUMP] = "dump",
	[PHASE_SEAL] = "seal",	   [PHASE_JUMP] = "jump",
};

struct update {
	const struct update_options *options;
	struct state *state;
	struct problem problem; /* why it ended */
	int session;
	int listener; /* for the plug-in */
	uint64_t deadline_ms;
	enum phase phase;
	struct app app;
	struct buffer network;
	struct pin_moved moved;
	size_t detached; /* processes whose memory was taken */
	size_t refused;	 /* ranges that CRIU copies instead */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
	interrupted = signal;
}

/* Return -ETIMEDOUT or -EINTR when the update must not go on. */
static int may_go_on(struct update *update)
{
	if (interrupted)
		return problem_set(&update->problem, EINTR, NULL, "ended by signal %d", interrupted);
	if (state_now_ms() >= update->state->deadline_ms)
		return problem_set(&update->problem, ETIMEDOUT,
				   "give it longer: --timeout, --phase-timeout",
				   "the phase '%s' did not end in time", phase_names[update->phase]);
	return 0;
}

/* Go on to the next phase, and hold there if that is wanted. */
static int enter(struct update *update, enum phase phase)
{
	unsigned int own_s = update->options->phase_timeout_s[phase];
	uint64_t deadline_ms = update->deadline_ms;
	int r;

	if (own_s && state_now_ms() + own_s * 1000ULL < deadline_ms)
		deadline_ms = state_now_ms() + own_s * 1000ULL;
	update->phase = phase;
	update->state->deadline_ms = deadline_ms;
	r = pin_stamp(update->session, phase_names[phase], 0, &update->problem);
	if (r < 0)
		return r;
	state_show(phase_names[phase]);
	while ((r = may_go_on(update)) == 0 && (int)phase == update->options->pause_before &&
	       access(STATE_CONTINUE, F_OK) < 0)
		poll(NULL, 0, POLL_MS);
	return r;
}

/* Listen for the plug-in. */
static int listen_for_plugin(struct update *update)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = STATE_SOCKET };

	unlink(STATE_SOCKET);
	update->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (update->listener < 0 ||
	    bind(update->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(update->listener, 1) < 0)
		return problem_set(&update->problem, errno, NULL, "cannot listen on " STATE_SOCKET);
	return 0;
}

static int receive(int fd, void *data, size_t size, struct problem *problem)
{
	ssize_t n;

	do
		n = recv(fd, data, size, MSG_WAITALL);
	while (n < 0 && errno == EINTR && !interrupted);
	if (n == (ssize_t)size)
		return 0;
	return problem_set(problem, n < 0 ? errno : EPIPE, NULL, "cannot understand CRIU's plug-in");
}

static int detach_process(struct update *update, pid_t pid, struct plugin_area *spared,
			  size_t count)
{
	_cleanup_areas_ struct areas areas = { 0 };
	int r = areas_gather(pid, spared, count, &areas, &update->problem);

	while (r == 0 && areas.count) {
		struct pin_refused refused;

		r = pin_detach(update->session, pid, areas.list, areas.count, &update->moved,
			       &refused, &update->problem);
		if (r == 0)
			break;
		if (!refused.reason || update->refused == REFUSALS_MAX ||
		    !areas_remove(&areas, refused.start, refused.end))
			return r;
		fprintf(stderr, "skuctl: %s, so it is copied\n", update->problem.text);
		update->refused++;
		r = 0;
	}
	return r;
}

/* All tasks stand still now, so what is gathered here is what there is. */
static int first_stopped(struct update *update)
{
	_cleanup_buffer_ struct buffer numbers = { 0 };
	int r = enter(update, PHASE_DETACH);

	update->state->touched = true;
	if (r == 0)
		r = tasks_gather(update->options->pid, &update->app.tasks, &update->problem);
	if (r < 0 || update->options->no_pid_reserve)
		return r;
	r = tasks_numbers(&update->app.tasks, &numbers, &update->problem);
	if (r == 0 && buffer_add(&numbers, "\n", 2) < 0)
		r = problem_set(&update->problem, ENOMEM, NULL, "cannot list the pids");
	if (r < 0)
		return r;
	update->state->reserved = true;
	return file_put(PID_RESERVE_NEXT, numbers.data, &update->problem);
}

static int take_memory(struct update *update, int fd)
{
	struct plugin_area *spared = NULL;
	struct plugin_stopped stopped;
	int r = receive(fd, &stopped, sizeof(stopped), &update->problem);

	if (r == 0 && stopped.areas > PLUGIN_AREAS_MAX)
		r = problem_set(&update->problem, E2BIG, NULL, "cannot understand CRIU's plug-in");
	if (r < 0)
		return r;
	spared = calloc(stopped.areas + 1, sizeof(*spared));
	if (!spared)
		return problem_set(&update->problem, ENOMEM, NULL, "cannot take the memory");
	r = receive(fd, spared, stopped.areas * sizeof(*spared), &update->problem);
	if (r == 0 && !update->detached)
		r = first_stopped(update);
	if (r == 0)
		r = detach_process(update, stopped.pid, spared, stopped.areas);
	free(spared);
	if (r == 0 && ++update->detached == update->app.tasks.count)
		r = enter(update, PHASE_DUMP);
	return r;
}

/* Do what the plug-in asks for, and tell it how that went. */
static int serve_plugin(struct update *update)
{
	_cleanup_close_ int fd = accept4(update->listener, NULL, NULL, SOCK_CLOEXEC);
	struct plugin_answer answer;

	if (fd < 0)
		return problem_set(&update->problem, errno, NULL, "cannot talk to CRIU's plug-in");
	answer.result = take_memory(update, fd);
	if (send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0 && answer.result == 0)
		return problem_set(&update->problem, errno, NULL, "CRIU has ended during its dump");
	return answer.result;
}

static int criu_ended(struct update *update, int status)
{
	char said[160];

	update->state->criu = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	images_last_error(CRIU_LOG, said, sizeof(said));
	if (WIFSIGNALED(status))
		return problem_set(&update->problem, 0, NULL, "criu dump was killed by signal %d",
				   WTERMSIG(status));
	return problem_set(&update->problem, 0,
			   "see what of the application CRIU cannot dump: criu dump by hand, on a test "
			   "machine",
			   "criu dump failed with status %d: %s", WEXITSTATUS(status), said);
}

/* Serve the plug-in until CRIU has ended. */
static int follow_criu(struct update *update, pid_t criu, int criu_fd)
{
	struct pollfd polled[] = {
		{ .fd = update->listener, .events = POLLIN },
		{ .fd = criu_fd, .events = POLLIN },
	};

	for (;;) {
		int r = may_go_on(update);
		int status;

		if (r < 0)
			return r;
		if (poll(polled, 2, POLL_MS) < 0 && errno != EINTR)
			return problem_set(&update->problem, errno, NULL, "cannot wait for criu");
		if (polled[0].revents & POLLIN) {
			r = serve_plugin(update);
			if (r < 0)
				return r;
		} else if (polled[1].revents & POLLIN) {
			if (waitpid(criu, &status, 0) < 0)
				return problem_set(&update->problem, errno, NULL,
						   "cannot wait for criu");
			return criu_ended(update, status);
		}
	}
}

/* Stop the application, take its memory, and have CRIU write down the rest. */
static int freeze(struct update *update)
{
	char pid[16];
	const char *const argv[] = {
		"criu",		       "dump",
		"--tree",	       pid,
		"--images-dir",	       STATE_IMAGES,
		"--log-file",	       CRIU_LOG,
		"--leave-stopped",     "--tcp-established",
		"--network-lock",      "nftables",
		"--libdir",	       CRIU_PLUGIN_DIRECTORY,
		"--file-locks",	       NULL,
	};
	static const char *const environment[] = { PLUGIN_SOCKET "=" STATE_SOCKET, NULL };
	_cleanup_close_ int criu_fd = -1;
	pid_t criu;
	int r;

	snprintf(pid, sizeof(pid), "%d", update->options->pid);
	update->state->touched = true;
	criu = child_start(argv, environment, -1, &update->problem);
	if (criu < 0)
		return criu;
	update->state->criu = criu;
	criu_fd = (int)syscall(SYS_pidfd_open, criu, 0);
	if (criu_fd < 0)
		return problem_set(&update->problem, errno, NULL, "cannot watch criu");
	r = follow_criu(update, criu, criu_fd);
	if (r == 0 && (!update->app.tasks.count || update->detached != update->app.tasks.count))
		return problem_set(&update->problem, 0, "see that criu loads " CRIU_PLUGIN_DIRECTORY
				   "/sku.so", "CRIU dumped the application without its plug-in");
	return r;
}

/* Everything the next kernel needs becomes a record, and the memory is bound to be handed over. */
static int seal(struct update *update)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	_cleanup_app_ struct app again = { 0 };
	struct images_size size;
	int r = images_put(update->session, &size, &update->problem);

	if (r == 0)
		r = pin_put(update->session, NET_RECORD, update->network.data, update->network.used,
			    &update->problem);
	if (r == 0)
		r = app_write(&update->app, &text, &update->problem);
	/* What the next kernel would refuse is refused while there is a way back. */
	if (r == 0)
		r = app_read(&text, &again, &update->problem);
	if (r == 0)
		r = pin_put(update->session, APP_RECORD, text.data, text.used, &update->problem);
	if (r == 0)
		r = pin_seal(update->session, update->options->verify, &update->problem);
	return r;
}

static int jump(struct update *update)
{
	update->state->frozen = true;
	if (freeze_all(&update->problem) < 0)
		return -EIO;
	return kexec_jump(&update->problem);
}

static int load(struct update *update)
{
	const struct update_options *options = update->options;

	update->state->loaded = true;
	/* Written back now, so that there is little to write when nobody gets an answer. */
	sync();
	if (!options->image) /* by `skuctl load` */
		return 0;
	return kexec_load_files(options->image, options->initrd, options->cmdline,
				&update->problem);
}

/* What can be found out while the application still serves. */
static int prepare(struct update *update)
{
	int r = tasks_gather(update->options->pid, &update->app.tasks, &update->problem);

	if (r == 0)
		r = tcp_ports(update->app.tasks.pids, update->app.tasks.count, &update->app.ports,
			      &update->app.port_count, &update->problem);
	if (r == 0)
		r = net_save(&update->network, &update->problem);
	if (r == 0)
		r = images_prepare(&update->problem);
	if (r == 0)
		r = listen_for_plugin(update);
	return r;
}

static int silence(struct update *update)
{
	update->state->silent = true;
	return silence_on(update->app.ports, update->app.port_count, &update->problem);
}

/* Return only when something went wrong. */
static int go(struct update *update)
{
	int r = prepare(update);

	if (r == 0 && (r = enter(update, PHASE_LOAD)) == 0)
		r = load(update);
	if (r == 0 && (r = enter(update, PHASE_SILENCE)) == 0)
		r = silence(update);
	if (r == 0 && (r = enter(update, PHASE_FREEZE)) == 0)
		r = freeze(update);
	if (r == 0 && (r = enter(update, PHASE_SEAL)) == 0)
		r = seal(update);
	if (r == 0 && (r = enter(update, PHASE_JUMP)) == 0)
		r = jump(update);
	return r;
}

static void print_json(const struct update_options *options, const struct check *check,
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
static size_t print_findings(const struct check *check)
{
	for (size_t i = 0; i < check->count; i++)
		problem_print(&check->findings[i].problem);
	return check->count;
}

/* Check everything, and print what was found. Return how much that is. */
static size_t checked(const struct update_options *options, struct check *check)
{
	check_machine(options, check);
	if (options->image)
		check_next(options, check);
	if (options->pid)
		check_application(options, check);
	return print_findings(check);
}

static void catch_signals(void)
{
	const struct sigaction action = { .sa_handler = on_signal };
	const struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

static enum status undone(struct update *update, struct guard *guard)
{
	bool late = update->problem.error == ETIMEDOUT;

	problem_print(&update->problem);
	close(update->session);
	if (guard_let_go(guard) < 0) {
		fprintf(stderr, "skuctl: not all of it could be undone: run skuctl undo again, and "
				"see that the application runs\n");
		return STATUS_STUCK;
	}
	fprintf(stderr, "skuctl: undone: the application goes on under this kernel\n");
	return late ? STATUS_TIMED_OUT : STATUS_ROLLED_BACK;
}

static enum status guarded(struct update *update, struct check *check)
{
	struct guard guard;
	enum status status;

	if (guard_start(&guard, update->state, update->session, &update->problem) < 0) {
		problem_print(&update->problem);
		close(update->session);
		return STATUS_INTERNAL;
	}
	if (enter(update, PHASE_CHECK) == 0) {
		if (checked(update->options, check)) {
			close(update->session);
			status = guard_let_go(&guard) < 0 ? STATUS_STUCK : STATUS_CHECK;
			print_json(update->options, check, NULL, phase_names[PHASE_CHECK], status);
			return status;
		}
		go(update);
	}
	status = undone(update, &guard);
	print_json(update->options, check, &update->problem, phase_names[update->phase], status);
	return status;
}

/* Check only: no session is made, nothing is touched. */
static enum status dry_run(const struct update_options *options)
{
	static struct check check;
	enum status status = checked(options, &check) ? STATUS_CHECK : STATUS_OK;

	if (options->json)
		print_json(options, &check, NULL, "check", status);
	else if (status == STATUS_OK)
		printf("nothing stands in the way of an update\n");
	if (!options->json)
		copied_print();
	return status;
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
	if (print_findings(&check)) {
		status = STATUS_CHECK;
	} else {
		state->loaded = true;
		if (kexec_load_files(options->image, options->initrd, options->cmdline,
				     &problem) < 0) {
			problem_print(&problem);
			status = undo(state, -1) ? STATUS_STUCK : STATUS_CHECK;
		} else if (!options->json) {
			copied_print();
		}
	}
	print_json(options, &check, NULL, phase_names[PHASE_LOAD], status);
	return status;
}

/*
 * Replace the kernel under the application. It returns when that did not come about; the
 * application then runs as it did, unless the status says that it needs a hand.
 */
enum status update(const struct update_options *options)
{
	struct update update = { .options = options, .session = -1, .listener = -1 };
	_cleanup_close_ int lock = -1;
	static struct check check;
	enum status status;

	if (options->dry_run)
		return dry_run(options);
	catch_signals();
	update.state = state_open(true, &lock, &update.problem);
	if (!update.state) {
		problem_print(&update.problem);
		return update.problem.error == EBUSY ? STATUS_USER : STATUS_INTERNAL;
	}
	unlink(STATE_CONTINUE); /* of an update before this one */
	update.deadline_ms = state_now_ms() + options->timeout_s * 1000ULL;
	update.state->application = options->pid;
	update.session = pin_create(options->name, &update.problem);
	if (update.session < 0) {
		problem_print(&update.problem);
		return STATUS_CHECK;
	}
	status = guarded(&update, &check);
	unlink(STATE_SOCKET);
	app_free(&update.app);
	buffer_free(&update.network);
	return status;
}
