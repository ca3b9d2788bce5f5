/* visitors.h - connections: how long each may stay, and which go first when there are too many.
 *
 * A stranger is one whose last request came with no key, no session and no proxy's word, or that
 * has sent none yet: anybody can have thousands of them.  One of somebody we know stays as long as
 * libmicrohttpd lets it. */
#ifndef DASHBOARD_VISITORS_H
#define DASHBOARD_VISITORS_H

#include <stdbool.h>
#include <stdint.h>

struct visitor;

struct visitors {
	struct visitors_list {
		struct visitor *first, *last;   /* whoever was heard of last comes first */
	} strangers, known;
	unsigned count, max;
};

/* NULL: no memory; the connection goes on unseen. */
struct visitor *visitor_came(struct visitors *visitors, int fd, int64_t now_ns);
void visitor_left(struct visitors *visitors, struct visitor *visitor);  /* NULL is fine */
/* It sends a request; known: of somebody we know. */
void visitor_asks(struct visitors *visitors, struct visitor *visitor, bool known, int64_t now_ns);
/* The request is over. */
void visitor_rests(struct visitor *visitor, int64_t now_ns);

/* Near the limit: one is cut, the one that nobody will miss. */
void visitors_make_room(struct visitors *visitors);
/* Now and then: strangers that stay too long are cut. */
void visitors_tick(struct visitors *visitors, int64_t now_ns);

#endif
