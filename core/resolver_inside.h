/* resolver_inside.h - what resolver.c, records.c, resolver_lookup.c and ask*.c share of a resolver.
 * Nobody else includes it. */
#ifndef CORE_RESOLVER_INSIDE_H
#define CORE_RESOLVER_INSIDE_H

#include <pthread.h>

#include "core/ask_stream.h"
#include "core/ask_udp.h"
#include "core/pool.h"
#include "core/random.h"
#include "core/record_table.h"
#include "core/resolver.h"

enum {
	BUDGET_MS = 2500,               /* for a lookup, over all servers and tries */
	ASKS_MAX = 256,                 /* a worker's questions upstream at once; others queue */
	PROBES_MAX = 16,                /* and questions to dead servers */
	TRIES_MAX = 4 * ASKS_MAX,
	QUESTIONS_MAX = 4096,           /* of all workers; what is beyond is refused */
	QUESTIONS_CLIENTS_MAX = 3072,   /* of these for records_lookup(): connections come first */
	QUESTION_BUCKETS = 1024,
};

struct resolver {
	struct owner owner;             /* held while open, by streams, asks, a pending post */
	struct resolver *next;
	uint32_t mark;
	struct random random;
	_Atomic uint64_t counts[RESOLVER_COUNTS];       /* written by this worker alone */

	/* ask*.c */
	struct pool asks, tries;
	struct udp_ports udp;
	struct stream *streams;
	unsigned stream_count;
	struct dns_records heard;       /* until the answer it came in has been dealt with */

	/* records.c */
	unsigned asking, answered;
	struct question *queue, **queue_last;
	struct records_lookup *inbox;   /* answered, to be told; shared.lock, as the next two */
	bool posted, closed;
	struct post post;

	/* resolver_lookup.c */
	struct lookup *lookups;         /* that wait */
	struct answer answer;
	union addr addrs[RESOLVER_ADDRS_MAX], recent[RESOLVER_ADDRS_MAX];
};

struct resolver_shared {
	struct servers dotted, dotless;
	bool past_docker;               /* resolv_conf.h */
	uint64_t fresh_max_ms;          /* 0: what the TTL says */
	struct record_table *table;
	pthread_mutex_t lock;           /* what follows, waiters and inboxes */
	char tls_error[256];
	struct question *questions[QUESTION_BUCKETS];
	unsigned question_count;
	struct resolver *resolvers;     /* all that have not ended */
	uint64_t ended_counts[RESOLVER_COUNTS];
};

extern struct resolver_shared resolver_shared;

static inline struct resolver *resolver_of(struct op *op)
{
	return container_of(op->owner, struct resolver, owner);
}

static inline void resolver_add(struct resolver *resolver, enum resolver_count which, uint64_t n)
{
	uint64_t now = atomic_load_explicit(&resolver->counts[which], memory_order_relaxed);

	atomic_store_explicit(&resolver->counts[which], now + n, memory_order_relaxed);
}

/* records.c, for resolver.c and resolver_lookup.c */

enum joined { JOINED, JOIN_KNOWN, JOIN_SHED };

/* Join the question for it, or open one.  JOIN_KNOWN: *known is good for clients, or for dialling;
 * JOIN_SHED, *known NULL: too much is being asked for.  lookup NULL: nobody waits. */
enum joined question_join(struct resolver *resolver, const struct record_key *key,
			  struct records_lookup *lookup, bool for_client,
			  struct record_entry **known);
/* Ask again, nobody waits. */
void question_refresh(struct resolver *resolver, const struct record_key *key);
/* What it waits for, or is just being told. */
struct str records_name(const struct records_lookup *lookup);
/* Stop waiting: done() does not come any more, the owner is released. */
void records_cancel(struct records_lookup *lookup);
/* The resolver is being closed, under no lock: its lookups are dropped, its questions fail. */
void questions_close(struct resolver *resolver);
void inbox_deliver(struct post *post);

/* resolver.c */
void resolver_note_tls_error(const char *server, const char *text);

/* resolver_lookup.c */
void lookups_close(struct resolver *resolver);

#endif
