// SPDX-License-Identifier: GPL-2.0-only
#include "wake.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state.h"

#define PATIENCE_MS 1000
#define DUPLICATES 3 /* after so many acknowledgements of the same, RFC 5681 sends again */
#define BACKOFFS 12  /* from 0.2 s, so often doubled, it is 13 minutes */

/*
 * Tell the other side of every connection of the processes, which must stand still, that there is no
 * room: it then keeps what it has to send, where otherwise it would send that in vain, and wait twice
 * as long after each try. One that does not heed it does just that.
 *
 * A socket of the kernel takes nothing back that it has offered, so this goes past it. When the socket
 * sends again, it says how much room there is.
 */
int hush(const pid_t *pids, size_t count, struct problem *problem)
{
	_cleanup_connections_ struct connections connections = { 0 };
	_cleanup_wire_ struct wire wire = WIRE_NONE;
	int r = tcp_connections(pids, count, false, &connections, problem);

	if (connections.count && wire_open(&wire, problem) < 0)
		return -EIO;
	for (size_t i = 0; i < connections.count; i++) {
		int one = segment_send(&wire, &connections.list[i], 0);

		if (one < 0 && r == 0)
			r = problem_set(problem, -one, NULL, "cannot tell a client to wait");
	}
	return r;
}

static int by_ends(const void *one, const void *other)
{
	const struct connection *a = one;
	const struct connection *b = other;
	int r = memcmp(&a->there.sin6_addr, &b->there.sin6_addr, sizeof(a->there.sin6_addr));

	if (r == 0)
		r = a->there.sin6_port - b->there.sin6_port;
	return r ? r : a->here.sin6_port - b->here.sin6_port;
}

/*
 * Tell the other side of every connection of the processes, which must stand still, that there is
 * room again, and ask where it is; wake_missing() comes next, and may come when they run. What could
 * not be told is in the problem, and the rest is done nevertheless. Return 0 or a negative errno.
 */
int wake(struct waking *waking, const pid_t *pids, size_t count, struct problem *problem)
{
	struct connections *connections = &waking->connections;
	/* Opened before anything is asked: the answer may come at once. */
	int r = wire_open(&waking->wire, problem);

	if (r < 0)
		return r;
	r = tcp_connections(pids, count, true, connections, problem);
	if (connections->count)
		qsort(connections->list, connections->count, sizeof(*connections->list), by_ends);
	for (size_t i = 0; i < connections->count; i++) {
		const struct connection *connection = &connections->list[i];
		int one = segment_send(&waking->wire, connection, connection->window);

		if (one < 0 && r == 0)
			r = problem_set(problem, -one, NULL, "cannot wake a client");
	}
	return r;
}

/*
 * It has sent what did not arrive, and waits for its timer: have it send that again now. There are
 * two ways to say so, each understood where the other may not be.
 */
static void ask_again(const struct wire *wire, const struct connection *connection)
{
	for (int i = 0; i < DUPLICATES; i++)
		segment_send(wire, connection, connection->window);
	for (int i = 0; i < BACKOFFS; i++)
		segment_unreachable(wire, connection);
}

/* Return whether this is the first that is heard of a connection. */
static bool take(struct waking *waking, const struct heard *heard, bool *is_known)
{
	const struct connection key = {
		.here = { .sin6_port = heard->port_here },
		.there = { .sin6_port = heard->port_there, .sin6_addr = heard->there },
	};
	struct connections *connections = &waking->connections;
	const struct connection *connection =
		bsearch(&key, connections->list, connections->count, sizeof(key), by_ends);
	bool *known;

	if (!connection)
		return false;
	known = &is_known[connection - connections->list];
	if (*known)
		return false;
	*known = true;
	if ((int32_t)(heard->sequence - connection->received) > 0)
		ask_again(&waking->wire, connection);
	return true;
}

static void listen_to_all(struct waking *waking)
{
	struct pollfd polled[] = {
		{ .fd = waking->wire.tcp4, .events = POLLIN },
		{ .fd = waking->wire.tcp6, .events = POLLIN },
	};
	size_t left = waking->connections.count;
	bool *is_known = calloc(left, sizeof(*is_known));
	const uint64_t end = state_now_ms() + PATIENCE_MS;

	while (is_known && left) {
		const uint64_t now = state_now_ms();

		if (now >= end || (poll(polled, 2, (int)(end - now)) < 0 && errno != EINTR))
			break;
		for (int i = 0; i < 2; i++) {
			struct heard heard;
			int r = 0;

			while ((polled[i].revents & POLLIN) && left && r >= 0) {
				r = segment_hear(polled[i].fd, i == 0, &heard);
				left -= r > 0 && take(waking, &heard, is_known);
			}
		}
	}
	free(is_known);
}

/*
 * Hear what the other sides answer, for a second at most, and have those send again whose last did not
 * arrive. A process of its own does so, whose number is returned, or less than 1 for none; nobody
 * needs to wait for it. What @waking holds is released here.
 */
pid_t wake_missing(struct waking *waking)
{
	pid_t pid = waking->connections.count ? fork() : 0;

	if (pid == 0 && waking->connections.count) {
		listen_to_all(waking);
		_exit(0);
	}
	wire_close(&waking->wire);
	connections_free(&waking->connections);
	return pid;
}
