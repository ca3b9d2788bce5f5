/* park.c - clients that wait for a slot of their port. */
#include "forward/park.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "forward/admit.h"
#include "forward/conn.h"
#include "forward/filter.h"
#include "forward/port.h"

/* One waiting client.  The queue holds its owner until called() runs or it leaves the queue. */
struct guest {
	struct owner owner;             /* first: pool.h keeps it readable */
	struct filter *filter;
	struct forward_port *port;
	struct listener *listener;      /* may be freed once we are gone */
	struct op poll, cancel;
	struct parked parked;
	bool gone;                      /* called, but it will not be served */
	bool reset;                     /* close with RST */
	enum close_reason reason;
	int fd;                         /* -1: a connection has it */
	uint64_t since_ms;
	union addr src;                 /* known only if somebody will be told */
};

static op_fn on_left;
static void called(struct post *post);

int park_init(struct filter *filter, uint32_t conns)
{
	/* A connection has two descriptors, a waiting client one: at most a quarter of all. */
	return pool_init(&filter->parked, sizeof(struct guest), conns / 2 > 0 ? conns / 2 : 1);
}

static void emit(const struct guest *guest, enum event_kind kind, const char *detail)
{
	const char *target = guest->filter->settings->forward->target;
	struct worker *worker = guest->filter->worker;
	struct event event = { .kind = kind, .reason = guest->reason, .src = guest->src };

	if (!event_wanted(kind))
		return;
	event.duration_ms = worker->loop.now_ms - guest->since_ms;
	text_copy(event.detail, sizeof(event.detail), detail);
	text_copy(event.name, sizeof(event.name), target);
	event.name_len = (uint16_t)strlen(event.name);
	event_emit(worker->events, &event);
}

/* Runs once, when the kernel holds nothing of it any more. */
static void guest_free(struct owner *owner)
{
	struct guest *guest = container_of(owner, struct guest, owner);

	if (guest->fd >= 0 && guest->reset)
		close_with_reset(guest->fd);
	else if (guest->fd >= 0)
		close(guest->fd);
	owner->free = NULL;
	pool_give(&guest->filter->parked, guest);
}

/* Nobody holds it but requests that are being cancelled. */
static void guest_end(struct guest *guest)
{
	if (!op_idle(&guest->poll))
		op_cancel(&guest->cancel, &guest->poll);
	guest->owner.closing = true;
	owner_release(&guest->owner);
}

/* It will not be served. */
static void guest_leave(struct guest *guest, enum close_reason reason)
{
	struct metrics *metrics = &guest->filter->worker->metrics;

	if (guest->gone)
		return;
	guest->gone = true;
	guest->reason = reason;
	metric_add(&metrics->conns_closed, 1);
	metric_add(&metrics->conns_left, 1);
	emit(guest, EVENT_FORWARD_CLOSED, "before its turn came");
	if (limit_leave(&guest->port->limit, &guest->parked))
		guest_end(guest);       /* else called() is on its way */
}

static bool has_said_something(int fd)
{
	int waiting = 0;

	return ioctl(fd, FIONREAD, &waiting) < 0 || waiting > 0;
}

/* A client that is lost leaves, and so does one that ends without having said anything: it can
 * never ask for something.  One that has sent all it will is still served: io_uring reports its end
 * too, asked or not (POLLRDHUP), and would again at once: it is not looked at any more. */
static void on_left(struct op *op, int res, uint32_t flags)
{
	struct guest *guest = container_of(op, struct guest, poll);

	(void)flags;
	if (res > 0 && ((res & (POLLERR | POLLHUP)) || !has_said_something(guest->fd)))
		guest_leave(guest, CLOSE_CLIENT_LOST);
}

/* On its worker: it has a slot. */
static void called(struct post *post)
{
	struct guest *guest = container_of(post, struct guest, parked.called);
	struct listener *listener = guest->listener;
	struct limit *limit = &guest->port->limit;
	bool gone = guest->gone;
	int fd = guest->fd;

	if (!gone)
		guest->fd = -1;
	guest_end(guest);
	if (gone)
		return limit_give(limit);
	conn_open(listener, fd);
}

static void guest_init(struct guest *guest, struct listener *listener, int fd)
{
	socklen_t len = sizeof(guest->src);
	struct loop *loop = listener->owner.loop;

	*guest = (struct guest){
		.owner = { .loop = loop, .free = guest_free },
		.filter = listener->filter, .port = listener->port, .listener = listener,
		.parked = { .loop = loop, .called = { .run = called } },
		.fd = fd, .since_ms = loop->now_ms,
	};
	guest->poll.owner = guest->cancel.owner = &guest->owner;
	if ((event_wanted(EVENT_FORWARD_WAITS) || event_wanted(EVENT_FORWARD_CLOSED)) &&
	    getpeername(fd, &guest->src.sa, &len) < 0)
		guest->src.sa.sa_family = 0;
}

/* One event a second says that there is a queue; each one that waits only for who looks closely. */
static void tell(struct guest *guest)
{
	struct filter *filter = guest->filter;
	struct event event = { .kind = EVENT_FORWARD_AT_LIMIT };

	metric_add(&filter->worker->metrics.conns_parked, 1);
	emit(guest, EVENT_FORWARD_WAITS, "");
	event.count = flood_count(&filter->parkings, filter->worker->loop.now_ms);
	if (event.count == 0)
		return;
	snprintf(event.detail, sizeof(event.detail),
		 "port %u: MAX_CONNECTIONS are open, clients wait", guest->port->listen);
	event_emit(filter->worker->events, &event);
}

void park(struct listener *listener, int fd)
{
	struct filter *filter = listener->filter;
	struct guest *guest = pool_take(&filter->parked);
	enum limit_says says = LIMIT_FULL;

	if (guest) {
		guest_init(guest, listener, fd);
		says = limit_wait(&listener->port->limit, &guest->parked);
	}
	if (says == LIMIT_WAITS) {
		/* It may have been called already; it learns of it on this thread, later. */
		owner_hold(&guest->owner);
		op_poll(&guest->poll, fd, 0, on_left);
		return tell(guest);
	}
	if (guest) {
		guest->owner.free = NULL;
		pool_give(&filter->parked, guest);
	}
	if (says == LIMIT_TAKEN)
		conn_open(listener, fd);
	else
		admit_refuse(filter, fd);
}

static bool is_waiting(const struct guest *guest)
{
	return guest->owner.free == guest_free && !guest->owner.closing;
}

void park_close_all(struct filter *filter)
{
	for (uint32_t i = 0; i < filter->parked.fresh; i++) {
		struct guest *guest = pool_item(&filter->parked, i);

		if (!is_waiting(guest))
			continue;
		if (!guest->gone)
			guest->reset = true;
		guest_leave(guest, CLOSE_SHUTDOWN);
	}
}
