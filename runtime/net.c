// SPDX-License-Identifier: GPL-2.0-only
#include "net.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "netlink.h"
#include "waiting.h"

#define LINKS_MAX 1024
#define INTERFACE_PATIENCE_MS 5000
#define WAITING_EACH_MS 500 /* then the next device that waits for its driver is started */
#define POLL_MS 2
#define NO_CARRIER (RTNH_F_DEAD | RTNH_F_LINKDOWN) /* what was so then; not taken in a request */

static int add_entry(struct buffer *out, uint32_t kind, const void *data, size_t size)
{
	struct net_entry entry = { .kind = kind, .size = (uint32_t)size };
	static const char padding[8];
	int r = buffer_add(out, &entry, sizeof(entry));

	if (r == 0)
		r = buffer_add(out, data, size);
	if (r == 0)
		r = buffer_add(out, padding, -size & 7);
	return r;
}

static int save_link(void *data, const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	const struct nlattr *name = netlink_find(message, sizeof(*info), IFLA_IFNAME);
	const struct nlattr *mtu = netlink_find(message, sizeof(*info), IFLA_MTU);
	struct net_link link = { .index = (uint32_t)info->ifi_index,
				 .up = !!(info->ifi_flags & IFF_UP) };

	if (!name || netlink_size(name) > sizeof(link.name) || !mtu ||
	    netlink_size(mtu) != sizeof(link.mtu))
		return 0;
	memcpy(link.name, netlink_data(name), netlink_size(name));
	memcpy(&link.mtu, netlink_data(mtu), sizeof(link.mtu));
	return add_entry(data, NET_LINK, &link, sizeof(link));
}

static int save_message(void *data, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *address = NLMSG_DATA(message);
	const struct rtmsg *route = NLMSG_DATA(message);
	const struct ndmsg *neighbour = NLMSG_DATA(message);
	bool wanted = false;

	if (message->nlmsg_type == RTM_NEWADDR)
		wanted = address->ifa_family == AF_INET || address->ifa_flags & IFA_F_PERMANENT;
	else if (message->nlmsg_type == RTM_NEWROUTE)
		/* The kernel makes its own again, from the addresses and from what routers say. */
		wanted = route->rtm_table == RT_TABLE_MAIN && route->rtm_protocol != RTPROT_KERNEL &&
			 route->rtm_protocol != RTPROT_RA &&
			 !(route->rtm_flags & RTM_F_CLONED);
	else if (message->nlmsg_type == RTM_NEWNEIGH)
		wanted = neighbour->ndm_state & (NUD_PERMANENT | NUD_REACHABLE | NUD_STALE) &&
			 netlink_find(message, sizeof(*neighbour), NDA_LLADDR);
	return wanted ? add_entry(data, NET_MESSAGE, message, message->nlmsg_len) : 0;
}

static int save_kind(int fd, uint16_t type, size_t body, struct buffer *out)
{
	char room[NLMSG_LENGTH(sizeof(struct ifinfomsg))] = { 0 }; /* the longest of them */
	struct nlmsghdr head = {
		.nlmsg_len = (uint32_t)NLMSG_LENGTH(body),
		.nlmsg_type = type,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
	};

	memcpy(room, &head, sizeof(head));
	return netlink_dump(fd, room, head.nlmsg_len,
			    type == RTM_GETLINK ? save_link : save_message, out);
}

static size_t count_links(const struct buffer *record)
{
	size_t count = 0;
	struct net_entry entry;

	for (size_t at = sizeof(struct net_header); at < record->used;
	     at += sizeof(entry) + (((size_t)entry.size + 7) & ~7UL)) {
		memcpy(&entry, record->data + at, sizeof(entry));
		count += entry.kind == NET_LINK;
	}
	return count;
}

/* Add the record of the network to @out. Return 0 or a negative errno, with @problem set. */
int net_save(struct buffer *out, struct problem *problem)
{
	static const struct {
		uint16_t type;
		size_t body;
	} kinds[] = {
		{ RTM_GETLINK, sizeof(struct ifinfomsg) },
		{ RTM_GETADDR, sizeof(struct ifaddrmsg) },
		{ RTM_GETROUTE, sizeof(struct rtmsg) },
		{ RTM_GETNEIGH, sizeof(struct ndmsg) },
	};
	struct net_header header = { .magic = NET_MAGIC, .version = NET_VERSION };
	_cleanup_close_ int fd = netlink_open(NETLINK_ROUTE);
	int r = fd < 0 ? fd : buffer_add(out, &header, sizeof(header));

	for (size_t i = 0; r == 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		r = save_kind(fd, kinds[i].type, kinds[i].body, out);
	if (r < 0)
		return problem_set(problem, -r, NULL, "cannot save how the network is set up");
	header.size = out->used;
	memcpy(out->data, &header, sizeof(header));
	/* What the next kernel would refuse is refused while there is a way back. */
	if (out->used > NET_SIZE_MAX || count_links(out) > LINKS_MAX)
		return problem_set(problem, E2BIG, "set up fewer interfaces, routes or neighbours",
				   "cannot save how the network is set up");
	return 0;
}

struct load {
	int fd;
	struct problem *problem;
	int waited_ms;
	size_t count;
	struct {
		uint32_t old;
		uint32_t new;
	} links[LINKS_MAX];
};

/* Return the number an interface has now, or 0. */
static uint32_t new_index(const struct load *load, uint32_t old)
{
	for (size_t i = 0; i < load->count; i++)
		if (load->links[i].old == old)
			return load->links[i].new;
	return 0;
}

/* A driver may still be at it: the interface is waited for, and all of them not for longer. */
static uint32_t wait_for_link(struct load *load, const char *name)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
	int next = WAITING_EACH_MS;
	uint32_t index;

	for (; !(index = if_nametoindex(name)) && load->waited_ms < INTERFACE_PATIENCE_MS;
	     load->waited_ms += POLL_MS) {
		if (load->waited_ms >= next && waiting_start_first())
			next = load->waited_ms + WAITING_EACH_MS;
		nanosleep(&pause, NULL);
	}
	return index;
}

/* @mtu: 0 for the one that it has */
static int set_link(int fd, uint32_t index, uint32_t mtu)
{
	_cleanup_buffer_ struct buffer message = { 0 };
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
	} request = {
		.head = { .nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.info = { .ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP },
	};
	int r = buffer_add(&message, &request, sizeof(request));

	if (r == 0 && mtu)
		r = netlink_attribute(&message, IFLA_MTU, &mtu, sizeof(mtu));
	if (r < 0)
		return r;
	((struct nlmsghdr *)(void *)message.data)->nlmsg_len = (uint32_t)message.used;
	return netlink_ask(fd, message.data, message.used);
}

static int load_link(struct load *load, const char *data, size_t size)
{
	struct net_link link;
	uint32_t index;
	int r;

	if (size != sizeof(link) || load->count == LINKS_MAX)
		return problem_set(load->problem, EBADMSG, NULL, "cannot use the saved interfaces");
	memcpy(&link, data, sizeof(link));
	if (!memchr(link.name, '\0', sizeof(link.name)) || link.up > 1)
		return problem_set(load->problem, EBADMSG, NULL, "cannot use the saved interfaces");
	index = link.up ? wait_for_link(load, link.name) : if_nametoindex(link.name);
	if (!index)
		return link.up ? problem_set(load->problem, ENODEV,
					     "build its driver into the next kernel",
					     "cannot find the interface %s", link.name) : 0;
	load->links[load->count].old = link.index;
	load->links[load->count++].new = index;
	r = link.up ? set_link(load->fd, index, link.mtu) : 0;
	return r < 0 ? problem_set(load->problem, -r, NULL, "cannot bring %s up", link.name) : 0;
}

/* The part of a message between its head and its attributes. */
static size_t body_size(uint16_t type)
{
	switch (type) {
	case RTM_NEWADDR:
		return sizeof(struct ifaddrmsg);
	case RTM_NEWROUTE:
		return sizeof(struct rtmsg);
	case RTM_NEWNEIGH:
		return sizeof(struct ndmsg);
	default:
		return 0;
	}
}

/* What the kernel says of a thing but does not take when it is made. */
static bool is_news(uint16_t type, int attribute)
{
	switch (type) {
	case RTM_NEWADDR:
		return attribute == IFA_CACHEINFO;
	case RTM_NEWROUTE:
		return attribute == RTA_CACHEINFO || attribute == RTA_TABLE;
	default:
		return attribute == NDA_CACHEINFO || attribute == NDA_PROBES;
	}
}

/* Put the new numbers into the next hops of a route with several ways. */
static bool map_hops(const struct load *load, char *at, size_t size)
{
	while (size >= sizeof(struct rtnexthop)) {
		struct rtnexthop hop;
		size_t whole;

		memcpy(&hop, at, sizeof(hop));
		whole = RTNH_ALIGN((size_t)hop.rtnh_len);
		if (hop.rtnh_len < sizeof(hop) || whole > size)
			return false;
		hop.rtnh_flags &= (uint8_t)~NO_CARRIER;
		hop.rtnh_ifindex = (int)new_index(load, (uint32_t)hop.rtnh_ifindex);
		if (!hop.rtnh_ifindex)
			return false;
		memcpy(at, &hop, sizeof(hop));
		at += whole;
		size -= whole;
	}
	return size == 0;
}

/* Return 0; 1 to leave the thing out, whose interface is gone; or a negative errno. */
static int add_attribute(const struct load *load, uint16_t type, const struct nlattr *attribute,
			 struct buffer *request)
{
	int kind = attribute->nla_type & NLA_TYPE_MASK;
	uint32_t index;
	int r;

	if (is_news(type, kind))
		return 0;
	if (type == RTM_NEWROUTE && kind == RTA_OIF) {
		if (netlink_size(attribute) != sizeof(index))
			return -EBADMSG;
		memcpy(&index, netlink_data(attribute), sizeof(index));
		index = new_index(load, index);
		return index ? netlink_attribute(request, RTA_OIF, &index, sizeof(index)) : 1;
	}
	if (type == RTM_NEWADDR && kind == IFA_FLAGS) {
		uint32_t flags;

		if (netlink_size(attribute) != sizeof(flags))
			return -EBADMSG;
		memcpy(&flags, netlink_data(attribute), sizeof(flags));
		/* The address was this machine's a moment ago: nobody else is asked. */
		flags = (flags & ~(uint32_t)IFA_F_TENTATIVE) | IFA_F_NODAD;
		return netlink_attribute(request, IFA_FLAGS, &flags, sizeof(flags));
	}
	r = netlink_attribute(request, attribute->nla_type, netlink_data(attribute),
			      netlink_size(attribute));
	if (r == 0 && type == RTM_NEWROUTE && kind == RTA_MULTIPATH &&
	    !map_hops(load, request->data + request->used - NLA_ALIGN(netlink_size(attribute)),
		      netlink_size(attribute)))
		return 1;
	return r;
}

/* Put the new number of its interface, if it has one, into the message's body. */
static bool map_body(const struct load *load, uint16_t type, char *body)
{
	if (type == RTM_NEWADDR) {
		struct ifaddrmsg *address = (void *)body;

		address->ifa_index = new_index(load, address->ifa_index);
		return address->ifa_index;
	}
	if (type == RTM_NEWNEIGH) {
		struct ndmsg *neighbour = (void *)body;

		neighbour->ndm_ifindex = (int)new_index(load, (uint32_t)neighbour->ndm_ifindex);
		if (!(neighbour->ndm_state & NUD_PERMANENT))
			neighbour->ndm_state = NUD_STALE;
		return neighbour->ndm_ifindex;
	}
	((struct rtmsg *)(void *)body)->rtm_flags &= ~(unsigned int)NO_CARRIER;
	return true;
}

static int load_message(struct load *load, const struct nlmsghdr *message)
{
	uint16_t type = message->nlmsg_type;
	size_t head = NLMSG_HDRLEN + NLMSG_ALIGN(body_size(type));
	_cleanup_buffer_ struct buffer request = { 0 };
	const char *at = (const char *)message + head;
	const char *end = (const char *)message + message->nlmsg_len;
	const struct nlattr *attribute;
	struct nlmsghdr *made;
	int r = buffer_add(&request, message, head);

	if (r < 0)
		return r;
	if (!map_body(load, type, request.data + NLMSG_HDRLEN))
		return 0;
	while (r == 0 && at < end) {
		attribute = netlink_next(&at, end);
		r = attribute ? add_attribute(load, type, attribute, &request) : -EBADMSG;
	}
	if (r)
		return r < 0 ? r : 0;
	made = (void *)request.data;
	made->nlmsg_len = (uint32_t)request.used;
	made->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	made->nlmsg_seq = 0;
	made->nlmsg_pid = 0;
	r = netlink_ask(load->fd, request.data, request.used);
	return r == -EEXIST ? 0 : r;
}

/* Addresses before routes, and routes that a gateway is reached by before those that have one. */
static int turn(const struct nlmsghdr *message)
{
	if (message->nlmsg_type == RTM_NEWADDR)
		return 0;
	if (message->nlmsg_type == RTM_NEWNEIGH)
		return 3;
	return netlink_find(message, sizeof(struct rtmsg), RTA_GATEWAY) ||
	       netlink_find(message, sizeof(struct rtmsg), RTA_VIA) ||
	       netlink_find(message, sizeof(struct rtmsg), RTA_MULTIPATH) ? 2 : 1;
}

#define TURNS 4

static const char *const things[TURNS] = { "an address", "a route", "a route", "a neighbour" };

static int load_entry(struct load *load, const struct net_entry *entry, const char *data, int now)
{
	const struct nlmsghdr *message = (const void *)data;
	int r;

	if (entry->kind == NET_LINK)
		return now == 0 ? load_link(load, data, entry->size) : 0;
	if (entry->kind != NET_MESSAGE || entry->size < NLMSG_HDRLEN ||
	    message->nlmsg_len != entry->size || !body_size(message->nlmsg_type) ||
	    entry->size < NLMSG_HDRLEN + NLMSG_ALIGN(body_size(message->nlmsg_type)))
		return problem_set(load->problem, EBADMSG, NULL, "cannot use the saved network");
	if (turn(message) != now)
		return 0;
	r = load_message(load, message);
	if (r == 0)
		return 0;
	problem_set(load->problem, -r, NULL, "cannot set up %s again", things[now]);
	/* Without its address an application cannot come back; without a route it can. */
	if (now == 0)
		return r;
	problem_print(load->problem);
	return 0;
}

static int load_all(struct load *load, const char *data, size_t size, int now)
{
	size_t at = sizeof(struct net_header);

	while (at < size) {
		struct net_entry entry;
		size_t whole;
		int r;

		if (size - at < sizeof(entry))
			return problem_set(load->problem, EBADMSG, NULL,
					   "cannot use the saved network");
		memcpy(&entry, data + at, sizeof(entry));
		at += sizeof(entry);
		whole = ((size_t)entry.size + 7) & ~7UL;
		if (whole > size - at)
			return problem_set(load->problem, EBADMSG, NULL,
					   "cannot use the saved network");
		r = load_entry(load, &entry, data + at, now);
		if (r < 0)
			return r;
		at += whole;
	}
	return 0;
}

/*
 * Set the network up as the record says: interfaces, which are known by their names, addresses,
 * routes, neighbours. What the record says is checked; what is there already may stay. @data is
 * aligned to 8 bytes. Return 0 or a negative errno, with @problem set.
 */
int net_load(const void *data, size_t size, struct problem *problem)
{
	static struct load load;
	struct net_header header;
	int r = 0;

	if (size < sizeof(header) || size > NET_SIZE_MAX)
		return problem_set(problem, EBADMSG, NULL, "cannot use the saved network");
	memcpy(&header, data, sizeof(header));
	if (header.magic != NET_MAGIC || header.version != NET_VERSION || header.size != size)
		return problem_set(problem, EBADMSG, NULL, "cannot use the saved network");
	load.count = 0;
	load.waited_ms = 0;
	load.problem = problem;
	load.fd = netlink_open(NETLINK_ROUTE);
	if (load.fd < 0)
		return problem_set(problem, -load.fd, NULL, "cannot set up the network");
	for (int now = 0; r == 0 && now < TURNS; now++)
		r = load_all(&load, data, size, now);
	close(load.fd);
	return r;
}

/*
 * Have the loopback interface up, before anything else of the network is: CRIU connects to itself by
 * it, to see what the kernel can do, and gives up where it cannot.
 */
int net_loopback(struct problem *problem)
{
	_cleanup_close_ int fd = netlink_open(NETLINK_ROUTE);
	int r = fd < 0 ? fd : set_link(fd, if_nametoindex("lo"), 0);

	return r < 0 ? problem_set(problem, -r, NULL, "cannot set up the loopback interface") : 0;
}
