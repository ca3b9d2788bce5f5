/* udp_flow.c - one client address and port: opened by its first datagram, closed by silence. */
#include "forward/udp_flow.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/features.h"
#include "forward/port.h"

enum { RESOLVING_MS = 5000 };           /* longer than a lookup takes */

/* Events */

void udp_flow_event(const struct udp_flow *flow, struct event *event, enum event_kind kind)
{
	memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->reason = flow->reason;
	event->conn = flow->id;
	event->src = flow->client;
	event->dst = flow->dialled;
	event->protocol = IPPROTO_UDP;
}

static void emit(const struct udp *udp, const struct event *event)
{
	event_emit(udp->filter->worker->events, event);
}

void udp_flow_opened(struct udp_flow *flow)
{
	struct event event;

	metric_add(&udp_metrics(flow->udp)->flows_opened, 1);
	if (!event_wanted(EVENT_FLOW_OPENED))
		return;
	udp_flow_event(flow, &event, EVENT_FLOW_OPENED);
	emit(flow->udp, &event);
}

static void emit_closed(struct udp_flow *flow)
{
	struct event event;

	metric_add(&udp_metrics(flow->udp)->flows_closed, 1);
	if (!event_wanted(EVENT_FLOW_CLOSED))
		return;
	udp_flow_event(flow, &event, EVENT_FLOW_CLOSED);
	event.bytes_up = flow->lanes[UDP_UP].bytes;
	event.bytes_down = flow->lanes[UDP_DOWN].bytes;
	event.duration_ms = flow->owner.loop->now_ms - flow->opened_ms;
	emit(flow->udp, &event);
}

/* The client is not told, its datagram is gone; one line a second says how many.  Returns NULL. */
static struct udp_flow *refuse(struct udp_listener *listener, const struct datagram *datagram,
			       struct flood *flood, struct event event)
{
	struct udp *udp = listener->udp;

	event.protocol = IPPROTO_UDP;
	memcpy(&event.src, datagram->from, addr_len(datagram->from));
	event.dst = listener->addr;
	bufs_return(&listener->owner.loop->datagrams, datagram->buf);
	event.count = flood_count(flood, listener->owner.loop->now_ms);
	if (event.count > 0)
		emit(udp, &event);
	return NULL;
}

static struct udp_flow *refuse_stranger(struct udp_listener *listener,
					const struct datagram *datagram)
{
	metric_add(&udp_metrics(listener->udp)->conns_strange, 1);
	return refuse(listener, datagram, &listener->udp->strangers,
		      (struct event){ .kind = EVENT_FORWARD_STRANGER,
				      .reason = CLOSE_NOT_ALLOWED_FROM });
}

static struct udp_flow *refuse_one_more(struct udp_listener *listener,
					const struct datagram *datagram, const char *why)
{
	struct event event = { .kind = EVENT_FLOW_REFUSED, .reason = CLOSE_OVERLOAD };

	metric_add(&udp_metrics(listener->udp)->flows_refused, 1);
	snprintf(event.detail, sizeof(event.detail), "%s", why);
	return refuse(listener, datagram, &listener->udp->refused, event);
}

/* Answers */

static void on_target(struct udp_rx *rx, const struct datagram *datagram)
{
	struct udp_flow *flow = container_of(rx, struct udp_flow, rx);

	udp_lane_put(&flow->lanes[UDP_DOWN], datagram);
}

/* ICMP said that an earlier datagram did not arrive; the next one may. */
static bool on_failed(struct udp_rx *rx, int err)
{
	struct udp_flow *flow = container_of(rx, struct udp_flow, rx);

	metric_add(&udp_metrics(flow->udp)->datagram_errors, 1);
	if (udp_is_icmp(-err))
		return true;
	udp_flow_close(flow, CLOSE_UPSTREAM_LOST);
	return false;
}

/* The life of a flow */

static void flow_free(struct owner *owner)
{
	struct udp_flow *flow = container_of(owner, struct udp_flow, owner);
	struct udp *udp = flow->udp;

	emit_closed(flow);
	if (flow->rx.fd >= 0)
		close(flow->rx.fd);
	limit_give(&flow->listener->port->limit);
	owner_release(&flow->listener->owner);
	owner->free = NULL;
	pool_give(&udp->flows, flow);
}

void udp_flow_close(struct udp_flow *flow, enum close_reason reason)
{
	struct udp_listener *listener = flow->listener;
	struct owner *owner = &flow->owner;

	if (owner->closing)
		return;                         /* the first reason wins */
	flow->reason = reason;
	udp_table_remove(&flow->udp->table, &flow->entry);
	if (listener->last == flow)
		listener->last = NULL;
	if (op_idle(&flow->rx.op))
		op_nop(&flow->cancel);          /* something must be on its way to free it */
	else
		op_cancel(&flow->cancel, &flow->rx.op);
	owner->closing = true;
	if (timer_armed(&flow->timer)) {
		timer_cancel(&owner->loop->timers, &flow->timer);
		owner_release(owner);
	}
	for (unsigned i = 0; i < UDP_LANES; i++)
		if (!flow->lanes[i].busy)       /* else it is passed on at the end of the turn */
			udp_lane_drop(&flow->lanes[i]);
}

/* Datagrams only note the time; this looks at it now and then. */
static void on_timer(struct timer *timer)
{
	struct udp_flow *flow = container_of(timer, struct udp_flow, timer);
	struct loop *loop = flow->owner.loop;
	uint64_t end_ms = flow->active_ms + udp_forward(flow->udp)->udp_timeout_ms;

	if (loop->now_ms < end_ms || flow->state == UDP_RESOLVING) {
		if (end_ms <= loop->now_ms)     /* the lookup has its own end */
			end_ms = loop->now_ms + RESOLVING_MS;
		timer_arm(&loop->timers, timer, end_ms);
		return;                         /* and still holds the owner */
	}
	udp_flow_close(flow, CLOSE_IDLE_TIMEOUT);
	owner_release(&flow->owner);
}

static void flow_init(struct udp_flow *flow, struct udp_listener *listener,
		      const struct datagram *datagram)
{
	struct udp *udp = listener->udp;
	struct loop *loop = listener->owner.loop;

	memset(flow, 0, sizeof(*flow));
	flow->owner = (struct owner){ .loop = loop, .free = flow_free };
	flow->udp = udp;
	flow->listener = listener;
	flow->rx = (struct udp_rx){ .op = { .owner = &flow->owner }, .inlet = &udp->inlet,
				    .fd = -1, .got = on_target, .failed = on_failed };
	flow->cancel.owner = flow->ask.lookup.owner = &flow->owner;
	flow->timer.fire = on_timer;
	for (unsigned i = 0; i < UDP_LANES; i++)
		flow->lanes[i] = (struct udp_lane){ .index = (uint8_t)i, .first = BUF_NONE,
						    .last = BUF_NONE,
						    .segment_max = features.udp_gro ? UINT16_MAX :
										      0 };
	memcpy(&flow->client, datagram->from, addr_len(datagram->from));
	flow->local = datagram->local;
	flow->id = ++udp->filter->next_conn << 8 | udp->filter->worker->index;
	flow->opened_ms = flow->active_ms = loop->now_ms;
}

/* NULL: there is no room, and the datagram has gone. */
static struct udp_flow *flow_open(struct udp_listener *listener, const struct datagram *datagram,
				  const struct udp_key *key, uint64_t hash)
{
	struct udp *udp = listener->udp;
	struct limit *limit = &listener->port->limit;
	struct loop *loop = listener->owner.loop;
	struct udp_flow *flow;

	if (!forward_allows(udp_forward(udp), datagram->from))
		return refuse_stranger(listener, datagram);
	if (!limit_take(limit))
		return refuse_one_more(listener, datagram, "MAX_CONNECTIONS flows are open");
	flow = pool_take(&udp->flows);
	if (!flow) {
		limit_give(limit);
		return refuse_one_more(listener, datagram, "no descriptor left");
	}
	flow_init(flow, listener, datagram);
	owner_hold(&listener->owner);
	flow->entry.key = *key;
	flow->entry.hash = hash;
	udp_table_put(&udp->table, &flow->entry);
	owner_hold(&flow->owner);
	timer_arm(&loop->timers, &flow->timer, loop->now_ms + udp_forward(udp)->udp_timeout_ms);
	return flow;
}

/* Some of the first datagrams are kept until the name has been looked up. */
static bool may_hold(struct udp_flow *flow, const struct datagram *datagram)
{
	if (flow->held == UDP_HELD_MAX || flow->udp->held == UDP_HELD_ALL_MAX ||
	    (flow->held > 0 && flow->held_bytes + datagram->len > UDP_HELD_BYTES))
		return false;
	flow->held++;
	flow->held_bytes += datagram->len;
	flow->udp->held++;
	return true;
}

void udp_flow_client(struct udp_listener *listener, const struct datagram *datagram)
{
	struct udp *udp = listener->udp;
	struct udp_flow *flow = listener->last;
	bool is_new = false;
	struct udp_key key;
	uint64_t hash;

	udp_key_make(&key, datagram->from, &datagram->local, listener->number);
	if (!flow || !udp_key_equal(&flow->entry.key, &key)) {
		struct udp_entry *entry = udp_table_find(&udp->table, &key, &hash);

		is_new = !entry;
		flow = entry ? container_of(entry, struct udp_flow, entry) :
			       flow_open(listener, datagram, &key, hash);
		if (!flow)
			return;
		listener->last = flow;
	}
	if (flow->state == UDP_RESOLVING && !may_hold(flow, datagram)) {
		metric_add(&udp_metrics(udp)->datagrams_dropped, 1);
		bufs_return(&listener->owner.loop->datagrams, datagram->buf);
	} else {
		udp_lane_put(&flow->lanes[UDP_UP], datagram);
	}
	if (is_new)
		udp_dial(flow);
}
