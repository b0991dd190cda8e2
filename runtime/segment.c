// SPDX-License-Identifier: GPL-2.0-only
#include "segment.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "silence.h"

#define QUOTED_BYTES 8 /* of a TCP header: the ports and the sequence number */
#define HOPS 64

/* An acknowledgement, with the option that a stamped connection must have in each segment. */
struct segment {
	struct tcphdr head;
	uint8_t padding[2];
	uint8_t kind, length;
	uint32_t clock, echo;
};

#define BARE_SIZE sizeof(struct tcphdr)

static int open_raw(int family, int protocol)
{
	const int mark = SILENCE_MARK;
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

	/* A machine without IPv6 has no connections of it. */
	if (fd < 0)
		return errno == EAFNOSUPPORT ? -1 : -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

/* Return 0 or a negative errno, with @problem set; the wire is the caller's to close either way. */
int wire_open(struct wire *wire, struct problem *problem)
{
	const int checksum_at = offsetof(struct tcphdr, check);
	const struct { int *fd, family, protocol; } sockets[] = {
		{ &wire->tcp4, AF_INET, IPPROTO_TCP },
		{ &wire->tcp6, AF_INET6, IPPROTO_TCP },
		{ &wire->icmp4, AF_INET, IPPROTO_ICMP },
		{ &wire->icmp6, AF_INET6, IPPROTO_ICMPV6 },
	};

	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		*sockets[i].fd = open_raw(sockets[i].family, sockets[i].protocol);
		if (*sockets[i].fd < -1)
			return problem_set(problem, -*sockets[i].fd, NULL,
					   "cannot send segments past the sockets");
	}
	if (wire->tcp6 >= 0 && setsockopt(wire->tcp6, IPPROTO_IPV6, IPV6_CHECKSUM, &checksum_at,
					  sizeof(checksum_at)) < 0)
		return problem_set(problem, errno, NULL, "cannot send segments of IPv6");
	return 0;
}

void wire_close(struct wire *wire)
{
	close_fd(&wire->tcp4);
	close_fd(&wire->tcp6);
	close_fd(&wire->icmp4);
	close_fd(&wire->icmp6);
}

static bool is_ip4(const struct connection *connection)
{
	return IN6_IS_ADDR_V4MAPPED(&connection->there.sin6_addr);
}

static struct in_addr short_address(const struct in6_addr *address)
{
	struct in_addr out;

	memcpy(&out, address->s6_addr + IP4_IN_IP6, sizeof(out));
	return out;
}

/* Add up 16-bit words as a checksum of the Internet does, RFC 1071. */
static uint32_t sum(uint32_t so_far, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		so_far += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
	return so_far;
}

static uint16_t finish(uint32_t so_far)
{
	while (so_far >> 16)
		so_far = (so_far & 0xffff) + (so_far >> 16);
	return htons((uint16_t)~so_far);
}

/* Send from the address @from, a struct of the protocol @level for its option @type. */
static int send_from(int fd, int level, int type, const void *from, size_t from_size, void *to,
		     socklen_t to_size, void *data, size_t size)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control = { .head = {
		.cmsg_len = CMSG_LEN(from_size),
		.cmsg_level = level,
		.cmsg_type = type,
	} };
	struct iovec vector = { data, size };
	const struct msghdr message = {
		.msg_name = to,
		.msg_namelen = to_size,
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(from_size),
	};

	memcpy(CMSG_DATA(&control.head), from, from_size);
	return sendmsg(fd, &message, 0) < 0 ? -errno : 0;
}

static int send4(int fd, const struct connection *connection, void *data, size_t size)
{
	const struct in_pktinfo from = {
		.ipi_spec_dst = short_address(&connection->here.sin6_addr),
	};
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_addr = short_address(&connection->there.sin6_addr),
	};

	return send_from(fd, IPPROTO_IP, IP_PKTINFO, &from, sizeof(from), &to, sizeof(to), data,
			 size);
}

static int send6(int fd, const struct connection *connection, void *data, size_t size)
{
	const struct in6_pktinfo from = {
		.ipi6_addr = connection->here.sin6_addr,
		.ipi6_ifindex = connection->there.sin6_scope_id,
	};
	struct sockaddr_in6 to = connection->there;

	to.sin6_port = 0; /* the protocol of a raw socket, if it is anything */
	return send_from(fd, IPPROTO_IPV6, IPV6_PKTINFO, &from, sizeof(from), &to, sizeof(to), data,
			 size);
}

/* Send an acknowledgement of what was received, with that window. Return 0 or a negative errno. */
int segment_send(const struct wire *wire, const struct connection *connection, uint16_t window)
{
	const size_t size = connection->stamped ? sizeof(struct segment) : BARE_SIZE;
	struct segment segment = {
		.head = {
			.source = connection->here.sin6_port,
			.dest = connection->there.sin6_port,
			.seq = htonl(connection->sent),
			.ack_seq = htonl(connection->received),
			.doff = (size / 4) & 0xf,
			.ack = 1,
			.window = htons(window),
		},
		.padding = { TCPOPT_NOP, TCPOPT_NOP },
		.kind = TCPOPT_TIMESTAMP,
		.length = TCPOLEN_TIMESTAMP,
		.clock = htonl(connection->clock),
	};
	uint32_t all = IPPROTO_TCP + (uint32_t)size;

	if (!is_ip4(connection))
		return send6(wire->tcp6, connection, &segment, size);
	all = sum(all, connection->here.sin6_addr.s6_addr + IP4_IN_IP6, sizeof(struct in_addr));
	all = sum(all, connection->there.sin6_addr.s6_addr + IP4_IN_IP6, sizeof(struct in_addr));
	segment.head.check = finish(sum(all, &segment, size));
	return send4(wire->tcp4, connection, &segment, size);
}

/* The first that it has sent and that was not received, as much of it as an error quotes. */
static struct tcphdr missing(const struct connection *connection)
{
	return (struct tcphdr){
		.source = connection->there.sin6_port,
		.dest = connection->here.sin6_port,
		.seq = htonl(connection->received),
	};
}

static int unreachable4(const struct wire *wire, const struct connection *connection)
{
	const struct tcphdr quoted = missing(connection);
	struct {
		struct icmphdr head;
		struct iphdr lost;
		char quoted[QUOTED_BYTES];
	} error = {
		.head = { .type = ICMP_DEST_UNREACH, .code = ICMP_HOST_UNREACH },
		.lost = {
			.version = 4,
			.ihl = sizeof(struct iphdr) / 4,
			.tot_len = htons(sizeof(struct iphdr) + sizeof(struct tcphdr)),
			.ttl = HOPS,
			.protocol = IPPROTO_TCP,
			.saddr = short_address(&connection->there.sin6_addr).s_addr,
			.daddr = short_address(&connection->here.sin6_addr).s_addr,
		},
	};

	memcpy(error.quoted, &quoted, sizeof(error.quoted));
	error.lost.check = finish(sum(0, &error.lost, sizeof(error.lost)));
	error.head.checksum = finish(sum(0, &error, sizeof(error)));
	return send4(wire->icmp4, connection, &error, sizeof(error));
}

static int unreachable6(const struct wire *wire, const struct connection *connection)
{
	const struct tcphdr quoted = missing(connection);
	struct {
		struct icmp6_hdr head;
		struct ip6_hdr lost;
		char quoted[QUOTED_BYTES];
	} error = {
		.head = { .icmp6_type = ICMP6_DST_UNREACH, .icmp6_code = ICMP6_DST_UNREACH_NOROUTE },
		.lost = {
			.ip6_flow = htonl(6U << 28),
			.ip6_plen = htons(sizeof(struct tcphdr)),
			.ip6_nxt = IPPROTO_TCP,
			.ip6_hlim = HOPS,
			.ip6_src = connection->there.sin6_addr,
			.ip6_dst = connection->here.sin6_addr,
		},
	};

	memcpy(error.quoted, &quoted, sizeof(error.quoted));
	return send6(wire->icmp6, connection, &error, sizeof(error));
}

/*
 * Tell the other side that what it sends again did not arrive because there was no way, not because
 * too much was under way. It halves the time until its next try for each of these, RFC 6069, and
 * tries at once when that has passed. Return 0 or a negative errno.
 */
int segment_unreachable(const struct wire *wire, const struct connection *connection)
{
	return is_ip4(connection) ? unreachable4(wire, connection) : unreachable6(wire, connection);
}

/*
 * Take what has come on a socket of a wire, which with IPv4 @has_header. Return 1 for a segment, 0 for
 * what is none, -EAGAIN when there is no more, or another negative errno.
 */
int segment_hear(int fd, bool has_header, struct heard *heard)
{
	char packet[128] __attribute__((aligned(8)));
	struct sockaddr_in6 from = { 0 };
	socklen_t from_size = sizeof(from);
	size_t at = 0;
	struct tcphdr head;
	ssize_t size = recvfrom(fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &from_size);

	if (size < 0)
		return errno == EINTR ? 0 : -errno;
	heard->there = from.sin6_addr;
	if (has_header) {
		struct iphdr ip;

		if ((size_t)size < sizeof(ip))
			return 0;
		memcpy(&ip, packet, sizeof(ip));
		heard->there = tcp_mapped(ip.saddr);
		at = ip.ihl * 4U;
	}
	if ((size_t)size < at + sizeof(head))
		return 0;
	memcpy(&head, packet + at, sizeof(head));
	heard->port_there = head.source;
	heard->port_here = head.dest;
	heard->sequence = ntohl(head.seq);
	return 1;
}
