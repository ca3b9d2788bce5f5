/* admit.c - may a client that was accepted come in? */
#include "forward/admit.h"

#include <unistd.h>

#include "forward/conn.h"
#include "forward/dns.h"
#include "forward/filter.h"
#include "forward/park.h"
#include "forward/port.h"

void close_with_reset(int fd)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

/* VERBOSE: each one has a line; else one event a second stands for all. */
static bool tells_each(const struct filter *filter)
{
	return filter->settings->forward && filter->settings->forward->verbose > 0;
}

static void tell_refused(struct filter *filter, int fd)
{
	struct event event = { .kind = EVENT_FORWARD_REFUSED, .reason = CLOSE_OVERLOAD };
	socklen_t len = sizeof(event.src);

	if (getpeername(fd, &event.src.sa, &len) < 0)
		event.src.sa.sa_family = 0;
	event_emit(filter->worker->events, &event);
}

static void tell_refusals(struct filter *filter)
{
	uint32_t count = flood_count(&filter->refused, filter->worker->loop.now_ms);

	if (count > 0)
		event_emit(filter->worker->events,
			   &(struct event){ .kind = EVENT_CONN_REFUSED, .reason = CLOSE_OVERLOAD,
					    .count = count });
}

void admit_refuse(struct filter *filter, int fd)
{
	metric_add(&filter->worker->metrics.conns_refused, 1);
	if (tells_each(filter))
		tell_refused(filter, fd);
	else
		tell_refusals(filter);
	close_with_reset(fd);
}

/* ALLOW_FROM: a stranger sees RST. */
static bool is_stranger(struct filter *filter, int fd)
{
	struct event event = { .kind = EVENT_FORWARD_STRANGER, .reason = CLOSE_NOT_ALLOWED_FROM };
	socklen_t len = sizeof(event.src);

	if (getpeername(fd, &event.src.sa, &len) == 0 &&
	    forward_allows(filter->settings->forward, &event.src))
		return false;
	metric_add(&filter->worker->metrics.conns_strange, 1);
	event.count = tells_each(filter) ? 1 : flood_count(&filter->strangers,
							   filter->worker->loop.now_ms);
	if (event.count > 0)
		event_emit(filter->worker->events, &event);
	close_with_reset(fd);
	return true;
}

void admit(struct listener *listener, int fd)
{
	struct filter *filter = listener->filter;
	const struct forward_settings *forward = filter->settings->forward;

	if (listener->kind == CONN_DNS)
		return dns_tcp_open(filter->dns, fd);
	metric_add(&filter->worker->metrics.conns_opened, 1);
	if (forward && forward->allow_from_count > 0 && is_stranger(filter, fd))
		return;
	if (listener->port && !limit_take(&listener->port->limit))
		return park(listener, fd);
	conn_open(listener, fd);
}
