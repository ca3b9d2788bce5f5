/* relay.c - copy both ways until both sides have finished.
 *
 * A direction is a short queue of received buffers; one send at a time empties it.  A receive is
 * asked for no more than QUEUE_MAX leaves room for, and ended when small pieces fill the queue; it
 * begins anew when the queue is empty: a slow reader costs QUEUE_MAX buffers, never memory. */
#include "forward/relay.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "core/features.h"
#include "forward/dump.h"
#include "forward/refuse.h"
#include "forward/splice.h"
#include "forward/vet.h"

enum {
	STARVING_MS = 100,              /* until we look who keeps buffers */
	SENDS_NODELAY = 2,
};

static op_fn on_recv, on_sent;
static void on_starving(struct timer *timer);

static enum close_reason lost(const struct side *side)
{
	return side->index == CLIENT ? CLOSE_CLIENT_LOST : CLOSE_UPSTREAM_LOST;
}

static_assert((int)SEND_PARTS_MAX >= (int)QUEUE_MAX, "a whole queue can be sent at once");

/* A chain of received buffers. */
static void queue_push(struct bufs *bufs, struct side *from, uint16_t first)
{
	if (from->queue_len == 0)
		from->queue_head = first;
	else
		bufs->links[from->queue_tail].next = first;
	for (uint16_t id = first; id != BUF_NONE; id = bufs->links[id].next) {
		from->queue_tail = id;
		from->queue_len++;
	}
}

static void queue_pop(struct bufs *bufs, struct side *from)
{
	uint16_t id = from->queue_head;

	assert(from->queue_len > 0);
	from->queue_head = bufs->links[id].next;
	from->queue_len--;
	bufs_return(bufs, id);
}

/* The first n bytes of the queue are dealt with. */
static void queue_consume(struct bufs *bufs, struct side *from, size_t n)
{
	while (n > 0) {
		struct buf_link *link = &bufs->links[from->queue_head];
		size_t left = (size_t)(link->len - link->at), take = n < left ? n : left;

		assert(from->queue_len > 0);
		link->at = (uint16_t)(link->at + take);
		n -= take;
		if (take == left)
			queue_pop(bufs, from);
	}
}

void relay_drop_queue(struct side *side)
{
	struct conn *conn = side_conn(side);
	struct filter *filter = conn->filter;

	while (side->queue_len > 0)
		queue_pop(&conn->owner.loop->bufs, side);
	side->cleared = 0;
	if (!side->is_starved)
		return;
	for (struct side **at = &filter->starved; *at; at = &(*at)->next_starved) {
		if (*at == side) {
			*at = side->next_starved;
			break;
		}
	}
	side->is_starved = false;
}

void relay_receive(struct side *side)
{
	/* While a last word is said nothing is queued: see discard(). */
	unsigned queued = side_conn(side)->state == CONN_ENDING ? 0 : side->queue_len;
	bool streams = side->streak > features.recv_len;

	if (!op_idle(&side->rx) || side->eof || side->is_starved || side->bulk ||
	    queued >= QUEUE_MAX)
		return;
	if (side->was_bulk) {
		/* What was received before goes first; then relay_pump() comes here again. */
		if (queued == 0 && op_idle(&side_peer(side)->tx))
			splice_doze(side);
		return;
	}
	(streams ? op_recv_bundle : op_recv_multi)(&side->rx, side->fd, QUEUE_MAX - queued,
						   on_recv);
}

void relay_receive_first(struct side *upstream)
{
	op_recv_multi_later(&upstream->rx, upstream->fd, QUEUE_MAX, on_recv);
}

/* No buffer was free: try again when others have given some back. */
static void starve(struct side *side)
{
	struct filter *filter = side_conn(side)->filter;
	struct loop *loop = &filter->worker->loop;

	metric_add(&filter->worker->metrics.bufs_starved, 1);
	if (side->is_starved)
		return;
	side->is_starved = true;
	side->next_starved = filter->starved;
	filter->starved = side;
	filter->starving.fire = on_starving;
	if (!timer_armed(&filter->starving))
		timer_arm(&loop->timers, &filter->starving, loop->now_ms + STARVING_MS);
}

/* Let so many receive again. */
static void feed(struct filter *filter, unsigned most)
{
	for (; filter->starved && most > 0; most--) {
		struct side *side = filter->starved;

		filter->starved = side->next_starved;
		side->is_starved = false;
		if (!side_conn(side)->owner.closing)
			relay_receive(side);
	}
}

void relay_feed_starved(struct filter *filter)
{
	struct bufs *bufs = &filter->worker->loop.bufs;

	if (filter->starved && (bufs->lent < bufs->filled || bufs_grow(bufs)))
		feed(filter, bufs->filled - bufs->lent);
}

/* Some have waited for a while.  When no buffer is free those who only keep theirs give way; then
 * all try again, also who always came too late. */
static void on_starving(struct timer *timer)
{
	struct filter *filter = container_of(timer, struct filter, starving);
	struct bufs *bufs = &filter->worker->loop.bufs;

	if (filter->starved && bufs->lent == bufs->filled)
		conns_shed(filter);
	feed(filter, UINT_MAX);
}

/* The direction that begins at `from` has nothing left and will get nothing more. */
static void finish(struct side *from)
{
	struct conn *conn = side_conn(from);
	struct side *to = side_peer(from);

	if (from->broken && conn->state != CONN_RELAYING)
		return conn_reset(conn, lost(from));
	if (from->index == CLIENT && !vet_client_eof(conn))
		return;
	if (conn->state != CONN_RELAYING)
		return;                         /* dialling: pumped again when connected */
	if (from->broken)
		return conn_reset(conn, lost(from));
	if (to->deaf)                           /* all is said, and nobody listens any more */
		return from->index == UPSTREAM ? refuse_linger(conn, CLOSE_UPSTREAM_LOST) :
						 conn_reset(conn, CLOSE_CLIENT_LOST);
	if (from->shut)
		return conn_close(conn, CLOSE_DONE);    /* close(2) says the rest */
	if (!to->shut) {
		to->shut = true;
		(void)shutdown(to->fd, SHUT_WR);
		if (conn->kind == CONN_PLAIN)
			conn_watch_relay(conn); /* HALF_CLOSE_TIMEOUT counts from now on */
	}
}

/* Bytes at the head of the queue that may be sent now; 0: none, and *go_on says whether to look
 * again. */
static size_t clear_to_send(struct side *from, bool *go_on)
{
	struct conn *conn = side_conn(from);
	struct bufs *bufs = &conn->owner.loop->bufs;
	const struct buf_link *link = &bufs->links[from->queue_head];
	const uint8_t *data = buf_at(bufs, from->queue_head) + link->at;
	size_t len = (size_t)(link->len - link->at);

	*go_on = false;
	if (from->cleared > 0 || conn->vet_mode == VET_BLIND)
		return from->cleared > 0 ? from->cleared : len;
	if (from->index == UPSTREAM)
		return vet_server(conn, data, len) ? len : 0;
	switch (vet_client(conn, data, &len)) {
	case VET_PASSES:
		assert(len > 0);
		return len;
	case VET_TAKEN:
		queue_consume(bufs, from, len);
		*go_on = true;
		return 0;
	case VET_HOLDS:
	case VET_CLOSED:
		break;
	}
	return 0;
}

/* TCP_NODELAY: a client's socket has it from its listener; a server's gets it by the second send.
 * The first goes at once anyway, as nothing is on its way, and is often the only one. */
static void before_send(struct side *to)
{
	int one = 1;

	if (to->index == UPSTREAM && to->sends < SENDS_NODELAY && ++to->sends == SENDS_NODELAY)
		(void)setsockopt(to->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	to->sending_ms = side_conn(to)->owner.loop->now_ms;
}

/* A vetted hello or head goes before what stands behind it in the queue. */
static bool send_vetted(struct conn *conn)
{
	struct side *to = &conn->side[UPSTREAM];
	struct vet *vet = conn->vet;

	if (!vet || vet->sent == vet->pass || conn->state != CONN_RELAYING)
		return false;
	conn->sending_vet = true;
	before_send(to);
	op_send(&to->tx, to->fd, vet->data + vet->sent, vet->pass - vet->sent, on_sent);
	return true;
}

/* What is cleared of the queue's first buffer, and with it those behind it when nothing will ever
 * look at them; when that is all there will ever be, together with the end. */
static void send_head(struct side *from)
{
	struct bufs *bufs = &side_conn(from)->owner.loop->bufs;
	const struct buf_link *link = &bufs->links[from->queue_head];
	const uint8_t *data = buf_at(bufs, from->queue_head) + link->at;
	struct side *to = side_peer(from);
	bool whole = from->cleared == link->len - link->at;
	bool is_last = from->eof && !from->broken && whole;

	before_send(to);
	if (from->queue_len > 1 && whole && vet_unseen(from) == SIZE_MAX)
		op_send_chain(&to->tx, to->fd, from->queue_head, is_last, on_sent);
	else if (from->queue_len == 1 && is_last)
		op_send_last(&to->tx, to->fd, data, from->cleared, on_sent);
	else
		op_send(&to->tx, to->fd, data, from->cleared, on_sent);
}

void relay_pump(struct side *from)
{
	struct conn *conn = side_conn(from);
	struct side *to = side_peer(from);
	bool go_on = true;

	while (go_on) {
		size_t len;

		if (conn->owner.closing || conn->state == CONN_ENDING || !op_idle(&to->tx))
			return;
		if (from->index == CLIENT && send_vetted(conn))
			return;
		if (from->deaf)
			relay_drop_queue(from);
		if (from->queue_len == 0)
			break;
		len = clear_to_send(from, &go_on);
		if (len > 0) {
			from->cleared = (uint16_t)len;
			return send_head(from);
		}
	}
	if (from->queue_len > 0)
		return;
	if (from->bulk && !from->deaf && (!from->eof || from->bulk->in_pipe > 0)) {
		splice_start(from);
	} else if (from->eof) {
		splice_drop(from);              /* what it lent it will not need */
		finish(from);
	} else if (!from->deaf) {
		relay_receive(from);
	}
}

/* Go on while there is room.  Else the other side is slower than this one: stop receiving until the
 * queue is empty. */
static void throttle(struct side *from)
{
	if (from->bulk)
		return;                         /* its receive is ending already */
	if (from->queue_len < QUEUE_MAX) {
		if (!from->deaf)
			relay_receive(from);
	} else if (!op_idle(&from->rx) && op_idle(&from->rx_cancel)) {
		op_cancel(&from->rx_cancel, &from->rx);
	}
}

/* While a last word is being read, what the client still sends is dropped. */
static void discard(struct side *from, uint16_t id, int res)
{
	struct conn *conn = side_conn(from);

	bufs_return_chain(&conn->owner.loop->bufs, id);
	if (from->index == UPSTREAM)
		return;
	if (res == -ENOBUFS)
		starve(from);
	else if (res > 0 || res == -ECANCELED || res == -EAGAIN)
		relay_receive(from);
	else
		conn_close(conn, conn->reason);
}

/* By the end of the turn it is known whether the end came right behind the bytes, and nothing is
 * submitted earlier anyway. */
static void pump_later(struct side *from)
{
	struct filter *filter = side_conn(from)->filter;

	if (from->is_ready)
		return;
	owner_hold(&side_conn(from)->owner);
	from->is_ready = true;
	from->next_ready = NULL;
	if (filter->ready)
		filter->ready_last->next_ready = from;
	else
		filter->ready = from;
	filter->ready_last = from;
}

void relay_pump_ready(struct filter *filter)
{
	struct side *from;

	while ((from = filter->ready)) {
		struct conn *conn = side_conn(from);

		filter->ready = from->next_ready;
		from->is_ready = false;
		relay_pump(from);
		if (!conn->owner.closing && conn->state != CONN_ENDING)
			throttle(from);
		owner_release(&conn->owner);
	}
}

static void on_recv(struct op *op, int res, uint32_t flags)
{
	struct side *from = container_of(op, struct side, rx);
	struct conn *conn = side_conn(from);
	struct bufs *bufs = &conn->owner.loop->bufs;
	uint16_t id = buf_of(flags);

	conn->active_ms = conn->owner.loop->now_ms;
	if (conn->state == CONN_ENDING)
		return discard(from, id, res);
	if (res > 0) {
		assert(id != BUF_NONE);
		queue_push(bufs, from, id);
		splice_consider(from, (unsigned)res);
	} else {
		bufs_return_chain(bufs, id);
	}
	if (res == -ENOBUFS) {
		starve(from);
	} else if (res == 0) {
		from->eof = true;
	} else if (res < 0 && res != -ECANCELED && res != -EAGAIN) {
		from->eof = true;
		from->broken = true;
	}
	pump_later(from);
}

/* Sending to this side failed: it is gone, or will read no more.  What it sent before may still be
 * on its way to the other side; its receive says when that is all. */
void relay_send_failed(struct side *to)
{
	struct side *from = side_peer(to);

	if (to->deaf)                   /* the other side failed before: nobody is left */
		return conn_reset(side_conn(to), lost(to));
	relay_drop_queue(from);
	splice_drop(from);
	from->deaf = true;
	to->broken = !to->eof;          /* else it ended well, and what it said is passed on */
	if (to->eof)
		relay_pump(to);
	else
		relay_receive(to);
}

/* VERBOSE=2: what has just been sent on, still in the queue. */
static void show(struct side *from, size_t len)
{
	struct bufs *bufs = &side_conn(from)->owner.loop->bufs;
	uint64_t at = from->bytes;

	for (uint16_t id = from->queue_head; len > 0; id = bufs->links[id].next) {
		const struct buf_link *link = &bufs->links[id];
		size_t n = (size_t)(link->len - link->at);

		n = n < len ? n : len;
		dump(from->index == CLIENT ? DUMP_UP : DUMP_DOWN, at,
		     buf_at(bufs, id) + link->at, n);
		at += n;
		len -= n;
	}
}

static void on_sent(struct op *op, int res, uint32_t flags)
{
	struct side *to = container_of(op, struct side, tx);
	struct side *from = side_peer(to);
	struct conn *conn = side_conn(to);

	(void)flags;
	conn->active_ms = conn->owner.loop->now_ms;
	if (conn->state == CONN_ENDING)
		return;
	/* Found full again and again although poll said otherwise, the kernel stops waiting for a
	 * socket that does not block: nothing was sent, and another request waits anew. */
	if (res == -EAGAIN)
		res = 0;
	if (from->index == CLIENT && conn->sending_vet) {
		conn->sending_vet = false;
		if (res >= 0) {
			conn->vet->sent += (uint32_t)res;
			if (conn->kind != CONN_PLAIN)   /* else it is our own PROXY header */
				from->bytes += (uint32_t)res;
			if (conn->vet->sent == conn->vet->pass)
				vet_sent(conn);
		}
	} else if (res >= 0) {
		if (conn->filter->dumps)
			show(from, (size_t)res);
		from->cleared = (uint16_t)(res < from->cleared ? from->cleared - res : 0);
		from->bytes += (uint32_t)res;
		queue_consume(&conn->owner.loop->bufs, from, (size_t)res);
	}
	if (res < 0)
		return relay_send_failed(to);
	relay_pump(from);
}
