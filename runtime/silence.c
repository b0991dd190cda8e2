// SPDX-License-Identifier: GPL-2.0-only
#include "silence.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "buffer.h"
#include "cleanup.h"
#include "netlink.h"

#define TABLE "sku"
#define CRIU_PREFIX "CRIU-"
#define PRIORITY -300	  /* before connection tracking */
#define SOURCE_PORT 0	  /* offsets in a TCP header */
#define DESTINATION_PORT 2
#define FLAGS 13
#define FLAGS_SYN_ACK 0x12
#define FLAGS_SYN 0x02
#define DELETE_TRIES 3

/* A batch that is being made. The first of its errors stays; no later call adds anything. */
struct batch {
	struct buffer data;
	size_t message; /* where the message begins that is being made */
	int error;
};

static void add(struct batch *batch, const void *data, size_t size)
{
	if (!batch->error)
		batch->error = buffer_add(&batch->data, data, size);
}

static void begin(struct batch *batch, uint16_t type, uint16_t flags, uint8_t family)
{
	struct {
		struct nlmsghdr head;
		struct nfgenmsg body;
	} message = {
		.head = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags },
		.body = { .nfgen_family = family, .version = NFNETLINK_V0 },
	};

	if (type == NFNL_MSG_BATCH_BEGIN || type == NFNL_MSG_BATCH_END)
		message.body.res_id = htons(NFNL_SUBSYS_NFTABLES);
	else
		message.head.nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	batch->message = batch->data.used;
	add(batch, &message, sizeof(message));
}

static void end(struct batch *batch)
{
	uint32_t size = (uint32_t)(batch->data.used - batch->message);

	if (!batch->error)
		memcpy(batch->data.data + batch->message, &size, sizeof(size));
}

static void attribute(struct batch *batch, uint16_t type, const void *data, size_t size)
{
	if (!batch->error)
		batch->error = netlink_attribute(&batch->data, type, data, size);
}

static void text(struct batch *batch, uint16_t type, const char *value)
{
	attribute(batch, type, value, strlen(value) + 1);
}

/* nf_tables has its numbers in network order. */
static void number(struct batch *batch, uint16_t type, uint32_t value)
{
	uint32_t wire = htonl(value);

	attribute(batch, type, &wire, sizeof(wire));
}

static size_t open_nest(struct batch *batch, uint16_t type)
{
	struct nlattr head = { .nla_type = (uint16_t)(type | NLA_F_NESTED) };
	size_t at = batch->data.used;

	add(batch, &head, sizeof(head));
	return at;
}

static void close_nest(struct batch *batch, size_t at)
{
	uint16_t size = (uint16_t)(batch->data.used - at);

	if (!batch->error)
		memcpy(batch->data.data + at, &size, sizeof(size));
}

/* Where an expression of a rule begins, and its data. */
struct expression {
	size_t element;
	size_t data;
};

static struct expression open_expression(struct batch *batch, const char *name)
{
	struct expression expression;

	expression.element = open_nest(batch, NFTA_LIST_ELEM);
	text(batch, NFTA_EXPR_NAME, name);
	expression.data = open_nest(batch, NFTA_EXPR_DATA);
	return expression;
}

static void close_expression(struct batch *batch, struct expression expression)
{
	close_nest(batch, expression.data);
	close_nest(batch, expression.element);
}

static void load_meta(struct batch *batch, uint32_t key)
{
	struct expression meta = open_expression(batch, "meta");

	number(batch, NFTA_META_DREG, NFT_REG_1);
	number(batch, NFTA_META_KEY, key);
	close_expression(batch, meta);
}

static void load_header(struct batch *batch, uint32_t offset, uint32_t size)
{
	struct expression load = open_expression(batch, "payload");

	number(batch, NFTA_PAYLOAD_DREG, NFT_REG_1);
	number(batch, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
	number(batch, NFTA_PAYLOAD_OFFSET, offset);
	number(batch, NFTA_PAYLOAD_LEN, size);
	close_expression(batch, load);
}

static void set_value(struct batch *batch, uint16_t type, const void *value, size_t size)
{
	size_t nest = open_nest(batch, type);

	attribute(batch, NFTA_DATA_VALUE, value, size);
	close_nest(batch, nest);
}

static void equals(struct batch *batch, const void *value, size_t size)
{
	struct expression compare = open_expression(batch, "cmp");

	number(batch, NFTA_CMP_SREG, NFT_REG_1);
	number(batch, NFTA_CMP_OP, NFT_CMP_EQ);
	set_value(batch, NFTA_CMP_DATA, value, size);
	close_expression(batch, compare);
}

static void mask(struct batch *batch, uint8_t bits)
{
	const uint8_t none = 0;
	struct expression bitwise = open_expression(batch, "bitwise");

	number(batch, NFTA_BITWISE_SREG, NFT_REG_1);
	number(batch, NFTA_BITWISE_DREG, NFT_REG_1);
	number(batch, NFTA_BITWISE_LEN, sizeof(bits));
	set_value(batch, NFTA_BITWISE_MASK, &bits, sizeof(bits));
	set_value(batch, NFTA_BITWISE_XOR, &none, sizeof(none));
	close_expression(batch, bitwise);
}

static void verdict(struct batch *batch, uint32_t code)
{
	struct expression immediate = open_expression(batch, "immediate");
	size_t data;
	size_t nest;

	number(batch, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = open_nest(batch, NFTA_IMMEDIATE_DATA);
	nest = open_nest(batch, NFTA_DATA_VERDICT);
	number(batch, NFTA_VERDICT_CODE, code);
	close_nest(batch, nest);
	close_nest(batch, data);
	close_expression(batch, immediate);
}

static size_t open_rule(struct batch *batch, const char *chain)
{
	begin(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, NFPROTO_INET);
	text(batch, NFTA_RULE_TABLE, TABLE);
	text(batch, NFTA_RULE_CHAIN, chain);
	return open_nest(batch, NFTA_RULE_EXPRESSIONS);
}

static void close_rule(struct batch *batch, size_t nest)
{
	close_nest(batch, nest);
	end(batch);
}

/* meta mark 0xC114 accept */
static void add_exception(struct batch *batch, const char *chain)
{
	const uint32_t mark = SILENCE_MARK; /* a register holds it as this machine does */
	size_t nest = open_rule(batch, chain);

	load_meta(batch, NFT_META_MARK);
	equals(batch, &mark, sizeof(mark));
	verdict(batch, NF_ACCEPT);
	close_rule(batch, nest);
}

/* tcp dport PORT drop, or sport; or only tcp flags & (syn | ack) == syn */
static void add_port(struct batch *batch, const char *chain, uint32_t offset, uint16_t port,
		     bool only_first)
{
	const uint8_t first = FLAGS_SYN;
	const uint8_t protocol = IPPROTO_TCP;
	const uint16_t wire = htons(port);
	size_t nest = open_rule(batch, chain);

	load_meta(batch, NFT_META_L4PROTO);
	equals(batch, &protocol, sizeof(protocol));
	load_header(batch, offset, sizeof(wire));
	equals(batch, &wire, sizeof(wire));
	if (only_first) {
		load_header(batch, FLAGS, sizeof(first));
		mask(batch, FLAGS_SYN_ACK);
		equals(batch, &first, sizeof(first));
	}
	verdict(batch, NF_DROP);
	close_rule(batch, nest);
}

static void add_chain(struct batch *batch, const char *name, uint32_t hook)
{
	size_t nest;

	begin(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE, NFPROTO_INET);
	text(batch, NFTA_CHAIN_TABLE, TABLE);
	text(batch, NFTA_CHAIN_NAME, name);
	nest = open_nest(batch, NFTA_CHAIN_HOOK);
	number(batch, NFTA_HOOK_HOOKNUM, hook);
	number(batch, NFTA_HOOK_PRIORITY, (uint32_t)PRIORITY);
	close_nest(batch, nest);
	number(batch, NFTA_CHAIN_POLICY, NF_ACCEPT);
	text(batch, NFTA_CHAIN_TYPE, "filter");
	end(batch);
}

static void name_table(struct batch *batch, uint16_t type, uint16_t flags, const char *name)
{
	begin(batch, type, flags, NFPROTO_INET);
	text(batch, NFTA_TABLE_NAME, name);
	end(batch);
}

static void begin_batch(struct batch *batch)
{
	begin(batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC);
	end(batch);
}

/* The end is acknowledged: by then all of the batch is done, or an error has been told. */
static int finish_batch(struct batch *batch)
{
	_cleanup_close_ int fd = -1;
	uint16_t flags;
	struct nlmsghdr head;
	int size;

	/* The last message before the end asks for the acknowledgement. */
	if (batch->error)
		return batch->error;
	memcpy(&head, batch->data.data + batch->message, sizeof(head));
	flags = (uint16_t)(head.nlmsg_flags | NLM_F_ACK);
	memcpy(batch->data.data + batch->message + offsetof(struct nlmsghdr, nlmsg_flags), &flags,
	       sizeof(flags));
	begin(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC);
	end(batch);
	if (batch->error)
		return batch->error;
	fd = netlink_open(NETLINK_NETFILTER);
	/* One message, however many ports there are. */
	size = (int)batch->data.used * 2;
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		return -errno;
	return fd < 0 ? fd : netlink_ask(fd, batch->data.data, batch->data.used);
}

/*
 * Drop packets that come to and go from the TCP @ports of this machine, in place of what was dropped
 * before. Return 0 or a negative errno, with @problem set.
 */
int silence_on(const uint16_t *ports, size_t count, enum silence what, struct problem *problem)
{
	struct batch batch = { 0 };
	int r;

	begin_batch(&batch);
	/* Made, so that it can be removed with all that was in it, and made again. */
	name_table(&batch, NFT_MSG_NEWTABLE, NLM_F_CREATE, TABLE);
	name_table(&batch, NFT_MSG_DELTABLE, 0, TABLE);
	name_table(&batch, NFT_MSG_NEWTABLE, NLM_F_CREATE, TABLE);
	add_chain(&batch, "in", NF_INET_LOCAL_IN);
	add_chain(&batch, "out", NF_INET_LOCAL_OUT);
	add_exception(&batch, "in");
	add_exception(&batch, "out");
	for (size_t i = 0; i < count; i++) {
		add_port(&batch, "in", DESTINATION_PORT, ports[i], what != SILENCE_ALL);
		if (what != SILENCE_NEW)
			add_port(&batch, "out", SOURCE_PORT, ports[i], false);
	}
	r = finish_batch(&batch);
	buffer_free(&batch.data);
	return r < 0 ? problem_set(problem, -r, "build the kernel with the fragment checkpoint",
				   "cannot keep the application's ports silent") : 0;
}

struct found {
	struct batch batch;
	size_t count;
};

/* Our table, and those of CRIU, which stay behind when it is killed or leaves the tasks stopped. */
static int find_table(void *data, const struct nlmsghdr *message)
{
	const struct nlattr *name = netlink_find(message, sizeof(struct nfgenmsg), NFTA_TABLE_NAME);
	struct found *found = data;
	const char *value;

	if (!name)
		return -EBADMSG;
	value = netlink_data(name);
	if (strcmp(value, TABLE) && strncmp(value, CRIU_PREFIX, strlen(CRIU_PREFIX)))
		return 0;
	name_table(&found->batch, NFT_MSG_DELTABLE, 0, value);
	found->count++;
	return found->batch.error;
}

static int find_tables(struct found *found)
{
	_cleanup_close_ int fd = netlink_open(NETLINK_NETFILTER);
	struct batch request = { 0 };
	int r = fd;

	if (fd < 0)
		return fd;
	begin(&request, NFT_MSG_GETTABLE, NLM_F_DUMP, NFPROTO_INET);
	end(&request);
	r = request.error;
	if (r == 0)
		r = netlink_dump(fd, request.data.data, request.data.used, find_table, found);
	buffer_free(&request.data);
	return r;
}

/* Without nf_tables in the kernel there is nothing to delete. */
static bool is_missing(int r)
{
	return r == -EOPNOTSUPP || r == -EPROTONOSUPPORT || r == -EINVAL;
}

/* Let everything through again, CRIU's own silence included. None there is fine. */
int silence_off(struct problem *problem)
{
	int r = -ENOENT;

	/* A table that somebody else deletes meanwhile makes the whole batch fail. */
	for (int tries = 0; r == -ENOENT && tries < DELETE_TRIES; tries++) {
		struct found found = { 0 };

		begin_batch(&found.batch);
		r = find_tables(&found);
		if (is_missing(r))
			r = 0;
		else if (r == 0 && found.count)
			r = finish_batch(&found.batch);
		buffer_free(&found.batch.data);
	}
	return r < 0 ? problem_set(problem, -r, "nft list tables; nft delete table inet " TABLE,
				   "cannot let the application's ports be heard again") : 0;
}
