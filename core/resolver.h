/* resolver.h - names to addresses, on top of what the servers say about A and AAAA (records.h),
 * and the resolver itself: whom it asks, one for each worker (decisions.md 12, 13; security.md
 * 3.5).
 *
 * A cached name costs two hash lookups without a lock or an allocation. */
#ifndef CORE_RESOLVER_H
#define CORE_RESOLVER_H

#include "core/addr.h"
#include "core/loop.h"
#include "core/records.h"
#include "core/resolv_conf.h"

enum { RESOLVER_ADDRS_MAX = 64 };       /* of one name; more are left out */

/* Good until the calling worker's next lookup or quiet point: copy what you keep.  Addresses are as
 * the servers gave them: whether one may be dialled is for addr_classify().  All that
 * records_lookup() gave for A, AAAA or HTTPS is among them. */
struct answer {
	uint16_t count;                 /* 0: no such name, no address, or nobody answered */
	bool failed;                    /* SERVFAIL, timeout: try again later, not "no such name" */
	bool timed_out;                 /* failed, because nobody answered in time */
	const union addr *addrs;        /* port 0; A and AAAA */
	uint16_t recent_count;          /* addresses of earlier answers, within the grace window */
	const union addr *recent;
};

/* Why it has no address. */
static inline const char *answer_why_none(const struct answer *answer)
{
	return answer->timed_out ? "no resolver answered in time" :
	       answer->failed	 ? "no resolver gave a good answer" :
				   "no such name";
}

struct resolver;                        /* one a worker */

/* Where questions go.  upstreams: DNS_UPSTREAMS ("1.1.1.1:53,tls://[2001:db8::1]"), or NULL/"" for
 * the system's: resolv_conf (a path, normally /etc/resolv.conf); when its nameserver is Docker's
 * 127.0.0.11, dotted names go straight to the ExtServers it notes, names without a dot and
 * host(...) servers through 127.0.0.11 (resolv_conf.h).  Called once, before any resolver_open();
 * again only when all resolvers have ended, which also empties the cache.
 * 0, or -errno with *error a text of one line (valid until the next call). */
int resolver_configure(const char *upstreams, const char *resolv_conf, const char **error);
/* The same with servers already known.  fresh_max_ms: no answer is kept for longer, whatever its
 * TTL; 0: as long as it says.  0 or -ENOMEM. */
int resolver_configure_servers(const struct upstream_sets *servers, uint64_t fresh_max_ms);

/* Who is asked for names with a dot: "1.1.1.1:53,tls://9.9.9.9:853".  True: DNS_UPSTREAMS has
 * Docker's resolver, and those that it would ask are asked in its place. */
bool resolver_servers(char *text, size_t size);

/* The worker's own channels, on its loop.  The caller is the loop's thread.
 * mark: SO_MARK for every socket, 0: none. */
int resolver_open(struct loop *loop, uint32_t mark, struct resolver **resolver);
/* Drops waiting lookups: their done() is not called, their owners (which must be closing, or hold
 * something else) are released.  Not from within done().  Memory goes when the loop has run the
 * last requests: step it until resolver_ended(). */
void resolver_close(struct resolver *resolver);
/* Is nothing left of the resolvers of this loop? */
bool resolver_ended(const struct loop *loop);

struct lookup;
typedef void lookup_fn(struct lookup *lookup, const struct answer *answer);

struct lookup {                         /* embed it in what waits; idle: done == NULL */
	struct owner *owner;            /* held while the lookup waits */
	lookup_fn *done;
	struct resolver *resolver;      /* private from here on */
	struct records_lookup families[2];      /* A, AAAA */
	struct lookup *next, **link;    /* of all that wait here */
	struct timer patience;          /* with one family, when the other has addresses */
	uint64_t began_ms;
};

/*
 * Ask for a normalised name.  Returns the cached answer at once, or NULL and calls done() once
 * later on this worker's loop: within 2.5 s, with count 0 and failed set when nobody answered.
 * Not called when the owner is closing by then; the owner is held in between.  With too many names
 * being asked for, a failed answer comes back at once.  The lookup must be idle and have its owner.
 */
const struct answer *resolver_lookup(struct resolver *resolver, struct str name,
				     struct lookup *lookup, lookup_fn *done);

enum resolver_count {
	RESOLVER_LOOKUPS,               /* calls of resolver_lookup() and records_lookup() */
	RESOLVER_HITS,                  /* answered from the cache */
	RESOLVER_QUESTIONS,             /* names and types asked upstream */
	RESOLVER_REFRESHES,             /* of these, before the answer ran out */
	RESOLVER_FAILURES,              /* questions without an answer */
	RESOLVER_TIMEOUTS,              /* of these, because nobody answered in time */
	RESOLVER_SHED,                  /* lookups refused: too much being asked for */
	RESOLVER_FORGED,                /* messages that were no answer to what was asked */
	RESOLVER_SOCKETS_REFUSED,       /* sockets that could not be opened and marked */
	RESOLVER_TRIES,                 /* messages sent upstream */
	RESOLVER_STREAMS,               /* connections opened upstream, TCP or TLS */
	RESOLVER_TLS_FAILURES,          /* of these, without a good certificate or hello */
	RESOLVER_COUNTS,
};

/* Since the start, over all resolvers; any thread. */
uint64_t resolver_count(enum resolver_count which);

/* Why the last DNS-over-TLS connection failed, in one line; "": none has.  Any thread. */
void resolver_tls_error(char *text, size_t size);

#endif
