/* dns_udp.c - clients that ask by UDP: datagrams in by one request that goes on, answers out
 * together at the end of a turn.
 *
 * An answer leaves from the listener's own address, so the kernel's connection tracking turns it
 * into one of the server that the client asked. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forward/dns.h"
#include "forward/dns_batch.h"
#include "forward/udp_train.h"

enum {
	SOCKET_BYTES = 4 << 20,         /* what a burst needs; memory only while it is full */
	RETRY_MS = 100,
	FLOOD_FROM = 4, FLOOD_FULL = 32, /* answers of a turn: more than a pair; enough */
	GATHER_US = 120,
};

struct dns_udp {
	struct owner owner;
	struct dns *dns;
	struct udp_rx rx;
	struct op cancel;
	struct timer retry;             /* after an error: received from again later */
	union addr addr;
	struct dns_ask *asks;           /* that wait */
	struct dns_udp *next, **link;
};

static void count_dropped(struct dns *dns, unsigned dropped)
{
	if (dropped > 0)
		metric_add(&dns->inlet.metrics->dns_dropped, dropped);
}

/* Many answers from the cache in one turn: clients that ask as fast as they can.  Their questions
 * are waited for a moment, because a few at a time cost a wake-up of ours and of theirs each. */
static bool is_flood(const struct dns *dns)
{
	unsigned count = dns_batch_count(dns->batch);

	return count >= FLOOD_FROM && count < FLOOD_FULL && dns->asks.used == 0;
}

void dns_turn(struct dns *dns)
{
	if (is_flood(dns))
		dns->filter->worker->loop.gather_us = GATHER_US;
	count_dropped(dns, dns_batch_flush(dns->batch));
	if (dns->inlet.starved)
		udp_feed_starved(&dns->inlet);
}

void dns_udp_send(struct dns_udp *udp, const union addr *to, const uint8_t *data, size_t len)
{
	count_dropped(udp->dns, dns_batch_add(udp->dns->batch, udp->rx.fd, to, data, len));
}

struct owner *dns_udp_owner(struct dns_udp *udp)
{
	return &udp->owner;
}

struct dns_ask **dns_udp_asks(struct dns_udp *udp)
{
	return &udp->asks;
}

const union addr *dns_udp_addr(const struct dns_udp *udp)
{
	return &udp->addr;
}

static void on_client(struct udp_rx *rx, const struct datagram *datagram)
{
	struct dns_udp *udp = container_of(rx, struct dns_udp, rx);
	struct dns_ask from = { .udp = udp };

	memcpy(&from.client, datagram->from, addr_len(datagram->from));
	if (datagram->len <= DNS_MESSAGE_MAX)
		dns_ask(udp->dns, &from, datagram->data, datagram->len);
	else
		count_dropped(udp->dns, 1);
	bufs_return(&udp->owner.loop->datagrams, datagram->buf);
}

static void on_retry(struct timer *timer)
{
	struct dns_udp *udp = container_of(timer, struct dns_udp, retry);

	if (!udp->owner.closing)
		udp_receive(&udp->rx);
	owner_release(&udp->owner);
}

static bool on_failed(struct udp_rx *rx, int err)
{
	struct dns_udp *udp = container_of(rx, struct dns_udp, rx);
	struct loop *loop = udp->owner.loop;

	metric_add(&rx->inlet->metrics->datagram_errors, 1);
	if (udp_is_icmp(-err))
		return true;
	owner_hold(&udp->owner);
	timer_arm(&loop->timers, &udp->retry, loop->now_ms + RETRY_MS);
	return false;
}

static void ask_for_room(int fd)
{
	int bytes = SOCKET_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static int open_socket(const union addr *addr)
{
	int fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int one = 1, err;
	/* Answers are small enough for any path: no identification to choose for each. */
	int whole = IP_PMTUDISC_PROBE;

	if (fd < 0)
		return -errno;
	/* The kernel spreads clients' ports over the workers' sockets. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (addr->sa.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	else
		(void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &whole, sizeof(whole));
	ask_for_room(fd);
	err = listener_bind(fd, addr);
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

static void udp_free(struct owner *owner)
{
	struct dns_udp *udp = container_of(owner, struct dns_udp, owner);

	dns_asks_drop(udp->asks);
	close(udp->rx.fd);
	*udp->link = udp->next;
	if (udp->next)
		udp->next->link = udp->link;
	free(udp);
}

int dns_listen(struct dns *dns, const union addr *addr)
{
	struct dns_udp *udp = calloc(1, sizeof(*udp));
	int fd = udp ? open_socket(addr) : -ENOMEM;

	if (fd < 0) {
		free(udp);
		return fd;
	}
	*udp = (struct dns_udp){
		.owner = { .loop = &dns->filter->worker->loop, .free = udp_free },
		.dns = dns, .addr = *addr, .retry = { .fire = on_retry },
		.next = dns->sockets, .link = &dns->sockets,
	};
	udp->rx = (struct udp_rx){ .op = { .owner = &udp->owner }, .inlet = &dns->inlet, .fd = fd,
				   .named = true, .got = on_client, .failed = on_failed };
	udp->cancel.owner = &udp->owner;
	if (udp->next)
		udp->next->link = &udp->next;
	dns->sockets = udp;
	udp_receive(&udp->rx);
	return 0;
}

static void udp_close(struct dns_udp *udp)
{
	struct owner *owner = &udp->owner;

	if (owner->closing)
		return;
	if (op_idle(&udp->rx.op))
		op_nop(&udp->cancel);
	else
		op_cancel(&udp->cancel, &udp->rx.op);
	owner->closing = true;
	if (timer_armed(&udp->retry)) {
		timer_cancel(&owner->loop->timers, &udp->retry);
		owner_release(owner);
	}
}

int dns_open(struct filter *filter, struct dns **out)
{
	struct dns *dns = calloc(1, sizeof(*dns));
	int err;

	*out = dns;
	if (!dns)
		return -ENOMEM;
	dns->filter = filter;
	dns->settings = filter->settings->dns;
	dns->inlet.metrics = &filter->worker->metrics;
	dns->open_end = &dns->open;
	dns->batch = dns_batch_new();
	if (!dns->batch)
		return -ENOMEM;
	if ((err = pool_init(&dns->asks, sizeof(struct dns_ask), DNS_ASKS_MAX)) < 0 ||
	    (err = pool_init(&dns->holds, sizeof(struct dns_hold), DNS_HOLDS_MAX)) < 0 ||
	    (err = dns_tcp_init(dns)) < 0)
		return err;
	return loop_open_datagrams(&filter->worker->loop, DNS_BUFS, DNS_BUFS);
}

void dns_close(struct dns *dns)
{
	for (struct dns_udp *udp = dns->sockets; udp; udp = udp->next)
		udp_close(udp);
	dns_tcp_close_all(dns);
}

bool dns_idle(const struct dns *dns)
{
	return !dns->sockets && dns->conns.used == 0;
}

void dns_finish(struct dns *dns)
{
	if (!dns)
		return;
	pool_finish(&dns->asks);
	pool_finish(&dns->holds);
	pool_finish(&dns->conns);
	free(dns->batch);
	free(dns);
}
