/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests over a netlink socket, one at a time. */
#ifndef SKU_NETLINK_H
#define SKU_NETLINK_H

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

int netlink_open(int protocol);
int netlink_dump(int fd, const void *request, size_t size,
		 int (*each)(void *data, const struct nlmsghdr *message), void *data);
int netlink_ask(int fd, const void *request, size_t size);
const struct nlattr *netlink_next(const char **at, const char *end);
const struct nlattr *netlink_find(const struct nlmsghdr *message, size_t body, int type);
const void *netlink_data(const struct nlattr *attribute);
size_t netlink_size(const struct nlattr *attribute);
int netlink_attribute(struct buffer *message, uint16_t type, const void *data, size_t size);

#endif
