/* listen.c - our listeners: multishot accept, errors, room. */
#include "forward/listen.h"

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "forward/admit.h"
#include "forward/conn.h"
#include "forward/filter.h"

enum {
	BACKLOG = 4096,
	BIND_TRIES = 100, BIND_PAUSE_MS = 10,
	KEEPALIVE_PROBES = 4,           /* without an answer; then the peer is gone */
	ACCEPT_PAUSE_MS = 100,          /* after EMFILE and the like: let others close first */
};

static op_fn on_accept;

bool filter_redirected_from(int fd, sa_family_t family, union addr *dst)
{
	socklen_t len = sizeof(*dst);
	int level = family == AF_INET ? SOL_IP : SOL_IPV6;

	/* IP6T_SO_ORIGINAL_DST has the same number. */
	if (getsockopt(fd, level, SO_ORIGINAL_DST, dst, &len) == 0)
		return true;
	dst->sa.sa_family = 0;
	return false;
}

static void on_retry(struct timer *timer)
{
	struct listener *listener = container_of(timer, struct listener, retry);

	if (!listener->owner.closing)
		op_accept(&listener->accept, listener->fd, on_accept);
	owner_release(&listener->owner);
}

static void accept_failed(struct listener *listener, int err)
{
	struct filter *filter = listener->filter;
	uint32_t count = flood_count(&filter->accept_errors, listener->owner.loop->now_ms);

	metric_add(&filter->worker->metrics.accept_errors, 1);
	if (count > 0)
		event_emit(filter->worker->events,
			   &(struct event){ .kind = EVENT_ACCEPT_ERROR, .error = -err,
					    .count = count });
}

static void on_accept(struct op *op, int res, uint32_t flags)
{
	struct listener *listener = container_of(op, struct listener, accept);
	struct loop *loop = listener->owner.loop;
	bool broken = res < 0 && res != -ECONNABORTED && res != -EINTR && res != -EAGAIN;

	if (res >= 0)
		admit(listener, res);
	else if (broken)
		accept_failed(listener, res);
	if (flags & IORING_CQE_F_MORE)
		return;
	if (!broken)
		return op_accept(op, listener->fd, on_accept);
	owner_hold(&listener->owner);
	timer_arm(&loop->timers, &listener->retry, loop->now_ms + ACCEPT_PAUSE_MS);
}

static void listener_free(struct owner *owner)
{
	struct listener *listener = container_of(owner, struct listener, owner);

	close(listener->fd);
	*listener->link = listener->next;
	if (listener->next)
		listener->next->link = listener->link;
	free(listener);
}

void listener_keepalive(int fd, uint64_t after_ms)
{
	int one = 1, idle = (int)((after_ms + 999) / 1000), between = (idle + 3) / 4;
	int probes = KEEPALIVE_PROBES;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof(between));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}

int listener_bind(int fd, const union addr *addr)
{
	struct timespec pause = { .tv_nsec = BIND_PAUSE_MS * 1000000L };

	for (unsigned i = 0; i < BIND_TRIES; i++) {
		if (bind(fd, &addr->sa, addr_len(addr)) == 0)
			return 0;
		if (errno != EADDRINUSE)
			break;
		nanosleep(&pause, NULL);
	}
	return -errno;
}

static int open_socket(const union addr *addr, enum conn_kind kind, uint64_t keepalive_ms)
{
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1, zero = 0, err;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	/* Accepted sockets inherit it. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* Clients of TLS and HTTP speak first: wait for what they say, a second at the most. */
	if (kind != CONN_PLAIN)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one));
	if (keepalive_ms > 0)
		listener_keepalive(fd, keepalive_ms);
	if (addr->sa.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	err = listener_bind(fd, addr);
	if (err == 0 && listen(fd, BACKLOG) < 0)
		err = -errno;
	/* Inherited too, when set on a listening socket: the first bytes are acknowledged by the
	 * answer to them, or after 40 ms.  Not where a client may wait for that between two pieces
	 * of what it says. */
	if (kind == CONN_TLS)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &zero, sizeof(zero));
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

int listener_open(struct filter *filter, const struct filter_listener *what)
{
	struct loop *loop = &filter->worker->loop;
	struct listener *listener = calloc(1, sizeof(*listener));
	int fd = listener ? open_socket(&what->addr, what->kind, filter->settings->keepalive_ms) :
			    -ENOMEM;

	if (fd < 0) {
		free(listener);
		return fd;
	}
	*listener = (struct listener){
		.owner = { .loop = loop, .free = listener_free },
		.filter = filter, .addr = what->addr, .kind = what->kind, .port = what->port,
		.fd = fd, .retry = { .fire = on_retry },
		.next = filter->listeners, .link = &filter->listeners,
	};
	if (listener->next)
		listener->next->link = &listener->next;
	filter->listeners = listener;
	listener->accept.owner = listener->cancel.owner = &listener->owner;
	op_accept(&listener->accept, fd, on_accept);
	return 0;
}

static void listener_close(struct listener *listener)
{
	struct owner *owner = &listener->owner;

	if (owner->closing)
		return;
	op_cancel_fd(&listener->cancel, listener->fd);
	owner->closing = true;
	if (timer_armed(&listener->retry)) {
		timer_cancel(&owner->loop->timers, &listener->retry);
		owner_release(owner);
	}
}

void listeners_close(struct filter *filter)
{
	for (struct listener *listener = filter->listeners; listener; listener = listener->next)
		listener_close(listener);
}
