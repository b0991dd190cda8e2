// SPDX-License-Identifier: GPL-2.0-only
#include "tcp.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#define ESTABLISHED 1
#define WAKE_PROBES 8

struct walk {
	int (*each)(struct walk *walk, int socket);
	ino_t *done; /* sockets that were seen: processes may share one */
	size_t done_count;
	uint16_t *ports;
	size_t port_count;
};

static void free_walk(struct walk *walk)
{
	free(walk->done);
	free(walk->ports);
}

static int seen(struct walk *walk, ino_t inode)
{
	ino_t *done;

	for (size_t i = 0; i < walk->done_count; i++)
		if (walk->done[i] == inode)
			return 1;
	done = realloc(walk->done, (walk->done_count + 1) * sizeof(*done));
	if (!done)
		return -ENOMEM;
	done[walk->done_count++] = inode;
	walk->done = done;
	return 0;
}

static bool is_tcp(int fd)
{
	socklen_t size = sizeof(int);
	int protocol;
	int domain;

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
	       protocol == IPPROTO_TCP &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       (domain == AF_INET || domain == AF_INET6);
}

/* A descriptor that is a socket, by its link alone: to take another one may have side effects. */
static bool is_socket(int directory, const char *name)
{
	char link[32];
	ssize_t size = readlinkat(directory, name, link, sizeof(link));

	return size > 8 && !memcmp(link, "socket:[", 8);
}

static int visit(struct walk *walk, int task, int directory, const char *name)
{
	_cleanup_close_ int fd = -1;
	struct stat about;
	int r;

	if (!is_socket(directory, name))
		return 0;
	fd = (int)syscall(SYS_pidfd_getfd, task, atoi(name), 0);
	if (fd < 0)
		return errno == EBADF || errno == ESRCH ? 0 : -errno;
	if (fstat(fd, &about) < 0 || !is_tcp(fd))
		return 0;
	r = seen(walk, about.st_ino);
	return r ? (r < 0 ? r : 0) : walk->each(walk, fd);
}

/* One that fails is no reason to leave out the others: the first failure is what is returned. */
static int walk_process(struct walk *walk, pid_t pid)
{
	_cleanup_close_ int task = (int)syscall(SYS_pidfd_open, pid, 0);
	_cleanup_closedir_ DIR *directory = NULL;
	const struct dirent *entry;
	char path[32];
	int r = 0;

	if (task < 0)
		return errno == ESRCH ? 0 : -errno;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(directory))) {
		int one = 0;

		if (entry->d_name[0] != '.')
			one = visit(walk, task, dirfd(directory), entry->d_name);
		if (one < 0 && r == 0)
			r = one;
	}
	return r;
}

static int walk_all(struct walk *walk, const pid_t *pids, size_t count, const char *what,
		    struct problem *problem)
{
	int r = 0;

	for (size_t i = 0; i < count; i++) {
		int one = walk_process(walk, pids[i]);

		if (one < 0 && r == 0)
			r = problem_set(problem, -one, NULL, "cannot %s of process %d", what, pids[i]);
	}
	return r;
}

static int add_port(struct walk *walk, int fd)
{
	struct sockaddr_in6 address = { 0 }; /* the port is where it is in sockaddr_in */
	socklen_t size = sizeof(address);
	uint16_t port;
	uint16_t *ports;

	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return 0;
	port = ntohs(address.sin6_port);
	for (size_t i = 0; i < walk->port_count; i++)
		if (walk->ports[i] == port)
			return 0;
	if (!port)
		return 0;
	ports = realloc(walk->ports, (walk->port_count + 1) * sizeof(*ports));
	if (!ports)
		return -ENOMEM;
	ports[walk->port_count++] = port;
	walk->ports = ports;
	return 0;
}

static int by_number(const void *one, const void *other)
{
	return *(const uint16_t *)one - *(const uint16_t *)other;
}

/*
 * List the local ports of all TCP sockets that the processes have open, each once, sorted; *ports
 * is the caller's to free. Return 0 or a negative errno, with @problem set.
 */
int tcp_ports(const pid_t *pids, size_t count, uint16_t **ports, size_t *nr,
	      struct problem *problem)
{
	_cleanup_(free_walk) struct walk walk = { .each = add_port };
	int r = walk_all(&walk, pids, count, "list the ports", problem);

	if (r < 0)
		return r;
	if (walk.port_count)
		qsort(walk.ports, walk.port_count, sizeof(*walk.ports), by_number);
	*ports = walk.ports;
	*nr = walk.port_count;
	walk.ports = NULL;
	return 0;
}

static int set_repair(int fd, int value)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int repair_off(struct walk *walk, int fd)
{
	socklen_t size = sizeof(int);
	int value = 0;

	(void)walk;
	if (getsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &value, &size) < 0 || !value)
		return 0;
	return set_repair(fd, TCP_REPAIR_OFF);
}

/* Take every socket that CRIU has left in repair mode out of it: it goes on as it was. */
int tcp_repair_off(const pid_t *pids, size_t count, struct problem *problem)
{
	_cleanup_(free_walk) struct walk walk = { .each = repair_off };

	return walk_all(&walk, pids, count, "go on with the connections", problem);
}

/*
 * A socket that was made while window scaling was off never offers more than 64 KiB, though its
 * connection has a scale. What its buffer holds is bound enough.
 */
static int open_window(int fd, const struct tcp_info *info)
{
	socklen_t size = sizeof(int);
	int room;

	if (!(info->tcpi_options & TCPI_OPT_WSCALE))
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, &size) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &room, sizeof(room)) < 0)
		return -errno;
	return 0;
}

static int wake(struct walk *walk, int fd)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);
	int narrow;
	int r = 0;

	(void)walk;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ||
	    info.tcpi_state != ESTABLISHED)
		return 0;
	narrow = open_window(fd, &info);
	for (int i = 0; r == 0 && i < WAKE_PROBES; i++) {
		r = set_repair(fd, TCP_REPAIR_ON);
		if (r == 0)
			r = set_repair(fd, TCP_REPAIR_OFF);
	}
	return r < 0 ? r : narrow;
}

/*
 * Give every connection its window back, and have its other side answer now: each time a socket
 * leaves repair mode it sends a window probe. Otherwise it waits for its retransmission timer, which
 * has backed off for as long as it got no answer.
 */
int tcp_wake(const pid_t *pids, size_t count, struct problem *problem)
{
	_cleanup_(free_walk) struct walk walk = { .each = wake };

	return walk_all(&walk, pids, count, "wake the connections", problem);
}
