/* SPDX-License-Identifier: GPL-2.0-only */
/* Segments of a connection, and errors about it, sent past the socket that it belongs to. */
#ifndef SKU_SEGMENT_H
#define SKU_SEGMENT_H

#include <stdint.h>
#include <sys/types.h>

#include "cleanup.h"
#include "problem.h"
#include "tcp.h"

/* The first two carry TCP, and hear what comes; -1 where the machine does not have the family. */
struct wire {
	int tcp4, tcp6;
	int icmp4, icmp6;
};

/* A segment that came: from whom, to which port, and where it begins. */
struct heard {
	struct in6_addr there;
	uint16_t port_there, port_here; /* network order */
	uint32_t sequence;
};

int wire_open(struct wire *wire, struct problem *problem);
void wire_close(struct wire *wire);
int segment_send(const struct wire *wire, const struct connection *connection, uint16_t window);
int segment_unreachable(const struct wire *wire, const struct connection *connection);
int segment_hear(int fd, bool has_header, struct heard *heard);

#define WIRE_NONE { -1, -1, -1, -1 }
#define _cleanup_wire_ _cleanup_(wire_close)

#endif
