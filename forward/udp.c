/* udp.c - the UDP side of a worker: its listeners, and the turns in which datagrams pass. */
#include "forward/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "forward/port.h"
#include "forward/udp_flow.h"

enum {
	SOCKET_BYTES = 4 << 20,         /* a listener's: all clients come and go through it */
	DESCRIPTORS_KEPT = 128,         /* for resolvers, the ring */
	FLOWS_MAX = 2000000,
	RETRY_MS = 100,
};

static void on_retry(struct timer *timer)
{
	struct udp_listener *listener = container_of(timer, struct udp_listener, retry);

	if (!listener->owner.closing)
		udp_receive(&listener->rx);
	owner_release(&listener->owner);
}

static bool on_failed(struct udp_rx *rx, int err)
{
	struct udp_listener *listener = container_of(rx, struct udp_listener, rx);
	struct loop *loop = listener->owner.loop;

	(void)err;
	metric_add(&rx->inlet->metrics->datagram_errors, 1);
	owner_hold(&listener->owner);
	timer_arm(&loop->timers, &listener->retry, loop->now_ms + RETRY_MS);
	return false;
}

static void on_client(struct udp_rx *rx, const struct datagram *datagram)
{
	udp_flow_client(container_of(rx, struct udp_listener, rx), datagram);
}

/* As large as the system lets us: what a burst needs, and memory only while it is full. */
static void ask_for_room(int fd)
{
	static const int names[][2] = { { SO_RCVBUFFORCE, SO_RCVBUF },
					{ SO_SNDBUFFORCE, SO_SNDBUF } };
	int bytes = SOCKET_BYTES;

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (setsockopt(fd, SOL_SOCKET, names[i][0], &bytes, sizeof(bytes)) < 0)
			(void)setsockopt(fd, SOL_SOCKET, names[i][1], &bytes, sizeof(bytes));
}

static int open_socket(const union addr *addr)
{
	int fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int one = 1, err;

	if (fd < 0)
		return -errno;
	/* The kernel spreads clients over the workers' sockets; one stays with one. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (addr->sa.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	ask_for_room(fd);
	err = udp_receive_prepare(fd, addr->sa.sa_family, true);
	if (err == 0)
		err = listener_bind(fd, addr);
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

static void listener_free(struct owner *owner)
{
	struct udp_listener *listener = container_of(owner, struct udp_listener, owner);

	close(listener->rx.fd);
	*listener->link = listener->next;
	if (listener->next)
		listener->next->link = listener->link;
	free(listener);
}

int udp_listen(struct udp *udp, const struct filter_listener *what)
{
	struct loop *loop = &udp->filter->worker->loop;
	struct udp_listener *listener = calloc(1, sizeof(*listener));
	int fd = listener ? open_socket(&what->addr) : -ENOMEM;

	if (fd < 0) {
		free(listener);
		return fd;
	}
	*listener = (struct udp_listener){
		.owner = { .loop = loop, .free = listener_free },
		.udp = udp, .port = what->port, .addr = what->addr,
		.number = udp->listener_count++,
		.retry = { .fire = on_retry },
		.next = udp->listeners, .link = &udp->listeners,
	};
	listener->rx = (struct udp_rx){ .op = { .owner = &listener->owner }, .inlet = &udp->inlet,
					.fd = fd, .named = true, .got = on_client,
					.failed = on_failed };
	listener->cancel.owner = &listener->owner;
	if (listener->next)
		listener->next->link = &listener->next;
	udp->listeners = listener;
	udp_receive(&listener->rx);
	return 0;
}

static void listener_close(struct udp_listener *listener)
{
	struct owner *owner = &listener->owner;

	if (owner->closing)
		return;
	if (op_idle(&listener->rx.op))
		op_nop(&listener->cancel);
	else
		op_cancel(&listener->cancel, &listener->rx.op);
	owner->closing = true;
	if (timer_armed(&listener->retry)) {
		timer_cancel(&owner->loop->timers, &listener->retry);
		owner_release(owner);
	}
}

/* One descriptor each. */
static uint32_t flows_by_descriptors(const struct filter_settings *settings)
{
	rlim_t kept = DESCRIPTORS_KEPT + settings->listener_count;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 512;
	if (limit.rlim_cur <= 2 * kept)
		return limit.rlim_cur < 64 ? 16 : (uint32_t)limit.rlim_cur / 4;
	return limit.rlim_cur > FLOWS_MAX ? FLOWS_MAX : (uint32_t)(limit.rlim_cur - kept);
}

int udp_open(struct filter *filter, struct udp **out)
{
	struct udp *udp = calloc(1, sizeof(*udp));
	uint32_t flows = flows_by_descriptors(filter->settings);
	int err;

	*out = udp;
	if (!udp)
		return -ENOMEM;
	udp->filter = filter;
	udp->inlet.metrics = &filter->worker->metrics;
	if ((err = pool_init(&udp->flows, sizeof(struct udp_flow), flows)) < 0 ||
	    (err = udp_table_init(&udp->table, flows)) < 0)
		return err;
	return loop_open_datagrams(&filter->worker->loop, UDP_BUFS, UDP_BUFS_MAX);
}

static bool is_open(const struct udp_flow *flow)
{
	return flow->owner.free && !flow->owner.closing;
}

void udp_close(struct udp *udp)
{
	for (struct udp_listener *listener = udp->listeners; listener; listener = listener->next)
		listener_close(listener);
	for (uint32_t i = 0; i < udp->flows.fresh; i++) {
		struct udp_flow *flow = pool_item(&udp->flows, i);

		if (is_open(flow))
			udp_flow_close(flow, CLOSE_SHUTDOWN);
	}
}

bool udp_idle(const struct udp *udp)
{
	return !udp->listeners && udp->flows.used == 0;
}

void udp_finish(struct udp *udp)
{
	if (!udp)
		return;
	udp_table_finish(&udp->table);
	pool_finish(&udp->flows);
	free(udp);
}

void udp_turn(struct udp *udp)
{
	while (udp->busy) {
		struct udp_lane *lane = udp->busy;

		udp->busy = lane->next_busy;
		udp_lane_flush(lane);
	}
	if (udp->inlet.starved)
		udp_feed_starved(&udp->inlet);
}
