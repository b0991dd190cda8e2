/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The network as user space has set it up: saved under one kernel, set up again under the next.
 *
 * The record is a struct net_header, and then entries, each a struct net_entry and its payload,
 * which is filled up to a multiple of 8 bytes. NET_LINK has a struct net_link; NET_MESSAGE a whole
 * message of rtnetlink(7) (RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEIGH) with the interface numbers of
 * the kernel that wrote it. Links come first.
 */
#ifndef SKU_NET_H
#define SKU_NET_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "problem.h"

#define NET_RECORD "net"
#define NET_MAGIC 0x74656e73U
#define NET_VERSION 1
#define NET_SIZE_MAX (4UL << 20)

struct net_header {
	uint32_t magic;
	uint32_t version;
	uint64_t size; /* bytes, with the header */
};

enum { NET_LINK = 1, NET_MESSAGE = 2 };

struct net_entry {
	uint32_t kind;
	uint32_t size; /* of the payload */
};

struct net_link {
	uint32_t index;
	uint32_t mtu;
	uint32_t up; /* 0 or 1 */
	char name[16];
};

int net_save(struct buffer *out, struct problem *problem);
int net_load(const void *data, size_t size, struct problem *problem);
int net_loopback(struct problem *problem);

#endif
