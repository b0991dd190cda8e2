// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs one part of what the update consists of on the file given, for test_runtime_update.py. The
 * first line of output is the result; more of them follow where there is more to tell.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app.h"
#include "areas.h"
#include "buffer.h"
#include "child.h"
#include "freezer.h"
#include "handshakes.h"
#include "image.h"
#include "images.h"
#include "kept.h"
#include "net.h"
#include "problem.h"
#include "silence.h"
#include "tasks.h"
#include "tcp.h"
#include "wake.h"
#include "warm.h"

static struct problem problem;

static void read_file(const char *path, struct buffer *data)
{
	FILE *file = fopen(path, "r");
	char text[4096];
	size_t size;

	if (!file)
		exit(2);
	while ((size = fread(text, 1, sizeof(text), file)))
		buffer_add(data, text, size);
	fclose(file);
}

static int on_app(const char *path)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	_cleanup_buffer_ struct buffer again = { 0 };
	_cleanup_app_ struct app app = { 0 };
	int r;

	read_file(path, &text);
	r = app_read(&text, &app, &problem);
	printf("%d\n", r);
	if (r < 0)
		return 0;
	app_write(&app, &again, &problem);
	printf("%.*s", (int)again.used, again.data);
	return 0;
}

/* Every record that differs from the given one in one byte, and every shorter one. */
static int on_net(const char *path)
{
	_cleanup_buffer_ struct buffer data = { 0 };

	read_file(path, &data);
	printf("%d\n", net_load(data.data, data.used, &problem));
	for (size_t i = 0; i < data.used; i++) {
		char kept = data.data[i];
		/* Of its own, so that the sanitizer sees what is read past its end. */
		char *cut = malloc(i ? i : 1);

		memcpy(cut, data.data, i);
		if (net_load(cut, i, &problem) == 0)
			return 3;
		free(cut);
		for (int bit = 0; bit < 8; bit++) {
			data.data[i] = (char)(kept ^ 1 << bit);
			net_load(data.data, data.used, &problem);
		}
		data.data[i] = kept;
	}
	return 0;
}

static int on_net_save(const char *path)
{
	_cleanup_buffer_ struct buffer data = { 0 };
	FILE *file = fopen(path, "w");
	int r = net_save(&data, &problem);

	printf("%d\n", r);
	if (!file || r < 0)
		return 2;
	fwrite(data.data, 1, data.used, file);
	return fclose(file) ? 2 : 0;
}

static int on_net_load(const char *path)
{
	_cleanup_buffer_ struct buffer data = { 0 };
	int r;

	read_file(path, &data);
	r = net_load(data.data, data.used, &problem);
	printf("%d\n%s\n", r, r < 0 ? problem.text : "");
	return 0;
}

static int connected_to_itself(const struct sockaddr_in *own)
{
	struct sockaddr_in name = *own;
	socklen_t size = sizeof(name);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	int r = bind(listener, (const struct sockaddr *)own, sizeof(*own));

	if (r == 0)
		r = listen(listener, 1);
	if (r == 0)
		r = getsockname(listener, (struct sockaddr *)&name, &size);
	if (r == 0)
		r = connect(client, (const struct sockaddr *)&name, size);
	close(client);
	close(listener);
	return r;
}

/* Whether one can connect to an address of the loopback interface, before and after it was set up. */
static int on_loopback(const char *address)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	int before, r;

	if (inet_pton(AF_INET, address, &own.sin_addr) != 1)
		return 2;
	before = connected_to_itself(&own);
	r = net_loopback(&problem);
	printf("%d\n%d %d\n", r, before, connected_to_itself(&own));
	return 0;
}

/* All that is ours of the process with that number, but an area in the middle of the first. */
static int on_areas(const char *pid)
{
	_cleanup_areas_ struct areas all = { 0 };
	_cleanup_areas_ struct areas rest = { 0 };
	struct plugin_area spared[2];

	if (areas_gather((pid_t)atoi(pid), NULL, 0, &all, &problem) < 0 || !all.count)
		return 3;
	/* Given in the wrong order, and not at the borders of pages. */
	spared[1] = (struct plugin_area){ all.list[0].start + 8192 + 5, all.list[0].start + 8192 + 9 };
	spared[0] = (struct plugin_area){ all.list[0].end - 4096, all.list[0].end };
	if (areas_gather((pid_t)atoi(pid), spared, 2, &rest, &problem) < 0)
		return 3;
	for (size_t i = 0; i < all.count; i++)
		printf("%llx %llx\n", all.list[i].start, all.list[i].end);
	printf("-\n");
	for (size_t i = 0; i < rest.count; i++)
		printf("%llx %llx\n", rest.list[i].start, rest.list[i].end);
	return 0;
}

static int on_tasks(const char *pid)
{
	_cleanup_tasks_ struct tasks tasks = { 0 };
	_cleanup_buffer_ struct buffer list = { 0 };
	int r = tasks_gather((pid_t)atoi(pid), &tasks, &problem);

	printf("%d\n", r);
	if (r < 0 || tasks_numbers(&tasks, &list, &problem) < 0)
		return 0;
	printf("%zu\n%.*s\n", tasks.count, (int)list.used, list.data);
	return 0;
}

static int on_ports(const char *pid)
{
	pid_t number = (pid_t)atoi(pid);
	uint16_t *ports = NULL;
	size_t count = 0;
	int r = tcp_ports(&number, 1, &ports, &count, &problem);

	printf("%d\n", r);
	for (size_t i = 0; i < count; i++)
		printf("%u\n", ports[i]);
	free(ports);
	return 0;
}

static int on_silence(const char *count)
{
	uint16_t ports[1024];
	int r;

	for (size_t i = 0; i < 1024; i++)
		ports[i] = (uint16_t)(i + 7000);
	r = silence_on(ports, (size_t)atoi(count), SILENCE_ALL, &problem);
	printf("%d\n", r);
	r = silence_on(ports, (size_t)atoi(count), SILENCE_NEW, &problem);
	printf("%d\n", r);
	return 0;
}

static int on_handshakes(const char *port)
{
	const uint16_t ports[] = { 1, (uint16_t)atoi(port) };
	size_t pending = 0;
	int r = handshakes_count(ports, 2, &pending);

	printf("%d\n%zu\n", r, pending);
	return 0;
}

static int on_hush(const char *pid)
{
	const pid_t number = (pid_t)atoi(pid);

	printf("%d\n", hush(&number, 1, &problem));
	return 0;
}

static int on_wake(const char *pid)
{
	const pid_t number = (pid_t)atoi(pid);
	struct waking waking = WAKING_NONE;
	int r = wake(&waking, &number, 1, &problem);
	pid_t child;

	printf("%d\n", r);
	fflush(stdout);
	child = wake_missing(&waking);
	if (child > 0)
		waitpid(child, NULL, 0);
	return 0;
}

static int on_child(const char *word)
{
	const char *const argv[] = { "sh", "-c", word, NULL };
	_cleanup_buffer_ struct buffer said = { 0 };

	printf("%d\n", child_run(argv, &said, 500, &problem));
	printf("%.*s", (int)said.used, said.data ? said.data : "");
	return 0;
}

static int on_image(const char *path)
{
	struct reads reads = { 0 };
	int r = image_check(path, &reads, &problem);

	printf("%d\n%s\n", r, r < 0 ? problem.text : "");
	return 0;
}

/* The directory holds the next kernel's Image, and the files that the running one has. */
static int compare(const char *directory, bool no_pid_reserve)
{
	struct reads running = { 0 };
	struct reads next = { 0 };
	char path[4096];
	int r;

	snprintf(path, sizeof(path), "%s/Image", directory);
	r = image_check(path, &next, &problem);
	if (r == 0)
		r = reads_running(directory, &running, &problem);
	if (r == 0)
		r = reads_compare(&running, &next, "Image", no_pid_reserve, &problem);
	printf("%d\n%s\n%s\n", r, r < 0 ? problem.text : "", r < 0 ? problem.hint : "");
	printf("%s\n", reads_memfds(&running, &next) ? "memfds" : "no memfds");
	return 0;
}

static int on_reads(const char *directory)
{
	return compare(directory, false);
}

static int on_reads_no_pids(const char *directory)
{
	return compare(directory, true);
}

static int on_warm(const char *pid)
{
	_cleanup_buffer_ struct buffer list = { 0 };
	int r = warm_gather((pid_t)atoi(pid), &list);

	if (r == 0)
		r = warm_gather((pid_t)atoi(pid), &list);
	printf("%d\n%.*s", r, (int)list.used, list.data ? list.data : "");
	return 0;
}

static int on_read(const char *path)
{
	_cleanup_buffer_ struct buffer list = { 0 };
	int status = 0;
	pid_t pid;

	read_file(path, &list);
	pid = warm_read(&list);
	if (pid > 0)
		waitpid(pid, &status, 0);
	printf("%d\n%d\n", pid < 0 ? pid : 0, status);
	return 0;
}

/* CRIU is begun, has so many milliseconds, and then the image that it reads first is there. */
static int on_restore(const char *milliseconds)
{
	FILE *image;
	int r;

	mkdir(STATE_IMAGES, 0700);
	freezer_criu.begin_restore();
	usleep((useconds_t)atoi(milliseconds) * 1000);
	image = fopen(STATE_IMAGES "/inventory.img" IMAGES_LATER, "w");
	fprintf(image, "inventory");
	fclose(image);
	r = freezer_criu.restore(NULL, 1, &problem);
	freezer_criu.abandon_restore();
	printf("%d\n%s\n", r, r < 0 ? problem.text : "");
	return 0;
}

/* Into 24 bytes. */
static int on_kept(const char *cmdline)
{
	char text[24] = "";
	int r = kept_off(cmdline, text, sizeof(text));

	printf("%d\n%s\n", r, r < 0 ? "" : text);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const char *argument);
	} parts[] = {
		{ "app", on_app },	     { "net", on_net },	    { "net-save", on_net_save },
		{ "net-load", on_net_load }, { "areas", on_areas }, { "tasks", on_tasks },
		{ "ports", on_ports },	     { "child", on_child }, { "silence", on_silence },
		{ "image", on_image },	     { "warm", on_warm },   { "read", on_read },
		{ "restore", on_restore },   { "kept", on_kept },   { "hush", on_hush },
		{ "wake", on_wake },	     { "handshakes", on_handshakes },
		{ "loopback", on_loopback }, { "reads", on_reads },	     { "reads-no-pids", on_reads_no_pids },
	};

	for (size_t i = 0; argc == 3 && i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strcmp(argv[1], parts[i].name))
			return parts[i].run(argv[2]);
	return 2;
}
