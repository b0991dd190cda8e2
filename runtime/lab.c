// SPDX-License-Identifier: GPL-2.0-only
#include "lab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "counter.h"
#include "json.h"
#include "kmsg.h"

#define LAB_PORT "org.sku.lab"
#define LAB_PROTOCOL 1
#define POLL_MS 5

static bool is_lab_port(const char *device)
{
	_cleanup_close_ int fd = -1;
	char path[512];
	char name[sizeof(LAB_PORT) + 1] = "";
	ssize_t size;

	snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", device);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	size = read(fd, name, sizeof(name) - 1);
	if (size < 0)
		return false;
	name[strcspn(name, "\n")] = '\0';
	return !strcmp(name, LAB_PORT);
}

static int find_port(void)
{
	_cleanup_closedir_ DIR *ports = opendir("/sys/class/virtio-ports");
	const struct dirent *entry;

	if (!ports)
		return -errno;
	while ((entry = readdir(ports))) {
		char path[512];
		int fd;

		if (entry->d_name[0] == '.' || !is_lab_port(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}

/*
 * Open the lab's port. The kernel adds it, and names it, some time after the virtio device was
 * probed, so it is looked for during @patience_ms. Return 0 or a negative errno.
 */
int lab_open(struct lab *lab, unsigned int patience_ms)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };

	for (unsigned int waited = 0;; waited += POLL_MS) {
		lab->fd = find_port();
		if (lab->fd >= 0)
			return 0;
		if (waited >= patience_ms)
			return lab->fd;
		nanosleep(&pause, NULL);
	}
}

/* A report that cannot be written has nobody to read it: say so on the console, and go on. */
static void finish(struct json *json, const char *event)
{
	int r = json_end(json);

	if (r < 0)
		dprintf(STDERR_FILENO, "%s: cannot write %s to the lab's port: %s\n", problem_program,
			event, strerror(-r));
}

/* Report that sku-init runs since @counter, and on what. */
void lab_report_init(struct lab *lab, const struct facts *facts, uint64_t counter)
{
	struct json json;

	json_begin(&json, lab->fd);
	json_string(&json, "event", "init");
	json_number(&json, "protocol", LAB_PROTOCOL);
	json_number(&json, "counter", counter);
	json_number(&json, "counter_hz", counter_hz());
	json_string(&json, "release", facts->kernel.release);
	json_string(&json, "version", facts->kernel.version);
	json_string(&json, "cmdline", facts->cmdline);
	json_string(&json, "cpus_online", facts->cpus_online);
	json_string(&json, "cpus_possible", facts->cpus_possible);
	json_number(&json, "memory_kib", facts->memory_kib);
	json_number(&json, "page_size", facts->page_size);
	json_number(&json, "uptime_ns", facts->uptime_ns);
	finish(&json, "init");
}

/* Report that the point named @event was reached at @counter. */
void lab_report_stamp(struct lab *lab, const char *event, uint64_t counter)
{
	struct json json;

	json_begin(&json, lab->fd);
	json_string(&json, "event", event);
	json_number(&json, "counter", counter);
	finish(&json, event);
}

/* Report a failure; the lab ends the run over it. */
void lab_report_problem(struct lab *lab, const struct problem *problem)
{
	struct json json;

	json_begin(&json, lab->fd);
	json_string(&json, "event", "error");
	json_string(&json, "message", problem->text);
	json_number(&json, "errno", (uint64_t)problem->error);
	json_string(&json, "hint", problem->hint ? problem->hint : "");
	finish(&json, "error");
}

/* Report the content of a file. */
void lab_report_content(struct lab *lab, const char *text, size_t size)
{
	struct json json;

	json_begin(&json, lab->fd);
	json_string(&json, "event", "content");
	json_number(&json, "counter", counter_now());
	json_text(&json, "text", text, size);
	finish(&json, "content");
}

/* Report that a command of the shell ended with @status, and what it said last. */
void lab_report_ran(struct lab *lab, int status, const char *output, size_t size)
{
	struct json json;

	json_begin(&json, lab->fd);
	json_string(&json, "event", "ran");
	json_number(&json, "counter", counter_now());
	json_number(&json, "status", (uint64_t)status);
	json_text(&json, "output", output, size);
	finish(&json, "ran");
}

static void report_record(struct lab *lab, const struct kmsg_record *record)
{
	struct json json;

	json_begin(&json, lab->fd);
	json_string(&json, "event", "line");
	json_number(&json, "level", record->level);
	json_number(&json, "facility", record->facility);
	json_number(&json, "us", record->stamp_us);
	json_text(&json, "text", record->text, record->size);
	finish(&json, "line");
}

/*
 * Report the kernel's log: an event "line" for each record, then "kmsg" with how many there were
 * and how many the kernel had overwritten before they could be read.
 */
int lab_report_kmsg(struct lab *lab, struct problem *problem)
{
	_cleanup_close_ int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct kmsg_record record;
	uint64_t lines = 0;
	uint64_t next = 0;
	uint64_t lost = 0;
	struct json json;

	if (fd < 0)
		return problem_set(problem, errno, "build the kernel with CONFIG_PRINTK=y",
				   "cannot open /dev/kmsg");
	for (;;) {
		char buffer[KMSG_RECORD_MAX];
		ssize_t size = read(fd, buffer, sizeof(buffer));

		if (size < 0 && errno == EAGAIN)
			break;
		if (size < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (size <= 0)
			return problem_set(problem, size ? errno : EIO, NULL,
					   "cannot read /dev/kmsg");
		if (!kmsg_parse(buffer, (size_t)size, &record))
			continue;
		lost += record.sequence - next;
		next = record.sequence + 1;
		lines++;
		report_record(lab, &record);
	}
	json_begin(&json, lab->fd);
	json_string(&json, "event", "kmsg");
	json_number(&json, "lines", lines);
	json_number(&json, "lost", lost);
	finish(&json, "kmsg");
	return 0;
}
