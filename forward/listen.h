/* listen.h - our listeners: multishot accept, original destination, room. */
#ifndef FORWARD_LISTEN_H
#define FORWARD_LISTEN_H

#include "core/addr.h"
#include "core/loop.h"

struct filter;
enum conn_kind { CONN_TLS, CONN_HTTP, CONN_PLAIN, CONN_KINDS };

struct listener {
	struct owner owner;
	struct filter *filter;
	struct op accept, cancel;
	struct timer retry;             /* after an accept error: armed again later */
	union addr addr;
	union addr target;              /* CONN_PLAIN: where every connection goes */
	enum conn_kind kind;
	int fd;
};

/* Listen on addr; target: where CONN_PLAIN goes.  Bound with SO_REUSEPORT, so that each worker has
 * its own queue; EADDRINUSE is
 * retried for a second (a killed instance's ring lets go of its sockets late).
 * 0 or -errno. */
int listener_open(struct filter *filter, const union addr *addr, enum conn_kind kind,
		  const union addr *target, struct listener **listener);
/* The listener ends with its last request; *listener is not to be used again. */
void listener_close(struct listener *listener);

#endif
