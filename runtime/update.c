// SPDX-License-Identifier: GPL-2.0-only
#include "update.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "areas.h"
#include "buffer.h"
#include "check.h"
#include "file.h"
#include "findings.h"
#include "freeze.h"
#include "freezer.h"
#include "guard.h"
#include "handshakes.h"
#include "haste.h"
#include "images.h"
#include "journal.h"
#include "kexec.h"
#include "load.h"
#include "memfds.h"
#include "net.h"
#include "pin.h"
#include "runfiles.h"
#include "silence.h"
#include "tcp.h"
#include "undo.h"
#include "unit.h"
#include "wake.h"
#include "warm.h"

#define POLL_MS 50
#define REFUSALS_MAX 1024
#define HANDSHAKES_MS 200

struct update {
	struct freezing freezing; /* first: see update_of() */
	const struct update_options *options;
	struct state *state;
	struct problem problem; /* why it ended */
	int session;
	uint64_t deadline_ms;
	enum phase phase;
	struct app app;
	struct buffer network;
	struct buffer warm; /* programs to read ahead */
	struct runfiles runfiles;
	struct keeping keeping;
	struct pin_moved moved;
	size_t detached; /* processes whose memory was taken */
	size_t refused;	 /* ranges that are copied instead */
};

static volatile sig_atomic_t interrupted;

static struct update *update_of(struct freezing *freezing)
{
	return (struct update *)(void *)freezing;
}

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

static int freezing_may_go_on(struct freezing *freezing)
{
	return may_go_on(update_of(freezing));
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

/*
 * The application stands still. At first it is only mute, and its clients are told to wait: what is
 * under way is still heard, and dumped with the rest. When they have heeded that, nothing is lost by
 * being deaf as well.
 */
static int silence_further(struct update *update, enum silence what)
{
	struct app *app = &update->app;
	struct problem problem;
	uint16_t *ports = NULL;
	size_t count = 0;
	/* Again: a connection that it has made to others may be newer than the list. */
	int r = tcp_ports(app->tasks.pids, app->tasks.count, &ports, &count, &update->problem);

	if (r < 0)
		return r;
	free(app->ports);
	app->ports = ports;
	app->port_count = count;
	update->state->silent = true;
	r = silence_on(ports, count, what, &update->problem);
	if (r < 0 || !update->options->freezer->keeps_memory)
		return r;
	update->state->hushed = true;
	if (hush(app->tasks.pids, app->tasks.count, &problem) < 0)
		problem_print(&problem);
	return 0;
}

/* All tasks stand still now, so what is gathered here is what there is. */
static int first_stopped(struct update *update)
{
	_cleanup_buffer_ struct buffer numbers = { 0 };
	int r = enter(update, PHASE_DETACH);

	update->state->touched = true;
	if (r == 0)
		r = tasks_gather(update->options->pid, &update->app.tasks, &update->problem);
	if (r == 0)
		r = silence_further(update, SILENCE_OUT);
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

/* All processes stand still. */
static int keep_memfds(struct update *update)
{
	update->state->keeping = true;
	return keeping_take(&update->keeping, &update->app.tasks, &update->problem);
}

/* A process stands still: take its memory. */
static int stopped(struct freezing *freezing, pid_t pid, struct plugin_area *spared, size_t count)
{
	struct update *update = update_of(freezing);
	int r = update->detached ? 0 : first_stopped(update);

	if (r == 0)
		r = detach_process(update, pid, spared, count);
	if (r == 0 && ++update->detached == update->app.tasks.count)
		r = keep_memfds(update);
	if (r == 0 && update->detached == update->app.tasks.count)
		r = enter(update, PHASE_DUMP);
	if (r == 0 && update->detached == update->app.tasks.count)
		r = silence_further(update, SILENCE_ALL);
	return r;
}

/* Stop the application, and have it written down. */
static int freeze(struct update *update)
{
	const struct freezer *freezer = update->options->freezer;
	int r = enter(update, PHASE_FREEZE);

	if (r == 0)
		r = freezer->freeze(&update->freezing);
	if (r == 0 && freezer->keeps_memory &&
	    (!update->app.tasks.count || update->detached != update->app.tasks.count))
		return problem_set(&update->problem, 0, "see what it says, and that its plug-in is there",
				   "%s did not tell of every process that it stopped", freezer->name);
	return r;
}

/* Who is to bring the application back, unless that is CRIU. */
static int seal_commands(struct update *update)
{
	_cleanup_buffer_ struct buffer text = { 0 };

	if (buffer_printf(&text, "%s\n%s", update->options->freezer->name,
			  update->state->restore_command) < 0)
		return problem_set(&update->problem, ENOMEM, NULL, "cannot keep the commands");
	return pin_put(update->session, FREEZER_RECORD, text.data, text.used, &update->problem);
}

/* What systemd is to know of it, and what it has in /run. */
static int seal_unit(struct update *update)
{
	_cleanup_buffer_ struct buffer files = { 0 };
	_cleanup_buffer_ struct buffer text = { 0 };
	int r = runfiles_write(&update->runfiles, &files, &update->problem);

	if (r == 0 && files.used)
		r = pin_put(update->session, RUNFILES_RECORD, files.data, files.used, &update->problem);
	if (r < 0 || !update->options->unit)
		return r;
	r = unit_write(update->options->unit, &text, &update->problem);
	return r < 0 ? r : pin_put(update->session, UNIT_RECORD, text.data, text.used,
				   &update->problem);
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
		r = pin_put(update->session, WARM_RECORD, update->warm.data, update->warm.used,
			    &update->problem);
	if (r == 0)
		r = keeping_seal(&update->keeping, update->session, &update->problem);
	if (r == 0)
		r = seal_unit(update);
	if (r == 0 && !update->options->freezer->keeps_memory)
		r = seal_commands(update);
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
	update->state->loaded = true;
	/* Written back now, so that there is little to write when nobody gets an answer. */
	sync();
	if (!update->options->image) /* by `skuctl load` */
		return 0;
	return load_next(update->options, &update->problem);
}

/* What can be found out while the application still serves. */
static int prepare(struct update *update)
{
	const struct update_options *options = update->options;
	int r = tasks_gather(update->options->pid, &update->app.tasks, &update->problem);

	if (r == 0)
		r = tcp_ports(update->app.tasks.pids, update->app.tasks.count, &update->app.ports,
			      &update->app.port_count, &update->problem);
	if (r == 0)
		r = runfiles_find(&update->app.tasks, options->unit ? options->unit->directories : "",
				  &update->runfiles, &update->problem);
	if (r == 0)
		r = net_save(&update->network, &update->problem);
	if (r == 0 && options->freezer->keeps_memory)
		keeping_begin(&update->keeping, options->name, update->state->takes);
	if (r == 0)
		r = images_prepare(!options->freezer->keeps_memory, &update->problem);
	return r;
}

/* The last that is done while the application serves. */
static int begin_freeze(struct update *update)
{
	const struct freezer *freezer = update->options->freezer;
	int r = freezer->begin_freeze ? freezer->begin_freeze(&update->freezing) : 0;

	if (r < 0)
		return r;
	if (update->state->helper)
		warm_gather(update->state->helper, &update->warm);
	for (size_t i = 0; i < update->app.tasks.count; i++)
		warm_gather(update->app.tasks.pids[i], &update->warm);
	update->state->hasty = haste_on();
	return 0;
}

/*
 * Take no new connections, and wait for those that are half made: CRIU cannot dump one that the
 * application has not accepted.
 */
static int silence_new(struct update *update)
{
	struct app *app = &update->app;
	int r = enter(update, PHASE_SILENCE);

	if (r < 0)
		return r;
	update->state->silent = true;
	r = silence_on(app->ports, app->port_count, SILENCE_NEW, &update->problem);
	if (r == 0)
		handshakes_wait(app->ports, app->port_count, HANDSHAKES_MS);
	return r;
}

static int silence(struct update *update)
{
	int r = enter(update, PHASE_SILENCE);

	return r < 0 ? r : silence_further(update, SILENCE_ALL);
}

/* Return only when something went wrong. */
static int go(struct update *update)
{
	int r = prepare(update);

	if (r == 0)
		journal_say(JOURNAL_NOTICE, "an update of the kernel under process %d begins",
			    update->options->pid);
	if (r == 0 && (r = enter(update, PHASE_LOAD)) == 0)
		r = load(update);
	if (r == 0)
		r = begin_freeze(update);
	if (r == 0 && update->options->freezer->keeps_memory)
		r = silence_new(update);
	if (r == 0)
		r = freeze(update);
	if (r == 0 && !update->options->freezer->keeps_memory)
		r = silence(update);
	if (r == 0 && (r = enter(update, PHASE_SEAL)) == 0)
		r = seal(update);
	if (r == 0 && (r = enter(update, PHASE_JUMP)) == 0)
		r = jump(update);
	return r;
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
	if (update->options->freezer->abandon_freeze)
		update->options->freezer->abandon_freeze();
	keeping_end(&update->keeping);
	update->state->keeping = false;
	close(update->session);
	if (guard_let_go(guard) < 0) {
		fprintf(stderr, "skuctl: not all of it could be undone: run skuctl undo again, and "
				"see that the application runs\n");
		return STATUS_STUCK;
	}
	fprintf(stderr, "skuctl: undone: the application goes on under this kernel\n");
	journal_say(JOURNAL_NOTICE, "undone: the application goes on under this kernel");
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
		if (findings_gather(update->options, check)) {
			close(update->session);
			status = guard_let_go(&guard) < 0 ? STATUS_STUCK : STATUS_CHECK;
			findings_json(update->options, check, NULL, phase_names[PHASE_CHECK], status);
			return status;
		}
		if (update->options->image)
			update->state->takes = check->takes_memfds;
		go(update);
	}
	status = undone(update, &guard);
	findings_json(update->options, check, &update->problem, phase_names[update->phase], status);
	return status;
}

static void begin_freezing(struct update *update)
{
	const struct update_options *options = update->options;

	update->freezing = (struct freezing){
		.pid = options->pid,
		.unit = options->unit ? options->unit->name : NULL,
		.freeze_command = options->freeze_command,
		.restore_command = options->restore_command,
		.state = update->state,
		.problem = &update->problem,
		.may_go_on = freezing_may_go_on,
		.stopped = stopped,
	};
	update->state->application = options->pid;
	/* Both are long enough: skuctl has seen to that. */
	snprintf(update->state->freezer, STATE_NAME_SIZE, "%s", options->freezer->name);
	if (options->restore_command)
		snprintf(update->state->restore_command, STATE_COMMAND_SIZE, "%s",
			 options->restore_command);
}

/*
 * Replace the kernel under the application. It returns when that did not come about; the
 * application then runs as it did, unless the status says that it needs a hand.
 */
enum status update(const struct update_options *options)
{
	struct update update = { .options = options, .session = -1, .keeping = KEEPING_NONE };
	_cleanup_close_ int lock = -1;
	static struct check check;
	enum status status;

	if (options->dry_run)
		return findings_only(options);
	catch_signals();
	update.state = state_open(true, &lock, &update.problem);
	if (!update.state) {
		problem_print(&update.problem);
		return update.problem.error == EBUSY ? STATUS_USER : STATUS_INTERNAL;
	}
	unlink(STATE_CONTINUE); /* of an update before this one */
	begin_freezing(&update);
	update.deadline_ms = state_now_ms() + options->timeout_s * 1000ULL;
	update.session = pin_create(options->name, &update.problem);
	if (update.session < 0) {
		problem_print(&update.problem);
		return STATUS_CHECK;
	}
	status = guarded(&update, &check);
	app_free(&update.app);
	runfiles_free(&update.runfiles);
	buffer_free(&update.network);
	buffer_free(&update.warm);
	return status;
}
