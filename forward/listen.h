/* listen.h - our listeners: multishot accept, original destination, room. */
#ifndef FORWARD_LISTEN_H
#define FORWARD_LISTEN_H

#include "core/addr.h"
#include "core/loop.h"

struct filter;
struct filter_listener;
struct forward_port;
enum conn_kind {
	CONN_TLS, CONN_HTTP, CONN_PLAIN, CONN_KINDS,
	CONN_DNS = CONN_KINDS,          /* no struct conn: see dns_tcp.c */
};

struct listener {
	struct owner owner;
	struct filter *filter;
	struct op accept, cancel;
	struct timer retry;             /* after an accept error: armed again later */
	union addr addr;
	struct forward_port *port;      /* CONN_PLAIN: where every connection goes, and how many */
	enum conn_kind kind;
	int fd;
	struct listener *next, **link;  /* in filter->listeners, until it is freed */
};

/* Listen as `what` says.  Bound with SO_REUSEPORT, so that each worker has its own queue;
 * EADDRINUSE is retried for a second (a killed instance's ring lets go of its sockets late).
 * 0 or -errno. */
int listener_open(struct filter *filter, const struct filter_listener *what);
/* bind(2), with those retries.  0 or -errno. */
int listener_bind(int fd, const union addr *addr);
/* Ask a silent TCP peer for a sign after so long; without one it is gone after as long again. */
void listener_keepalive(int fd, uint64_t after_ms);
/* A listener ends with its last request. */
void listeners_close(struct filter *filter);

#endif
