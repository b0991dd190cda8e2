// SPDX-License-Identifier: GPL-2.0-only
/*
 * sku.so, CRIU's plug-in. Before CRIU does anything it waits for its turn: it was started ahead of
 * time. When all tasks are stopped and nothing of them is dumped yet, it tells skuctl so, and waits
 * until skuctl has taken their memory. CRIU then finds next to nothing to copy.
 *
 * It runs in CRIU, which traces the tasks. Without SKU_SOCKET it does nothing: CRIU may load it for
 * a dump that is not ours.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "criu_plugin.h"
#include "plugin_journal.h"
#include "plugin_memfds.h"

#define RED_ZONE 4096 /* bytes around a stack pointer */

struct areas {
	size_t count;
	struct plugin_area *list;
};

static void free_areas(struct areas *areas)
{
	free(areas->list);
}

static int add_area(struct areas *areas, uint64_t start, uint64_t size)
{
	struct plugin_area *list;

	if (areas->count == PLUGIN_AREAS_MAX)
		return -E2BIG;
	list = realloc(areas->list, (areas->count + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	list[areas->count++] = (struct plugin_area){ start, start + size };
	areas->list = list;
	return 0;
}

/*
 * What CRIU reads of a thread itself, and what the kernel writes before the thread gets its memory
 * back: struct rseq. Its stack goes with it, where a thread keeps what it runs on.
 */
static int add_thread(struct areas *areas, pid_t tid)
{
	struct __ptrace_rseq_configuration rseq = { 0 };
	struct {
		uint64_t x[31], sp, pc, pstate;
	} registers = { 0 };
	struct iovec io = { &registers, sizeof(registers) };
	int r;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(rseq), &rseq) > 0 &&
	    rseq.rseq_abi_pointer) {
		r = add_area(areas, rseq.rseq_abi_pointer, rseq.rseq_abi_size);
		if (r < 0)
			return r;
	}
	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &io) < 0)
		return -errno;
	return add_area(areas, registers.sp - RED_ZONE, 2 * (uint64_t)RED_ZONE);
}

static int add_threads(struct areas *areas, pid_t pid)
{
	_cleanup_closedir_ DIR *threads = NULL;
	const struct dirent *entry;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	threads = opendir(path);
	if (!threads)
		return -errno;
	while ((entry = readdir(threads))) {
		int r;

		if (entry->d_name[0] == '.')
			continue;
		r = add_thread(areas, (pid_t)atoi(entry->d_name));
		if (r < 0)
			return r;
	}
	return 0;
}

static int send_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

/* The end of the connection is skuctl's end: a failure like any other. */
static int take_answer(int fd)
{
	struct plugin_answer answer;
	ssize_t n;

	do
		n = recv(fd, &answer, sizeof(answer), MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == sizeof(answer) ? answer.result : -EPIPE;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

static int talk(const char *path, pid_t pid, const struct areas *areas)
{
	const struct plugin_stopped stopped = { .pid = pid, .areas = (uint32_t)areas->count };
	_cleanup_close_ int fd = connect_to(path);
	int r = fd;

	if (fd >= 0)
		r = send_all(fd, &stopped, sizeof(stopped));
	if (r == 0)
		r = send_all(fd, areas->list, areas->count * sizeof(*areas->list));
	return r < 0 ? r : take_answer(fd);
}

/* -ENOTSUP tells CRIU that this plug-in has nothing to do with the task. */
static int checkpoint_devices(int pid)
{
	_cleanup_(free_areas) struct areas areas = { 0 };
	const char *path = getenv(PLUGIN_SOCKET);
	int r;

	if (!path)
		return -ENOTSUP;
	r = add_threads(&areas, pid);
	if (r == 0)
		r = talk(path, pid, &areas);
	/* With the last answer it is known what shared memory is kept, and before it none is dumped. */
	if (r == 0 && !memfds_load())
		r = -ENOMEM;
	if (r < 0)
		fprintf(stderr, "sku.so: cannot hand the memory of task %d to skuctl: %s\n", pid,
			strerror(-r));
	return r < 0 ? -1 : 0;
}

/*
 * The output of a service is a connection to the journal, whose other side is not dumped. It carries
 * nothing but what the service says, so that another one does as well.
 */
static int dump_journal(int fd, int id)
{
	struct sockaddr_un peer = { 0 };
	socklen_t size = sizeof(peer) - 1;

	(void)id;
	if (!getenv(PLUGIN_UNIT) || getpeername(fd, (struct sockaddr *)&peer, &size) < 0 ||
	    strcmp(peer.sun_path, PLUGIN_JOURNAL))
		return -ENOTSUP;
	return 0;
}

static int restore_journal(int id)
{
	char header[512];
	ssize_t size = 0;
	int socket_fd;
	FILE *file = fopen(PLUGIN_JOURNAL_HEADER, "re");
	int r;

	(void)id;
	if (file) {
		size = (ssize_t)fread(header, 1, sizeof(header), file);
		fclose(file);
	}
	if (size <= 0)
		return -ENOTSUP;
	socket_fd = connect_to(PLUGIN_JOURNAL);
	if (socket_fd < 0)
		return socket_fd;
	r = send_all(socket_fd, header, (size_t)size);
	if (r < 0) {
		close(socket_fd);
		return r;
	}
	/* As systemd has it: nothing is read from it. */
	shutdown(socket_fd, SHUT_RD);
	return socket_fd;
}

/* Wait for the word that it is time. */
static int begin(int stage)
{
	static const struct areas none;
	const char *path = getenv(PLUGIN_SOCKET);
	int r = path ? talk(path, PLUGIN_READY, &none) : 0;

	if (stage == CRIU_STAGE_RESTORE && !memfds_load())
		r = -ENOMEM;
	if (r < 0)
		fprintf(stderr, "sku.so: this CRIU cannot begin: %s\n", strerror(-r));
	return r < 0 ? -1 : 0;
}

static void end(int stage, int result)
{
	(void)stage;
	(void)result;
}

/*
 * Kernels from 6.16 on answer for SO_PASSCRED and SO_PASSSEC only where these can be set, and not
 * for a TCP socket. CRIU 4.1.1 asks for them of every socket, and takes that for the end. As the
 * plug-in is preloaded too, CRIU is told here what older kernels answer: not set.
 */
int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size)
{
	long r = syscall(SYS_getsockopt, fd, level, name, value, size);

	if (r == 0 || errno != EOPNOTSUPP || level != SOL_SOCKET || *size != sizeof(int) ||
	    (name != SO_PASSCRED && name != SO_PASSSEC))
		return (int)r;
	*(int *)value = 0;
	return 0;
}

/* The name CRIU looks up. */
extern struct criu_plugin CR_PLUGIN_DESC;
struct criu_plugin CR_PLUGIN_DESC = {
	.name = "sku",
	.init = begin,
	.exit = end,
	.version = CRIU_PLUGIN_VERSION,
	.max_hooks = CRIU_HOOKS,
	.hooks = {
		[CRIU_HOOK_CHECKPOINT_DEVICES] = (void *)checkpoint_devices,
		[CRIU_HOOK_DUMP_UNIX_SK] = (void *)dump_journal,
		[CRIU_HOOK_RESTORE_UNIX_SK] = (void *)restore_journal,
	},
};
