/* conn.c - one connection: opened, closed, freed once. */
#include "forward/conn.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/policy.h"
#include "forward/admit.h"
#include "forward/dial.h"
#include "forward/port.h"
#include "forward/refuse.h"
#include "forward/relay.h"
#include "forward/splice.h"
#include "forward/vet.h"

enum {
	STALLED_MS = 2000,              /* a reader that takes nothing for so long may be shed, */
	SHED_MAX = 64,                  /* so many at a time */
};

static const enum event_kind event_kinds[CONN_KINDS][FACTS] = {
	[CONN_TLS] = { EVENT_HTTPS_ALLOWED, EVENT_HTTPS_BLOCKED, EVENT_HTTPS_DIAL,
		       EVENT_HTTPS_CLOSED, EVENT_HTTPS_MISMATCH },
	[CONN_HTTP] = { EVENT_HTTP_ALLOWED, EVENT_HTTP_BLOCKED, EVENT_HTTP_DIAL,
			EVENT_HTTP_CLOSED, EVENT_HTTP_MISMATCH },
	[CONN_PLAIN] = { EVENT_FORWARD_OPENED, EVENT_FORWARD_REFUSED, EVENT_FORWARD_DIAL,
			 EVENT_FORWARD_CLOSED, EVENT_FORWARD_REFUSED },
};

bool conn_event_wanted(const struct conn *conn, enum conn_fact fact)
{
	return event_wanted(event_kinds[conn->kind][fact]);
}

void conn_note_client(struct conn *conn)
{
	socklen_t len = sizeof(conn->src);

	if (getpeername(conn->side[CLIENT].fd, &conn->src.sa, &len) < 0)
		conn->src.sa.sa_family = 0;
}

/* Asked for while it is sure to be there, unless nobody will be told: a plain forward logs nothing
 * of a connection that goes well, and saves a system call. */
static void note_client(struct conn *conn)
{
	const struct forward_settings *forward = conn->filter->settings->forward;

	if (conn->kind != CONN_PLAIN || conn_event_wanted(conn, FACT_CLOSED) ||
	    forward->send_proxy)
		conn_note_client(conn);
}

/* A forwarded connection has no name and no choice of its own. */
static void add_target(const struct conn *conn, struct event *event)
{
	const char *target = conn->filter->settings->forward->target;

	event->dst = conn->dialled;
	event->name_len = (uint16_t)strlen(target);
	memcpy(event->name, target, event->name_len + 1u);
}

void conn_event(const struct conn *conn, struct event *event, enum conn_fact fact)
{
	memset(event, 0, offsetof(struct event, name));
	event->kind = event_kinds[conn->kind][fact];
	event->reason = conn->reason;
	event->conn = conn->id;
	event->src = conn->src;
	event->dst = conn->dst;
	event->dialled = conn->dialled;
	event->protocol = IPPROTO_TCP;
	event->name_len = conn->name_len;
	memcpy(event->name, conn->name, conn->name_len + 1u);
	if (conn->kind == CONN_PLAIN)
		add_target(conn, event);
}

void conn_emit(const struct conn *conn, const struct event *event)
{
	event_emit(conn->filter->worker->events, event);
}

static void emit_closed(struct conn *conn)
{
	struct metrics *metrics = &conn->filter->worker->metrics;
	struct event event;

	metric_add(&metrics->conns_closed, 1);
	metric_add(&metrics->bytes_up, conn->side[CLIENT].bytes);
	metric_add(&metrics->bytes_down, conn->side[UPSTREAM].bytes);
	if (!conn_event_wanted(conn, FACT_CLOSED))
		return;
	conn_event(conn, &event, FACT_CLOSED);
	event.bytes_up = conn->side[CLIENT].bytes;
	event.bytes_down = conn->side[UPSTREAM].bytes;
	event.duration_ms = conn->owner.loop->now_ms - conn->opened_ms;
	conn_emit(conn, &event);
}

/* MAX_CONNECTIONS counts over all workers; without it they share nothing. */
static bool count_in(const struct filter_settings *settings, enum conn_kind kind)
{
	if (settings->conns_max == 0 ||
	    atomic_fetch_add(&settings->open[kind], 1) < settings->conns_max)
		return true;
	atomic_fetch_sub(&settings->open[kind], 1);
	return false;
}

static void count_out(const struct filter_settings *settings, enum conn_kind kind)
{
	if (settings->conns_max != 0)
		atomic_fetch_sub(&settings->open[kind], 1);
}

/* Runs once, when the kernel holds nothing of this connection any more. */
static void conn_free(struct owner *owner)
{
	struct conn *conn = container_of(owner, struct conn, owner);
	struct filter *filter = conn->filter;

	emit_closed(conn);
	for (unsigned i = 0; i < SIDES; i++) {
		struct side *side = &conn->side[i];

		relay_drop_queue(side);
		splice_drop(side);
		if (side->fd < 0)
			continue;
		if (conn->reset)
			close_with_reset(side->fd);
		else
			close(side->fd);
	}
	vet_end(conn);
	count_out(filter->settings, conn->kind);
	if (conn->port)
		limit_give(&conn->port->limit);
	owner->free = NULL;
	pool_give(&filter->conns, conn);
}

static void on_timer(struct timer *timer);

static void conn_init(struct conn *conn, struct listener *listener, int fd)
{
	struct filter *filter = listener->filter;
	struct loop *loop = listener->owner.loop;

	memset(conn, 0, offsetof(struct conn, name));
	conn->name[0] = '\0';
	conn->owner = (struct owner){ .loop = loop, .free = conn_free };
	conn->filter = filter;
	conn->kind = listener->kind;
	conn->port = listener->port;
	conn->id = ++filter->next_conn << 8 | filter->worker->index;
	conn->opened_ms = conn->active_ms = loop->now_ms;
	conn->timer.fire = on_timer;
	for (unsigned i = 0; i < SIDES; i++) {
		struct side *side = &conn->side[i];

		side->index = (uint8_t)i;
		side->fd = -1;
		side->queue_head = side->queue_tail = BUF_NONE;
		side->rx.owner = side->tx.owner = &conn->owner;
		side->rx_cancel.owner = side->tx_cancel.owner = &conn->owner;
	}
	conn->side[CLIENT].fd = fd;
}

/* Did a redirect bring it here?  Only from the one port that the rules redirect to this listener:
 * the kernel notes a destination for any flow, also for one that came straight as the other half
 * of a flow of the workload's making, and whatever port that says would be dialled. */
static bool came_by_redirect(const struct listener *listener, const struct conn *conn)
{
	uint16_t port = conn->kind == CONN_TLS ? 443 : 80;

	return addr_port(&conn->dst) == port &&
	       !(addr_equal_ip(&conn->dst, &listener->addr) && addr_port(&listener->addr) == port);
}

void conn_open(struct listener *listener, int fd)
{
	struct filter *filter = listener->filter;
	struct conn *conn = NULL;
	bool redirected;

	if (count_in(filter->settings, listener->kind)) {
		conn = pool_take(&filter->conns);
		if (!conn)
			count_out(filter->settings, listener->kind);
	}
	if (!conn) {
		admit_refuse(filter, fd);
		if (listener->port)
			limit_give(&listener->port->limit);
		return;
	}
	conn_init(conn, listener, fd);
	note_client(conn);
	relay_receive(&conn->side[CLIENT]);
	if (conn->kind == CONN_PLAIN)
		return dial_plain(conn);
	redirected = filter->settings->original_destination(fd, listener->addr.sa.sa_family,
							    &conn->dst);
	if (!redirected || !came_by_redirect(listener, conn))
		return refuse(conn, CLOSE_SELF, NULL);
	if (!vet_begin(conn))
		return refuse(conn, CLOSE_OVERLOAD, NULL);
	conn_arm_timer(conn, filter->settings->hello_timeout_ms);
}

void conn_set_state(struct conn *conn, enum conn_state state)
{
	assert(state > conn->state);            /* states only go on: see the drawing */
	conn->state = state;
}

void conn_arm_timer(struct conn *conn, uint64_t after_ms)
{
	struct loop *loop = conn->owner.loop;

	if (!timer_armed(&conn->timer))
		owner_hold(&conn->owner);
	timer_arm(&loop->timers, &conn->timer, loop->now_ms + after_ms);
}

void conn_disarm_timer(struct conn *conn)
{
	if (!timer_armed(&conn->timer))
		return;
	timer_cancel(&conn->owner.loop->timers, &conn->timer);
	owner_release(&conn->owner);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The server has said something, then nothing for a while, and the client has got all of it. */
static bool has_answered(const struct conn *conn, uint64_t now)
{
	const struct side *upstream = &conn->side[UPSTREAM];

	return conn->http.answered && now >= conn->http.answered_ms + VET_QUIET_MS &&
	       op_idle(&conn->side[CLIENT].tx) && upstream->queue_len == 0 && !upstream->bulk;
}

/* A forwarded connection may be silent for so long; 0: for ever. */
static uint64_t silence_max_ms(const struct conn *conn, enum close_reason *reason)
{
	uint64_t idle_ms = conn->filter->settings->idle_timeout_ms;
	uint64_t half_ms = conn->filter->settings->forward->half_close_timeout_ms;
	bool half = conn->side[CLIENT].shut || conn->side[UPSTREAM].shut;

	*reason = CLOSE_IDLE_TIMEOUT;
	if (!half || half_ms == 0 || (idle_ms != 0 && idle_ms < half_ms))
		return idle_ms;
	*reason = CLOSE_HALF_CLOSE_TIMEOUT;
	return half_ms;
}

/* The target's socket is told of keepalive only when the connection has lasted that long: short
 * ones save the system calls.  The client's has it from its listener. */
static void forward_timer(struct conn *conn)
{
	uint64_t keepalive_ms = conn->filter->settings->keepalive_ms;
	uint64_t now = conn->owner.loop->now_ms, next = UINT64_MAX;
	enum close_reason reason;
	uint64_t silence_ms = silence_max_ms(conn, &reason);

	if (silence_ms != 0 && now >= conn->active_ms + silence_ms)
		return conn_reset(conn, reason);
	if (silence_ms != 0)
		next = conn->active_ms + silence_ms;
	if (keepalive_ms != 0 && !conn->kept_alive) {
		conn->kept_alive = now >= conn->opened_ms + keepalive_ms;
		if (conn->kept_alive)
			listener_keepalive(conn->side[UPSTREAM].fd, keepalive_ms);
		else
			next = sooner(next, conn->opened_ms + keepalive_ms);
	}
	if (next != UINT64_MAX)
		conn_arm_timer(conn, next - now);
}

void conn_watch_relay(struct conn *conn)
{
	if (conn->kind == CONN_PLAIN)
		return forward_timer(conn);
	conn_arm_timer(conn, conn->filter->settings->idle_timeout_ms);
}

/* While relaying one timer stands for several deadlines; traffic only notes the time. */
static void relaying_timer(struct conn *conn)
{
	const struct filter_settings *settings = conn->filter->settings;
	uint64_t now = conn->owner.loop->now_ms;
	uint64_t next = conn->active_ms + settings->idle_timeout_ms;

	if (conn->head_by_ms != 0 && now >= conn->head_by_ms)
		return vet_timeout(conn);
	if (conn->kind == CONN_HTTP && conn->vet_mode == VET_HEAD && conn->http.ending) {
		if (has_answered(conn, now))
			return refuse_linger(conn, CLOSE_HOST_SWITCHED);
		next = sooner(next, now + VET_QUIET_MS);
	}
	if (now >= conn->active_ms + settings->idle_timeout_ms)
		return conn_reset(conn, CLOSE_IDLE_TIMEOUT);
	if (settings->lifetime_ms != 0) {
		if (now >= conn->opened_ms + settings->lifetime_ms)
			return conn_reset(conn, CLOSE_LIFETIME);
		next = sooner(next, conn->opened_ms + settings->lifetime_ms);
	}
	if (conn->head_by_ms != 0)
		next = sooner(next, conn->head_by_ms);
	conn_arm_timer(conn, next - now);
}

static void on_timer(struct timer *timer)
{
	struct conn *conn = container_of(timer, struct conn, timer);

	switch (conn->state) {
	case CONN_VETTING:
		vet_timeout(conn);
		break;
	case CONN_DIALLING:
		dial_timeout(conn);
		break;
	case CONN_RELAYING:
		if (conn->kind == CONN_PLAIN)
			forward_timer(conn);
		else
			relaying_timer(conn);
		break;
	case CONN_ENDING:
		refuse_timeout(conn);
		break;
	}
	owner_release(&conn->owner);            /* what the armed timer held */
}

/* By request, which the kernel finds at once; by descriptor it would look through all there are. */
static void cancel_request(struct op *cancel, struct op *victim, int fd)
{
	if (op_idle(victim))
		return;
	if (op_idle(cancel))
		op_cancel(cancel, victim);
	else    /* it may have been for the request before this one: end this one another way */
		(void)shutdown(fd, SHUT_RDWR);
}

void conn_close(struct conn *conn, enum close_reason reason)
{
	if (conn->owner.closing)
		return;                         /* the first reason wins */
	conn->reason = reason;
	for (unsigned i = 0; i < SIDES; i++) {
		struct side *side = &conn->side[i];

		cancel_request(&side->rx_cancel, &side->rx, side->fd);
		cancel_request(&side->tx_cancel, &side->tx, side->fd);
	}
	/* Something must be on its way to free it; the armed timer will not be. */
	if (conn->owner.in_flight == (timer_armed(&conn->timer) ? 1 : 0))
		op_nop(&conn->side[CLIENT].rx_cancel);
	conn->owner.closing = true;
	conn_disarm_timer(conn);
}

void conn_reset(struct conn *conn, enum close_reason reason)
{
	if (!conn->owner.closing)
		conn->reset = true;
	conn_close(conn, reason);
}

static bool is_open(const struct conn *conn)
{
	return conn->owner.free == conn_free && !conn->owner.closing;
}

static bool still_allowed(const struct conn *conn, const struct policy *policy)
{
	union addr literal;

	if (conn->kind == CONN_HTTP && addr_parse(conn_name(conn), &literal))
		return policy_has_addr(policy, &literal);
	return policy_match_port(policy, conn_name(conn), IPPROTO_TCP, addr_port(&conn->dst)) &&
	       (conn->state != CONN_RELAYING || dial_may_stay(conn));
}

/* Buffers wait for this side, which has taken nothing for a while. */
static bool is_stalled(struct side *to, uint64_t now_ms)
{
	return side_peer(to)->queue_len > 0 && !op_idle(&to->tx) &&
	       now_ms >= to->sending_ms + STALLED_MS;
}

void conns_shed(struct filter *filter)
{
	uint64_t now_ms = filter->worker->loop.now_ms;
	unsigned shed = 0;

	for (uint32_t i = 0; i < filter->conns.fresh && shed < SHED_MAX; i++) {
		struct conn *conn = pool_item(&filter->conns, i);

		if (!is_open(conn) || conn->state != CONN_RELAYING ||
		    (!is_stalled(&conn->side[CLIENT], now_ms) &&
		     !is_stalled(&conn->side[UPSTREAM], now_ms)))
			continue;
		refuse(conn, CLOSE_OVERLOAD, "reads nothing, and its buffers are needed");
		shed++;
	}
}

void conns_recheck(struct filter *filter)
{
	const struct policy *policy = policy_current();

	for (uint32_t i = 0; i < filter->conns.fresh; i++) {
		struct conn *conn = pool_item(&filter->conns, i);

		bool judged = conn->state == CONN_RELAYING || conn->state == CONN_DIALLING;

		if (is_open(conn) && judged && !still_allowed(conn, policy))
			refuse(conn, CLOSE_POLICY_CHANGED, NULL);
	}
}

void conns_close_all(struct filter *filter, enum close_reason reason)
{
	for (uint32_t i = 0; i < filter->conns.fresh; i++) {
		struct conn *conn = pool_item(&filter->conns, i);

		if (is_open(conn))
			conn_reset(conn, reason);
	}
}
