/* resolve.h - one name asked of given servers, now and without a cache: its A or its AAAA.
 *
 * Works wherever a descriptor can be waited for: on the control thread, on the one that ships
 * events, or alone in a program that has nothing else to do. */
#ifndef CORE_RESOLVE_H
#define CORE_RESOLVE_H

#include "core/egress.h"
#include "core/resolv_conf.h"
#include "proto/str.h"

enum {
	RESOLVE_ADDRS_MAX = 64,
	RESOLVE_PATIENCE_MS = 5000,     /* docker-whitelist's */
};

struct resolve_answer {
	bool failed;                    /* nobody answered, or no server could say */
	bool no_name;                   /* a server said that there is no such name */
	unsigned count;
	union addr addrs[RESOLVE_ADDRS_MAX];
};

/* The answer is good during the call; the question is gone after it. */
typedef void resolve_fn(void *context, const struct resolve_answer *answer);

struct resolve;

/* Ask for a normalised name (hostname.h), by sockets as egress says (NULL: ordinary ones; it must
 * stay).  done() is called once, from resolve_run(), within RESOLVE_PATIENCE_MS.  0 or -errno. */
int resolve_open(struct resolve **resolve, const struct upstreams *servers, struct str name,
		 sa_family_t family, const struct egress *egress, resolve_fn *done, void *context);
/* Turns readable when resolve_run() has something to do. */
int resolve_fd(const struct resolve *resolve);
void resolve_run(struct resolve *resolve);
/* Forget the question; done() is not called any more. */
void resolve_close(struct resolve *resolve);

/* Ask, and wait for the answer.  0 or -errno. */
int resolve_now(const struct upstreams *servers, struct str name, sa_family_t family,
		struct resolve_answer *answer);

#endif
