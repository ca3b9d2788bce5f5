/* ask.h - one name and type asked upstream: tries at one server after another, until one answers.
 *
 * Each server has its time (ASK_TRY_MS at first, longer when all have had theirs), so that a dead
 * one costs a client 300 ms at most, with what timers and the next one add; then the next is asked
 * too, and whichever answers first is heard.  One that refuses, fails or sends nonsense is
 * passed over at once.  A try goes by a datagram (ask_udp.h), by a connection (ask_stream.h) when
 * the answer was cut, or over TLS where the server is configured so.
 *
 *   ask -- try 1 --> server A: silence ----------> (still heard)
 *     `-- after 280 ms: try 2 --> server B: answer --> done() */
#ifndef CORE_ASK_H
#define CORE_ASK_H

#include "core/op.h"
#include "core/server.h"
#include "core/timer.h"
#include "proto/dns.h"

struct resolver;

enum {
	ASK_TRY_MS = 280,               /* for the first round of servers; then twice as long */
	ASK_STREAM_TRY_MS = 800,        /* with the time to connect */
	ASK_TRIES_MAX = 8,
};

struct ask_answer {
	bool failed;                    /* records is NULL */
	bool timed_out;                 /* failed, because nobody answered in time */
	uint16_t rcode;                 /* of records; failed: what a server said, else 2 */
	const struct dns_records *records;      /* good during the call */
	const struct server *server;    /* who said so; NULL: nobody */
	uint32_t took_us;
};

/* The ask is gone by then. */
typedef void ask_fn(void *context, const struct ask_answer *answer);

struct ask_how {
	struct servers *servers;
	uint64_t deadline_ms;           /* on the loop's clock */
	ask_fn *done;
	void *context;
};

struct ask;

/* done() comes later from the loop, exactly once unless ask_close() is called before.  The name is
 * normalised, without a dot at its end.  0; -EINVAL without a server, or not a name; -ENOBUFS. */
int ask_open(struct resolver *resolver, const struct ask_how *how, struct str name, uint16_t type,
	     struct ask **ask);
/* Forget the question; done() is not called any more. */
void ask_close(struct ask *ask);
/* Memory for a resolver's asks.  0 or -ENOMEM. */
int asks_init(struct resolver *resolver);
/* All of a resolver that closes, also those that nobody waits for. */
void asks_close(struct resolver *resolver);
/* When its last request is over. */
void asks_finish(struct resolver *resolver);

/* For ask_udp.c and ask_stream.c: one message to one server. */
struct try {
	struct op send;                 /* a datagram's */
	struct ask *ask;                /* NULL: nobody waits; goes back when the send is over */
	bool taken;                     /* false: in the pool, for who walks all */
	struct try *next, **link;       /* of those on the same port or stream; NULL: on none */
	struct udp_port *port;
	struct stream *stream;
	struct server *server;
	uint64_t sent_ms;
	bool edns, lower, written;
	bool in_company;                /* written while the stream had others */
	struct dns_question question;
	uint16_t len;                   /* of the message, which begins at wire[2] */
	uint8_t wire[2 + DNS_QUESTION_MAX];     /* behind its length, as TCP wants it */
};

enum try_end {
	TRY_HEARD,                      /* what came is in resolver->heard */
	TRY_GARBLED,                    /* an answer, but not well formed */
	TRY_REFUSED,                    /* the server or the network does not want it */
	TRY_CLOSED,                     /* a connection that worked was closed: try again */
	TRY_UNSENT,                     /* we had no room or no memory for it: again in a moment */
};

void try_join(struct try *try, struct try **list);
void try_leave(struct try *try);
/* What a message that came in says to those in the list; counts it when it is for none of them.
 * The try that it answers has left the list; NULL: wait on. */
struct try *try_match(struct resolver *resolver, struct try *list, const uint8_t *data, size_t len,
		      enum try_end *end);
/* It has left its list; the ask goes on, or is done.  Not from within ask_open(). */
void try_ended(struct try *try, enum try_end end);
/* Its send is over. */
void try_sent(struct try *try);

#endif
