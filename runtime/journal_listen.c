// SPDX-License-Identifier: GPL-2.0-only
/*
 * A service that comes back before there is a journal has its output on a connection to it. So its
 * sockets are made by sku-init: what connects to them and what is said there waits, and the
 * distribution's init takes them over, as systemd does with open sockets that a unit of its own is for
 * (manager_distribute_fds()). It must be all of them that the unit has, and the unit must be loaded
 * that early. It is as soon as there is a mount that is none of systemd's own: that is mounted for
 * output to the journal, and so comes after its sockets.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "journal.h"
#include "state.h"

#define PORTS_MAX 8
#define QUEUE "/proc/sys/net/unix/max_dgram_qlen"
#define MOUNT STATE_DIRECTORY "/mount"
#define QUEUE_LENGTH "512\n" /* what systemd sets it to, for the sake of this socket */

struct port {
	int type;
	int fd;
	struct sockaddr_un address;
};

static struct port ports[PORTS_MAX];
static size_t port_count;

static int add_port(int type, const char *path)
{
	struct port *port = &ports[port_count];

	if (port_count == PORTS_MAX || *path != '/' || strlen(path) >= sizeof(port->address.sun_path))
		return -EINVAL;
	*port = (struct port){ .type = type, .fd = -1, .address.sun_family = AF_UNIX };
	strcpy(port->address.sun_path, path);
	port_count++;
	return 0;
}

static int take_line(char *line)
{
	static const char datagram[] = "ListenDatagram=";
	static const char stream[] = "ListenStream=";

	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "Listen", 6))
		return 0;
	if (!strncmp(line, datagram, strlen(datagram)))
		return add_port(SOCK_DGRAM, line + strlen(datagram));
	if (!strncmp(line, stream, strlen(stream)))
		return add_port(SOCK_STREAM, line + strlen(stream));
	return -EINVAL;
}

static FILE *open_unit(void)
{
	static const char *const paths[] = {
		"/etc/systemd/system/systemd-journald.socket",
		"/usr/lib/systemd/system/systemd-journald.socket",
		"/lib/systemd/system/systemd-journald.socket",
	};
	FILE *file = NULL;

	for (size_t i = 0; !file && i < sizeof(paths) / sizeof(paths[0]); i++)
		file = fopen(paths[i], "re");
	return file;
}

static int read_ports(struct problem *problem)
{
	_cleanup_file_ FILE *file = open_unit();
	char line[256];
	int r = file ? 0 : -ENOENT;

	port_count = 0;
	while (r == 0 && fgets(line, sizeof(line), file))
		r = take_line(line);
	if (r == 0 && !port_count)
		r = -EINVAL;
	return r == 0 ? 0 : problem_set(problem, -r, "have it as systemd brings it",
					"cannot use systemd-journald.socket");
}

/* See whether journal_listen() would know what to do. */
int journal_can_listen(struct problem *problem)
{
	return read_ports(problem);
}

static int make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

static int open_port(struct port *port)
{
	const int on = 1;
	int r = make_directories(port->address.sun_path);

	if (r < 0)
		return r;
	port->fd = socket(AF_UNIX, port->type | SOCK_CLOEXEC, 0);
	if (port->fd < 0 ||
	    bind(port->fd, (const struct sockaddr *)&port->address, sizeof(port->address)) < 0 ||
	    chmod(port->address.sun_path, 0666) < 0 ||
	    setsockopt(port->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    (port->type == SOCK_STREAM && listen(port->fd, SOMAXCONN) < 0))
		return -errno;
	return 0;
}

/*
 * Listen where the journal will, unless it does so already. Call it from the first process, which
 * then is to call journal_pass_on().
 */
int journal_listen(struct problem *problem)
{
	struct problem ignored;
	int r;

	if (access(JOURNAL_STDOUT, F_OK) == 0)
		return 0;
	r = read_ports(problem);
	if (r < 0)
		return r;
	/* Whatever of the length there is is enough for a few lines. */
	file_put(QUEUE, QUEUE_LENGTH, &ignored);
	for (size_t i = 0; i < port_count; i++) {
		r = open_port(&ports[i]);
		if (r < 0)
			return problem_set(problem, -r, NULL, "cannot listen on %s",
					   ports[i].address.sun_path);
	}
	if ((mkdir(MOUNT, 0700) < 0 && errno != EEXIST) ||
	    mount("sku", MOUNT, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k") < 0)
		return problem_set(problem, errno, NULL, "cannot mount a tmpfs on " MOUNT);
	return 0;
}

/* The sockets are systemd's now. */
void journal_end_listen(void)
{
	umount2(MOUNT, MNT_DETACH);
	rmdir(MOUNT);
}

/* Leave the sockets to the program that takes this one's place. */
void journal_pass_on(void)
{
	for (size_t i = 0; i < port_count; i++)
		if (ports[i].fd >= 0)
			fcntl(ports[i].fd, F_SETFD, 0);
}
