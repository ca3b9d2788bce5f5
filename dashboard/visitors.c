/* visitors.c - who is connected, in the order in which they were heard of.
 * Cutting is a shutdown(): libmicrohttpd sees it and closes the connection, which ends here. */
#include "dashboard/visitors.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "dashboard/rfc3339.h"

#define FIRST_HEAD_NS (10 * NS_PER_S)
#define REQUEST_NS (60 * NS_PER_S)
#define REST_NS (15 * NS_PER_S)

struct visitor {
	struct visitor *before, *behind;
	struct visitors_list *list;
	int fd;
	int64_t since_ns;
	bool came_only, asks, cut;      /* no head yet; a request is open; shut down */
};

static void take_off(struct visitor *visitor)
{
	struct visitors_list *list = visitor->list;

	if (visitor->before)
		visitor->before->behind = visitor->behind;
	else
		list->first = visitor->behind;
	if (visitor->behind)
		visitor->behind->before = visitor->before;
	else
		list->last = visitor->before;
}

static void put_first(struct visitors_list *list, struct visitor *visitor, int64_t now_ns)
{
	visitor->list = list;
	visitor->since_ns = now_ns;
	visitor->before = NULL;
	visitor->behind = list->first;
	if (list->first)
		list->first->before = visitor;
	else
		list->last = visitor;
	list->first = visitor;
}

struct visitor *visitor_came(struct visitors *visitors, int fd, int64_t now_ns)
{
	struct visitor *visitor = calloc(1, sizeof(*visitor));

	if (!visitor)
		return NULL;
	visitor->fd = fd;
	visitor->came_only = true;
	put_first(&visitors->strangers, visitor, now_ns);
	visitors->count++;
	return visitor;
}

void visitor_left(struct visitors *visitors, struct visitor *visitor)
{
	if (!visitor)
		return;
	take_off(visitor);
	visitors->count--;
	free(visitor);
}

void visitor_asks(struct visitors *visitors, struct visitor *visitor, bool known, int64_t now_ns)
{
	if (!visitor)
		return;
	visitor->came_only = false;
	visitor->asks = true;
	take_off(visitor);
	put_first(known ? &visitors->known : &visitors->strangers, visitor, now_ns);
}

void visitor_rests(struct visitor *visitor, int64_t now_ns)
{
	if (!visitor)
		return;
	visitor->asks = false;
	take_off(visitor);
	put_first(visitor->list, visitor, now_ns);
}

static void cut(struct visitor *visitor)
{
	visitor->cut = true;
	(void)shutdown(visitor->fd, SHUT_RDWR);
}

void visitors_make_room(struct visitors *visitors)
{
	struct visitor *visitor;

	if (visitors->count < visitors->max - visitors->max / 10)
		return;
	for (visitor = visitors->strangers.last; visitor; visitor = visitor->before)
		if (!visitor->cut)
			return cut(visitor);
	for (visitor = visitors->known.last; visitor; visitor = visitor->before)
		if (!visitor->cut && !visitor->asks)
			return cut(visitor);
}

void visitors_tick(struct visitors *visitors, int64_t now_ns)
{
	for (struct visitor *visitor = visitors->strangers.first; visitor;
	     visitor = visitor->behind) {
		int64_t limit_ns = visitor->came_only ? FIRST_HEAD_NS :
				   visitor->asks ? REQUEST_NS : REST_NS;

		/* Also those that ended in the middle of it, which libmicrohttpd does not always
		 * see. */
		if (now_ns - visitor->since_ns >= limit_ns)
			cut(visitor);
	}
}
