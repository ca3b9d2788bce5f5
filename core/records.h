/* records.h - what the servers said about a name and a type: one cache for all workers, asked on
 * the loop of the worker that wanted to know first (decisions.md 12, 13; security.md 3.5).
 *
 * Something cached costs a hash lookup without a lock or an allocation; something being asked for
 * is asked once, whoever waits (coalesced over all workers and clients).  resolver.h looks up the
 * addresses of a name on top of this. */
#ifndef CORE_RECORDS_H
#define CORE_RECORDS_H

#include "core/addr.h"
#include "core/loop.h"
#include "proto/dns.h"

struct resolver;                        /* resolver.h: one a worker, opened and closed there */

/* How long what was learned is kept (security.md 3.5). */
enum {
	RECORDS_MAX_MS = 3600 * 1000,   /* and no TTL above it is told to a client */
	RECORDS_MIN_MS = 1000,          /* for clients; a TTL of 0 is told as 0 all the same */
	RECORDS_DIAL_MIN_MS = 5 * 1000, /* for dialling */
	RECORDS_NONE_MAX_MS = 30 * 1000, /* no such name, no such type; at least RECORDS_MIN_MS */
	RECORDS_FAILED_MIN_MS = 1000,   /* nobody answered: some time in between */
	RECORDS_FAILED_MAX_MS = 5 * 1000,
	RECORDS_GRACE_MS = 600 * 1000,  /* `recent` remembers so long after expiry */
};

enum { RECORD_ADDRS_MAX = DNS_ADDRS_MAX };     /* of addrs */

/*
 * Immutable.  Good until the calling worker's next quiet point (the end of this turn of its loop):
 * copy what you keep.
 *
 * block is as the servers gave it, read strictly (dns_response_parse()): whether an address may be
 * handed out depends on the policy, so dns_records_vet() is for a copy of yours, and only needed
 * where addr_classify() or the policy objects to one of its addresses: those of addrs, and when
 * addrs is full (RECORD_ADDRS_MAX) whatever else dns_records_next_addr() finds in block.
 */
struct records {
	bool failed;                    /* SERVFAIL to clients: block is NULL */
	bool timed_out;                 /* failed, because nobody answered in time */
	bool shed;                      /* failed, because too much is being asked for */
	uint16_t rcode;                 /* 0, 3; failed: what the last server said, else 2 */
	const struct dns_records *block;        /* rcode 0 or 3, never cut */
	uint16_t count;                 /* of addrs, at most RECORD_ADDRS_MAX */
	const union addr *addrs;        /* what block gives in A, AAAA or hints, the first of them
					 * when there are more hints: distinct, port 0 */
	uint16_t recent_count;          /* of earlier answers, within the grace window */
	const union addr *recent;
	uint64_t learned_ms;            /* CLOCK_MONOTONIC, as loop->now_ms */
	uint64_t fresh_until_ms;
	uint32_t took_us;               /* from the first question upstream to the answer */
	const char *upstream;           /* who said so: "1.1.1.1:53"; failed: who was asked, with
					 * commas; "": nobody */
};

/* Another worker's clock, by which it was learned, may be a little ahead of ours. */
static inline uint64_t records_age_ms(const struct records *records, uint64_t now_ms)
{
	return now_ms > records->learned_ms ? now_ms - records->learned_ms : 0;
}

/* For dns_answer_build(). */
static inline struct dns_age records_age(const struct records *records, uint64_t now_ms)
{
	bool none = records->rcode != 0 || !records->block || records->block->count == 0;

	return (struct dns_age){
		.age_s = (uint32_t)(records_age_ms(records, now_ms) / 1000),
		.max_s = (none ? RECORDS_NONE_MAX_MS : RECORDS_MAX_MS) / 1000,
	};
}

struct records_lookup;
typedef void records_fn(struct records_lookup *lookup, const struct records *records);

struct records_lookup {                 /* embed it in what waits; idle: done == NULL */
	struct owner *owner;            /* held while the lookup waits */
	records_fn *done;
	struct resolver *resolver;      /* private from here on */
	struct records_lookup *next, **link;    /* among those who wait, or are to be told */
	struct question *question;
	bool answered;                  /* to be told */
};

/*
 * Ask for the records of a normalised name (hostname.h; dns_query_name()).  Returns what is cached
 * at once, or NULL and calls done() once later on this worker's loop, within 2.5 s, with `failed`
 * set when nobody answered.  Not called when the owner is closing by then; the owner is held in
 * between.  With too much being asked for, a failed answer (`shed`) comes back at once.  Never
 * calls done() from within.  The lookup must be idle and have its owner.
 *
 * Only what policy lets out may be asked for: each name and type goes upstream when it is not
 * cached.  It is asked anew, in the background, when somebody wants it at 80 % of its time.
 */
const struct records *records_lookup(struct resolver *resolver, struct str name, uint16_t type,
				     struct records_lookup *lookup, records_fn *done);

/* What is cached and fresh, or NULL; never asks.  Any type. */
const struct records *records_peek(struct resolver *resolver, struct str name, uint16_t type);

/*
 * Is a client's query one of ours that came back (decisions.md 12: Docker's resolver forwards from
 * inside our namespace, unmarked)?  Compares id, type and the name with its random case, as sent,
 * with what is on its way upstream; one load when it is not.  Ask before records_lookup() when
 * nothing is cached: it would wait for itself.  Any worker's loop.
 */
bool records_are_asked_by(const struct dns_query *query);

#endif
