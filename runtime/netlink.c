// SPDX-License-Identifier: GPL-2.0-only
#include "netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_SIZE 65536

/* Return a netlink socket, or a negative errno. */
int netlink_open(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	return fd < 0 ? -errno : fd;
}

static int send_all(int fd, const void *data, size_t size)
{
	ssize_t n;

	do
		n = send(fd, data, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n == (ssize_t)size ? 0 : -EIO;
}

/* Return 1 when there is more to come, 0 at the end, or a negative errno. */
static int take(const struct nlmsghdr *message,
		int (*each)(void *data, const struct nlmsghdr *message), void *data)
{
	if (message->nlmsg_type == NLMSG_DONE)
		return 0;
	if (message->nlmsg_type == NLMSG_ERROR) {
		struct nlmsgerr error;

		if (message->nlmsg_len < NLMSG_LENGTH(sizeof(error)))
			return -EBADMSG;
		memcpy(&error, NLMSG_DATA(message), sizeof(error));
		return error.error;
	}
	if (message->nlmsg_type != NLMSG_NOOP && each) {
		int r = each(data, message);

		if (r < 0)
			return r;
	}
	return 1;
}

static int receive(int fd, int (*each)(void *data, const struct nlmsghdr *message), void *data)
{
	static char answer[ANSWER_SIZE] __attribute__((aligned(8)));

	for (;;) {
		ssize_t n = recv(fd, answer, sizeof(answer), MSG_TRUNC);
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n > (ssize_t)sizeof(answer))
			return -EMSGSIZE;
		for (struct nlmsghdr *at = (struct nlmsghdr *)answer; NLMSG_OK(at, (unsigned int)left);
		     at = NLMSG_NEXT(at, left)) {
			int r = take(at, each, data);

			if (r <= 0)
				return r;
		}
	}
}

/* Send a dump request, and hand every answer to @each. Return 0 or a negative errno. */
int netlink_dump(int fd, const void *request, size_t size,
		 int (*each)(void *data, const struct nlmsghdr *message), void *data)
{
	int r = send_all(fd, request, size);

	return r < 0 ? r : receive(fd, each, data);
}

/* Send a request that is acknowledged, and return what the kernel says: 0 or a negative errno. */
int netlink_ask(int fd, const void *request, size_t size)
{
	return netlink_dump(fd, request, size, NULL, NULL);
}

/*
 * Return the attribute at *@at and step over it, or NULL when there is none that lies before @end. The
 * kernel's own macros are made for messages that are trusted.
 */
const struct nlattr *netlink_next(const char **at, const char *end)
{
	const struct nlattr *attribute = (const void *)*at;

	if (end - *at < NLA_HDRLEN || attribute->nla_len < NLA_HDRLEN ||
	    attribute->nla_len > end - *at)
		return NULL;
	*at += NLA_ALIGN(attribute->nla_len);
	if (*at > end)
		*at = end;
	return attribute;
}

/* Return what an attribute holds. */
const void *netlink_data(const struct nlattr *attribute)
{
	return (const char *)attribute + NLA_HDRLEN;
}

/* Return how many bytes that are. */
size_t netlink_size(const struct nlattr *attribute)
{
	return (size_t)attribute->nla_len - NLA_HDRLEN;
}

/* Return the first attribute of that type behind a message's body of @body bytes, or NULL. */
const struct nlattr *netlink_find(const struct nlmsghdr *message, size_t body, int type)
{
	const char *at = (const char *)message + NLMSG_HDRLEN + NLMSG_ALIGN(body);
	const char *end = (const char *)message + message->nlmsg_len;
	const struct nlattr *attribute;

	while (at < end && (attribute = netlink_next(&at, end)))
		if ((attribute->nla_type & NLA_TYPE_MASK) == type)
			return attribute;
	return NULL;
}

/* Add an attribute to a message that is being made. Return 0 or -ENOMEM. */
int netlink_attribute(struct buffer *message, uint16_t type, const void *data, size_t size)
{
	struct nlattr head = { .nla_len = (uint16_t)(NLA_HDRLEN + size), .nla_type = type };
	static const char padding[NLA_ALIGNTO];
	int r;

	if (size > UINT16_MAX - NLA_HDRLEN)
		return -EMSGSIZE;
	r = buffer_add(message, &head, sizeof(head));
	if (r == 0)
		r = buffer_add(message, data, size);
	if (r == 0)
		r = buffer_add(message, padding, NLA_ALIGN(size) - size);
	return r;
}
