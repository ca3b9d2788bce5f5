/* dns.h - the resolver that workloads talk to, on each worker: it answers for names that the policy
 * lists and asks upstream for no other.
 *
 *   dns_udp.c, dns_tcp.c   messages in, answers out
 *   dns_ask.c              a question's way: judge -> rate -> look up -> vet -> learn -> answer
 *   dns_judge.c            what may be asked, and what of an answer may be told
 *   dns_learn.c            dns-strict: addresses are opened before they are told
 *   dns_answer.c           what the client gets
 *   dns_rate.c             how many questions
 *   dns_reverse.c          the names of addresses that were given out
 *   dns_tell.c             what is told of it
 *
 * Nothing is allocated for a question: what must wait for an upstream takes an ask from a pool. */
#ifndef FORWARD_DNS_H
#define FORWARD_DNS_H

#include "core/learn.h"
#include "core/policy.h"
#include "core/pool.h"
#include "core/records.h"
#include "forward/dns_rate.h"
#include "forward/dns_reverse.h"
#include "forward/dns_tcp.h"
#include "forward/filter.h"
#include "forward/udp_receive.h"

enum {
	DNS_ASKS_MAX = 4096,            /* questions being answered, a worker */
	DNS_MESSAGE_MAX = 2048,         /* a question; a longer datagram is dropped, and one that is
					 * announced by TCP ends its connection */
	DNS_HOLDS_MAX = 512,            /* of these, waiting for the kernel (dns-strict) */
	DNS_BUFS = 128,                 /* datagrams received in a turn, a worker */
	DNS_LEARN_MS = 2000,            /* time to open an answer's addresses */
	DNS_ANEW_MS = 4000,             /* from its beginning on a question is not judged anew */
	DNS_NOTED = 4096,               /* a power of two */
	DNS_GRACE_S = 600,              /* they stay open for so long after the TTL, as `recent` */
};

/* What is done about a name that the policy does not list. */
enum dns_unlisted {
	DNS_UNLISTED_BLOCKED,           /* it is not asked for */
	DNS_UNLISTED_BY_ADDRESS,        /* asked for, but only listed addresses are told */
};

struct dns_settings {                   /* shared by all workers, never changed */
	enum dns_unlisted unlisted;
	enum dns_blocked_answer blocked_answer;
	bool hardening;
	struct dns_rates *rates;
	struct dns_reverse *reverse;
	struct dns_rate client_rate, wildcard_rate;     /* of wildcards 0: no limit */
};

/* What a question and its answer have come to: what is told of it. */
struct dns_outcome {
	enum event_kind kind;
	enum close_reason reason;
	uint16_t rcode;
	uint16_t left_out;              /* addresses that may not be told */
	int error;
	bool silent;                    /* told of by another event, or not worth one */
	const char *note, *upstream;    /* NULL: of records */
	const struct dns_records *answer;
	const struct records *records;
};

/* An answer that waits until the kernel knows its addresses. */
struct dns_hold {
	struct dns_ask *ask;
	struct learn learn;
	struct timer timer;
	bool late;                      /* answered already */
	uint16_t left_out;              /* for what is told of it */
	const char *upstream;
	struct dns_age age;
	uint64_t held_ms;
	unsigned count;                 /* of items */
	struct learn_item items[LEARN_ITEMS_MAX];
	struct dns_records answer;
};

struct dns_ask {
	struct dns *dns;
	struct dns_udp *udp;            /* through which it came: one of these */
	struct dns_conn *conn;
	struct dns_ask *next, **link;   /* of those that wait there */
	struct records_lookup lookup;
	struct dns_hold *hold;
	uint64_t begun_us;
	bool by_address;                /* its name is not listed: only listed addresses */
	bool other_family;              /* by_address: looking at the family not asked for */
	union addr client;
	const char *rule;               /* of the policy: NULL while it waits */
	struct dns_query query;
};

struct dns {
	struct filter *filter;
	const struct dns_settings *settings;
	struct udp_inlet inlet;
	struct dns_udp *sockets;        /* those that have not ended */
	struct pool asks, holds, conns;
	struct dns_conn *open;          /* TCP connections, the last that spoke last */
	struct dns_conn **open_end;
	struct flood limited, invalid, malformed, failures, learn_failures;
	bool own_told;                  /* Docker sends our questions back to us */
	struct dns_noted {              /* whose addresses are in settings->reverse already */
		const struct dns_records *records;
		uint64_t learned_ms;
	} noted[DNS_NOTED];
	struct dns_batch *batch;        /* answers of this turn */
	struct dns_records vetted;      /* of the question at hand */
	uint8_t answer[DNS_ANSWER_MAX];
};

/* 0 or -errno; *dns is to be finished in any case. */
int dns_open(struct filter *filter, struct dns **dns);
/* UDP on this address; TCP is for listener_open().  0 or -errno. */
int dns_listen(struct dns *dns, const union addr *addr);
/* Everything ends with its last request. */
void dns_close(struct dns *dns);
bool dns_idle(const struct dns *dns);
void dns_finish(struct dns *dns);
/* After each turn of the loop: the answers go. */
void dns_turn(struct dns *dns);

/* A message of a client.  Answered now or later; ask->udp or ask->conn says through what. */
void dns_ask(struct dns *dns, const struct dns_ask *from, const uint8_t *data, size_t len);
/* The owner of what it came through. */
struct owner *dns_ask_owner(const struct dns_ask *ask);
struct loop *dns_ask_loop(const struct dns_ask *ask);
/* It is answered later, and then freed.  The policy of this turn is not that of a later one: what
 * it said is forgotten. */
void dns_ask_waits(struct dns_ask *ask);
/* Sets ask->rule by the policy now in force: at first, and whenever a wait is over. */
bool dns_ask_listed(struct dns_ask *ask);
/* What was to be opened by a policy of before is judged by the one now in force. */
void dns_ask_again(struct dns_ask *ask);
void dns_ask_free(struct dns_ask *ask);
/* What waits there is forgotten: its owner is closing and its requests are over. */
void dns_asks_drop(struct dns_ask *first);

/* dns_udp.c and dns_tcp.c: an answer goes out. */
void dns_udp_send(struct dns_udp *udp, const union addr *to, const uint8_t *data, size_t len);
struct owner *dns_udp_owner(struct dns_udp *udp);
struct dns_ask **dns_udp_asks(struct dns_udp *udp);
const union addr *dns_udp_addr(const struct dns_udp *udp);

/* dns_answer.c: outcome is told, and the answer sent. */

/* As DNS_BLOCKED_ANSWER says. */
void dns_answer_blocked(struct dns_ask *ask, struct dns_outcome *outcome);
void dns_answer_refused(struct dns_ask *ask, struct dns_outcome *outcome);
/* error: extended, DNS_ERROR_*. */
void dns_answer_servfail(struct dns_ask *ask, uint16_t error, const char *text,
			 struct dns_outcome *outcome);
/* There is none. */
void dns_answer_no_name(struct dns_ask *ask, struct dns_outcome *outcome);
/* No such type: of an unlisted name with listed addresses, or all were left out. */
void dns_answer_nothing(struct dns_ask *ask, const char *text, struct dns_outcome *outcome);
void dns_answer_records(struct dns_ask *ask, const struct dns_records *records,
			struct dns_age age, struct dns_outcome *outcome);
void dns_answer_malformed(struct dns_ask *ask, enum dns_verdict verdict);

/* dns_learn.c: keep the answer until its addresses are in force.  False: answered already. */
bool dns_learn(struct dns_ask *ask, const struct dns_records *answer, struct dns_age age,
	       struct dns_outcome *outcome);

/* An address of an answer, as others have it. */
void dns_addr_plain(const struct dns_addr *addr, union addr *plain);

/* dns_judge.c */

enum dns_says {
	DNS_SAYS_ASK,                   /* ask upstream */
	DNS_SAYS_BLOCKED,               /* policy: answered as DNS_BLOCKED_ANSWER says */
	DNS_SAYS_REFUSED,               /* REFUSED; outcome says why */
};
/* May this be asked for? */
enum dns_says dns_judge(struct dns_ask *ask, struct dns_outcome *outcome);
/* Is what was answered good for a client?  *answer is records->block or, with addresses left out,
 * dns->vetted.  false: SERVFAIL, outcome says why. */
bool dns_judge_answer(struct dns_ask *ask, const struct records *records,
		      const struct dns_records **answer, struct dns_outcome *outcome);
/* May this address be told to whoever asked?  dns_judge_answer() has left out what may not. */
bool dns_may_tell(const struct dns_ask *ask, const struct dns_addr *addr);
/* Does the policy list one of these addresses? */
bool dns_has_listed(const struct records *records);

/* dns_tell.c: an event, and the counters. */
void dns_tell(const struct dns_ask *ask, const struct dns_outcome *outcome);

#endif
