/* dns_tcp.c - clients that ask over TCP.
 *
 * A connection reads into a buffer of its own and stops while DNS_CONN_ASKS_MAX of its questions
 * are being answered or its answers have no room.  Its timer is absolute: a message that has begun
 * must be whole in time, whatever drips in; so must an answer that is being taken. */
#include <errno.h>
#include <unistd.h>

#include "forward/admit.h"
#include "forward/dns.h"

enum { OUT_SLOT = 2 + DNS_ANSWER_MAX, OUT_MAX = DNS_CONN_ASKS_MAX * OUT_SLOT };

struct dns_conn {
	struct owner owner;
	struct dns *dns;
	struct op rx, tx, cancel;
	struct timer timer;             /* holds the owner while armed */
	struct dns_conn *next, **link;  /* dns->open */
	struct dns_ask *asks;
	int fd;
	unsigned in_len, out_len, sent;
	uint16_t questions;             /* so far */
	uint8_t asking;                 /* being answered */
	bool eof;                       /* it asks no more, and leaves with its last answer */
	bool processing;                /* in messages() */
	union addr src, dst;
	uint8_t in[2 + DNS_MESSAGE_MAX];
	uint8_t out[OUT_MAX];
};

static op_fn on_received, on_sent;

static void conn_unlink(struct dns_conn *conn)
{
	struct dns *dns = conn->dns;

	*conn->link = conn->next;
	if (conn->next)
		conn->next->link = conn->link;
	else
		dns->open_end = conn->link;
}

/* As the one that spoke last. */
static void conn_link(struct dns_conn *conn)
{
	struct dns *dns = conn->dns;

	conn->next = NULL;
	conn->link = dns->open_end;
	*dns->open_end = conn;
	dns->open_end = &conn->next;
}

static void conn_free(struct owner *owner)
{
	struct dns_conn *conn = container_of(owner, struct dns_conn, owner);

	dns_asks_drop(conn->asks);
	close(conn->fd);
	owner->free = NULL;
	pool_give(&conn->dns->conns, conn);
}

static void disarm(struct dns_conn *conn)
{
	if (!timer_armed(&conn->timer))
		return;
	timer_cancel(&conn->owner.loop->timers, &conn->timer);
	owner_release(&conn->owner);
}

static void arm(struct dns_conn *conn, uint64_t after_ms)
{
	struct loop *loop = conn->owner.loop;

	if (!timer_armed(&conn->timer))
		owner_hold(&conn->owner);
	timer_arm(&loop->timers, &conn->timer, loop->now_ms + after_ms);
}

static void conn_close(struct dns_conn *conn)
{
	struct owner *owner = &conn->owner;

	if (owner->closing)
		return;
	op_cancel_fd(&conn->cancel, conn->fd);
	conn_unlink(conn);
	owner->closing = true;
	disarm(conn);
}

static void on_timer(struct timer *timer)
{
	struct dns_conn *conn = container_of(timer, struct dns_conn, timer);

	conn_close(conn);
	owner_release(&conn->owner);
}

static bool has_room(const struct dns_conn *conn)
{
	return conn->asking < DNS_CONN_ASKS_MAX &&
	       conn->out_len + (conn->asking + 1u) * OUT_SLOT <= OUT_MAX;
}

/* Is there a whole message that had no room yet? */
static bool is_whole(const struct dns_conn *conn)
{
	return conn->in_len >= 2 && conn->in_len >= 2u + (conn->in[0] << 8 | conn->in[1]);
}

static void bad_message(struct dns_conn *conn)
{
	struct dns_ask ask = { .dns = conn->dns, .conn = conn, .client = conn->src };

	metric_add(&conn->dns->inlet.metrics->dns_malformed, 1);
	dns_tell(&ask, &(struct dns_outcome){ .kind = EVENT_DNS_MALFORMED, .error = EPROTO });
	conn_close(conn);
}

/* All whole messages that have come, as far as there is room.  False: the connection is ending. */
static bool messages(struct dns_conn *conn)
{
	size_t at = 0;

	conn->processing = true;
	while (conn->questions < DNS_CONN_QUESTIONS_MAX && has_room(conn) &&
	       conn->in_len - at >= 2) {
		size_t len = (size_t)conn->in[at] << 8 | conn->in[at + 1];
		struct dns_ask from = { .conn = conn, .client = conn->src };

		/* No question has less than a header; other protocols claim much. */
		if (len < 12 || len > DNS_MESSAGE_MAX) {
			bad_message(conn);
			break;
		}
		if (conn->in_len - at < 2 + len)
			break;
		conn->asking++;
		conn->questions++;
		metric_add(&conn->dns->inlet.metrics->dns_tcp, 1);
		dns_ask(conn->dns, &from, conn->in + at + 2, len);
		at += 2 + len;
		if (conn->owner.closing)
			break;
	}
	conn->processing = false;
	memmove(conn->in, conn->in + at, conn->in_len - at);
	conn->in_len -= (unsigned)at;
	if (conn->questions == DNS_CONN_QUESTIONS_MAX) {
		conn->eof = true;
		conn->in_len = 0;
	}
	return !conn->owner.closing;
}

/* Send what there is, read on where there is room, end when nothing is left to do. */
static void go_on(struct dns_conn *conn)
{
	bool whole = is_whole(conn);

	if (conn->sent < conn->out_len && op_idle(&conn->tx)) {
		op_send(&conn->tx, conn->fd, conn->out + conn->sent, conn->out_len - conn->sent,
			on_sent);
		/* Once for all that is sent together: who takes it byte by byte gains nothing. */
		if (conn->sent == 0)
			arm(conn, DNS_QUIET_MS);
	}
	if (conn->eof && !whole && conn->asking == 0 && conn->out_len == 0)
		return conn_close(conn);
	if (!conn->eof && !whole && op_idle(&conn->rx))
		op_read(&conn->rx, conn->fd, conn->in + conn->in_len,
			sizeof(conn->in) - conn->in_len, on_received);
}

static void on_received(struct op *op, int res, uint32_t flags)
{
	struct dns_conn *conn = container_of(op, struct dns_conn, rx);
	bool begun = conn->in_len > 0;

	(void)flags;
	if (res < 0)
		return conn_close(conn);
	if (res == 0) {
		conn->eof = true;               /* what it has asked is still answered */
		conn->in_len = 0;
		return go_on(conn);
	}
	conn->in_len += (unsigned)res;
	if (!messages(conn))
		return;
	conn_unlink(conn);
	conn_link(conn);
	/* One that goes on dripping keeps the time it began with; a whole one waits for us. */
	if (conn->in_len == 0 || is_whole(conn))
		arm(conn, DNS_QUIET_MS);
	else if (!begun || conn->in_len < (unsigned)res)
		arm(conn, DNS_MESSAGE_MS);
	go_on(conn);
}

static void on_sent(struct op *op, int res, uint32_t flags)
{
	struct dns_conn *conn = container_of(op, struct dns_conn, tx);

	(void)flags;
	if (res < 0)
		return conn_close(conn);
	conn->sent += (unsigned)res;
	if (conn->sent == conn->out_len)
		conn->sent = conn->out_len = 0;
	if (messages(conn))
		go_on(conn);
}

void dns_tcp_send(struct dns_conn *conn, const uint8_t *data, size_t len)
{
	uint8_t *at = conn->out + conn->out_len;

	if (conn->owner.closing)
		return;
	conn->asking--;
	if (len > 0) {
		at[0] = (uint8_t)(len >> 8);
		at[1] = (uint8_t)len;
		memcpy(at + 2, data, len);
		conn->out_len += 2 + (unsigned)len;
	}
	if (!conn->processing && messages(conn))
		go_on(conn);
}

struct owner *dns_tcp_owner(struct dns_conn *conn)
{
	return &conn->owner;
}

struct dns_ask **dns_tcp_asks(struct dns_conn *conn)
{
	return &conn->asks;
}

const union addr *dns_tcp_dst(const struct dns_conn *conn)
{
	return &conn->dst;
}

/* The one that was quiet for longest and waits for nothing of ours makes room. */
static void make_room(struct dns *dns)
{
	struct dns_conn *conn = dns->open;

	while (conn && conn->asking > 0)
		conn = conn->next;
	if (conn)
		conn_close(conn);
}

int dns_tcp_init(struct dns *dns)
{
	/* One more than are open, for the one that closes while another comes. */
	return pool_init(&dns->conns, sizeof(struct dns_conn), 2 * DNS_CONNS_MAX);
}

void dns_tcp_open(struct dns *dns, int fd)
{
	const struct filter_settings *settings = dns->filter->settings;
	struct dns_conn *conn = pool_take(&dns->conns);
	socklen_t len = sizeof(conn->src);

	metric_add(&dns->inlet.metrics->dns_conns, 1);
	if (!conn)
		return admit_refuse(dns->filter, fd);
	memset(conn, 0, offsetof(struct dns_conn, in));
	conn->owner = (struct owner){ .loop = &dns->filter->worker->loop, .free = conn_free };
	conn->dns = dns;
	conn->fd = fd;
	conn->rx.owner = conn->tx.owner = conn->cancel.owner = &conn->owner;
	conn->timer.fire = on_timer;
	if (getpeername(fd, &conn->src.sa, &len) < 0)
		conn->src.sa.sa_family = 0;
	/* The kernel refuses who speaks to the listener itself; in a test it may be so. */
	if (!settings->original_destination ||
	    !settings->original_destination(fd, conn->src.sa.sa_family, &conn->dst))
		conn->dst.sa.sa_family = 0;
	if (dns->conns.used > DNS_CONNS_MAX)
		make_room(dns);
	conn_link(conn);
	arm(conn, DNS_MESSAGE_MS);
	op_read(&conn->rx, conn->fd, conn->in, sizeof(conn->in), on_received);
}

void dns_tcp_close_all(struct dns *dns)
{
	while (dns->open)
		conn_close(dns->open);
}
