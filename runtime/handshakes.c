// SPDX-License-Identifier: GPL-2.0-only
#include "handshakes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "netlink.h"
#include "state.h"

#define POLL_MS 2
/* As <netinet/tcp.h> counts states; <linux/tcp.h> has no names for them. */
#define SYN_RECEIVED 3
#define LISTENS 10

struct search {
	const uint16_t *ports;
	size_t count;
	size_t pending;
};

static int take(void *data, const struct nlmsghdr *message)
{
	struct search *search = data;
	struct inet_diag_msg socket;

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(socket)))
		return -EBADMSG;
	memcpy(&socket, NLMSG_DATA(message), sizeof(socket));
	for (size_t i = 0; i < search->count; i++) {
		if (search->ports[i] != ntohs(socket.id.idiag_sport))
			continue;
		/* Of one that listens, the queue is how many wait to be accepted. */
		search->pending += socket.idiag_state == LISTENS ? socket.idiag_rqueue : 1;
		break;
	}
	return 0;
}

/* Count them, on TCP @ports of this machine. Return 0 or a negative errno. */
int handshakes_count(const uint16_t *ports, size_t count, size_t *pending)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct search search = { ports, count, 0 };
	_cleanup_close_ int fd = netlink_open(NETLINK_SOCK_DIAG);
	int r = fd < 0 ? fd : 0;

	for (size_t i = 0; r == 0 && i < sizeof(families); i++) {
		const struct {
			struct nlmsghdr head;
			struct inet_diag_req_v2 body;
		} request = {
			.head = {
				.nlmsg_len = sizeof(request),
				.nlmsg_type = SOCK_DIAG_BY_FAMILY,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			},
			.body = {
				.sdiag_family = families[i],
				.sdiag_protocol = IPPROTO_TCP,
				.idiag_states = 1U << SYN_RECEIVED | 1U << LISTENS,
			},
		};

		r = netlink_dump(fd, &request, sizeof(request), take, &search);
	}
	*pending = search.pending;
	return r;
}

/* Wait until there are none, or for so long: one whose other side has gone stays a minute. */
void handshakes_wait(const uint16_t *ports, size_t count, unsigned int patience_ms)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
	const uint64_t end = state_now_ms() + patience_ms;
	size_t pending;

	while (handshakes_count(ports, count, &pending) == 0 && pending && state_now_ms() < end)
		nanosleep(&pause, NULL);
}
