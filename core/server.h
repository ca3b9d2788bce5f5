/* server.h - a DNS server that we ask: where it is, and how it fares with all workers.
 *
 * A server that let a question's time pass without any answer, or that refuses us, is dead until it
 * answers something: it is asked after the others, and now and then beside them, so that it is
 * found alive again at nobody's cost. */
#ifndef CORE_SERVER_H
#define CORE_SERVER_H

#include <stdatomic.h>

#include "core/resolv_conf.h"

enum {
	SERVER_PROBE_MS = 5 * 1000,     /* between two questions to one that is dead */
	SERVER_TEXT_MAX = ADDR_TEXT_MAX + 8,
	SERVERS_MAX = 2 * UPSTREAMS_MAX, /* of both sets */
};

struct server {
	union addr addr;
	struct upstream_tls tls;
	uint8_t index;                  /* among the servers of all sets */
	uint8_t set_size;
	char text[SERVER_TEXT_MAX];     /* "1.1.1.1:53", "tls://1.1.1.1:853" */
	_Atomic uint64_t heard_ms;      /* its last answer to one of us, whatever it said */
	_Atomic uint64_t probe_at_ms;
	atomic_bool dead;
	atomic_bool echoes_case;        /* it has sent a name back as it was asked */
	_Atomic unsigned case_lost;     /* times it has not, and was asked in lower case instead */
	_Atomic unsigned case_doubts;   /* answers in another case since it has last echoed one */
	_Atomic unsigned edns_lost;     /* times it has refused EDNS, since it has last taken it */
	_Atomic uint64_t no_edns_until_ms;
	_Atomic unsigned early_closes;  /* with questions left, since it has last answered two */
	_Atomic uint64_t one_by_one_until_ms;
};

struct servers {
	unsigned count;
	struct server all[UPSTREAMS_MAX];
	char text[UPSTREAMS_MAX * (SERVER_TEXT_MAX + 1)];       /* all of them, with commas */
};

/* first_index: of the set's servers; each set has UPSTREAMS_MAX to itself. */
void servers_init(struct servers *servers, const struct upstreams *upstreams, unsigned first_index);

/* Whom to ask first, second ...: as configured, the dead ones last. */
void servers_order(struct servers *servers, uint8_t order[UPSTREAMS_MAX]);

/* It answered. */
void server_heard(struct server *server, uint64_t now_ms);
/* What was asked at asked_ms had its time: dead unless it has answered others since. */
void server_silent(struct server *server, uint64_t asked_ms, uint64_t now_ms);
void server_refused(struct server *server, uint64_t now_ms);
/* Shall the caller ask a dead one too?  True for one of all in SERVER_PROBE_MS. */
bool server_wants_probe(struct server *server, uint64_t now_ms);

/* Does it take names with random case?  Until it has proven not to. */
bool server_takes_case(const struct server *server);
/* It has sent back a name in random case as it was asked. */
void server_keeps_case(struct server *server);
/* An answer in another case has come: a forgery, but for one that never echoed it, or does no more.
 * True: it is worth asking in lower case. */
bool server_may_lose_case(struct server *server);
/* It was worth it. */
void server_loses_case(struct server *server);

/* Is it worth asking with EDNS?  Not for a while when several questions in a row were answered only
 * without: each costs a round trip more. */
bool server_takes_edns(const struct server *server, uint64_t now_ms);
/* A good answer has come: to a question with EDNS, or without because it had refused that. */
void server_answered(struct server *server, bool edns, uint64_t now_ms);

/* Does it close connections that have more than a question?  After several in a row, for a while:
 * one that is started anew closes them too, and one slow name must not delay all others long. */
bool server_wants_one_by_one(const struct server *server, uint64_t now_ms);
/* It has closed one that had more than a question, and had answered no two that were there at
 * once. */
void server_closed_early(struct server *server, uint64_t now_ms);
/* It has answered two that were there at once. */
void server_takes_many(struct server *server);

#endif
