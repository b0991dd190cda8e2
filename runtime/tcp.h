/* SPDX-License-Identifier: GPL-2.0-only */
/* The TCP sockets of an application's processes, which may be stopped. */
#ifndef SKU_TCP_H
#define SKU_TCP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cleanup.h"
#include "problem.h"

#define IP4_IN_IP6 12 /* bytes before an IPv4 address that is written as one of IPv6 */

/* An established connection; one of IPv4 has its addresses mapped into IPv6. */
struct connection {
	struct sockaddr_in6 here;
	struct sockaddr_in6 there;
	uint32_t sent;	   /* sequence number that this side sends next */
	uint32_t received; /* and the one that it waits for */
	uint32_t clock;	   /* what its timestamps are at, if it is stamped */
	uint16_t window;   /* as on the wire: in units of the connection's scale */
	bool stamped;
};

/* Starts out as zeroes. */
struct connections {
	struct connection *list;
	size_t count;
};

int tcp_ports(const pid_t *pids, size_t count, uint16_t **ports, size_t *nr,
	      struct problem *problem);
int tcp_repair_off(const pid_t *pids, size_t count, struct problem *problem);
int tcp_connections(const pid_t *pids, size_t count, bool waking, struct connections *connections,
		    struct problem *problem);
struct in6_addr tcp_mapped(uint32_t address);
void connections_free(struct connections *connections);

#define _cleanup_connections_ _cleanup_(connections_free)

#endif
