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
#define REUSE_FORCED 2 /* SO_REUSEADDR of a socket in repair mode */

struct walk {
	int (*each)(struct walk *walk, int socket);
	ino_t *done; /* sockets that were seen: processes may share one */
	size_t done_count;
	uint16_t *ports;
	size_t port_count;
	struct connections *connections;
	bool waking;
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

static int get_option(int fd, int option, void *value, socklen_t size)
{
	return getsockopt(fd, IPPROTO_TCP, option, value, &size) < 0 ? -errno : 0;
}

static int set_option(int fd, int option, int value)
{
	return setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Leaving repair mode forgets that the address may be reused, which entering it has set. */
static int leave_repair(int fd, int how, int reuse)
{
	int r = set_option(fd, TCP_REPAIR, how);

	if (reuse && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) < 0 && r == 0)
		r = -errno;
	return r;
}

/* What CRIU has found there is not known any more. A server that does not reuse its port is rare. */
static int repair_off(struct walk *walk, int fd)
{
	int value = 0;

	(void)walk;
	if (get_option(fd, TCP_REPAIR, &value, sizeof(value)) < 0 || !value)
		return 0;
	return leave_repair(fd, TCP_REPAIR_OFF, 1);
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
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, &size) < 0)
		return -errno;
	return set_option(fd, TCP_WINDOW_CLAMP, room);
}

static int get_queue(int fd, int queue, uint32_t *number)
{
	int r = set_option(fd, TCP_REPAIR_QUEUE, queue);

	return r < 0 ? r : get_option(fd, TCP_QUEUE_SEQ, number, sizeof(*number));
}

/* Only a socket in repair mode tells this. */
static int get_numbers(int fd, const struct tcp_info *info, struct connection *connection)
{
	struct tcp_repair_window window;
	unsigned int scale = info->tcpi_options & TCPI_OPT_WSCALE ? info->tcpi_rcv_wscale : 0;
	uint32_t written;
	uint32_t room;
	int r = get_queue(fd, TCP_SEND_QUEUE, &written);

	if (r == 0)
		r = get_queue(fd, TCP_RECV_QUEUE, &connection->received);
	if (r == 0)
		r = set_option(fd, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);
	if (r == 0)
		r = get_option(fd, TCP_REPAIR_WINDOW, &window, sizeof(window));
	if (r == 0)
		r = get_option(fd, TCP_TIMESTAMP, &connection->clock, sizeof(connection->clock));
	if (r < 0)
		return r;
	connection->sent = written - info->tcpi_notsent_bytes;
	connection->stamped = info->tcpi_options & TCPI_OPT_TIMESTAMPS;
	room = window.rcv_wup + window.rcv_wnd - connection->received;
	room = (int32_t)room > 0 ? room >> scale : 0;
	connection->window = room > UINT16_MAX ? UINT16_MAX : (uint16_t)room;
	return 0;
}

/* Return an IPv4 address, in network order, as one of IPv6. */
struct in6_addr tcp_mapped(uint32_t address)
{
	struct in6_addr mapped = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(mapped.s6_addr + IP4_IN_IP6, &address, sizeof(address));
	return mapped;
}

static void widen(struct sockaddr_in6 *address)
{
	struct sockaddr_in short_one;

	if (address->sin6_family != AF_INET)
		return;
	memcpy(&short_one, address, sizeof(short_one));
	*address = (struct sockaddr_in6){
		.sin6_family = AF_INET6,
		.sin6_port = short_one.sin_port,
		.sin6_addr = tcp_mapped(short_one.sin_addr.s_addr),
	};
}

static int get_ends(int fd, struct connection *connection)
{
	socklen_t here = sizeof(connection->here);
	socklen_t there = sizeof(connection->there);

	if (getsockname(fd, (struct sockaddr *)&connection->here, &here) < 0 ||
	    getpeername(fd, (struct sockaddr *)&connection->there, &there) < 0)
		return -errno;
	widen(&connection->here);
	widen(&connection->there);
	return 0;
}

static int keep(struct connections *connections, const struct connection *connection)
{
	struct connection *list = realloc(connections->list,
					  (connections->count + 1) * sizeof(*list));

	if (!list)
		return -ENOMEM;
	list[connections->count++] = *connection;
	connections->list = list;
	return 0;
}

static int look(struct walk *walk, int fd)
{
	struct connection connection = { 0 };
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(int);
	int reuse = 0;
	int narrow = 0;
	int left;
	int r;

	if (get_option(fd, TCP_INFO, &info, sizeof(info)) < 0 || info.tcpi_state != ESTABLISHED)
		return 0;
	if (walk->waking)
		narrow = open_window(fd, &info);
	r = get_ends(fd, &connection);
	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, &size) < 0)
		r = -errno;
	if (r == 0)
		r = set_option(fd, TCP_REPAIR, TCP_REPAIR_ON);
	if (r < 0)
		return r;
	r = get_numbers(fd, &info, &connection);
	left = leave_repair(fd, walk->waking ? TCP_REPAIR_OFF : TCP_REPAIR_OFF_NO_WP,
			    reuse == REUSE_FORCED ? 1 : reuse);
	if (r == 0)
		r = left;
	if (r == 0)
		r = keep(walk->connections, &connection);
	return r < 0 ? r : narrow;
}

/*
 * List the connections of the processes, which must stand still, where they are now. If @waking,
 * give each of them its window back, and have it send a window probe, to which the other side answers
 * where it is. The list is the caller's to free. Return 0 or a negative errno, with @problem set, and
 * with those in the list that could be looked at.
 */
int tcp_connections(const pid_t *pids, size_t count, bool waking, struct connections *connections,
		    struct problem *problem)
{
	_cleanup_(free_walk) struct walk walk = {
		.each = look,
		.connections = connections,
		.waking = waking,
	};

	return walk_all(&walk, pids, count, "look at the connections", problem);
}

void connections_free(struct connections *connections)
{
	free(connections->list);
	*connections = (struct connections){ 0 };
}
