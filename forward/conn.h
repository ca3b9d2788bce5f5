/* conn.h - one connection and its two sides.
 *
 *   VETTING ──▶ DIALLING ──▶ RELAYING ──▶ freed
 *      │            │            │
 *      └────────────┴────────────┴──▶ ENDING (a last word to the client) ──▶ freed
 *
 * Any state may go straight to freed by conn_close(). */
#ifndef FORWARD_CONN_H
#define FORWARD_CONN_H

#include "core/addr.h"
#include "core/event.h"
#include "core/loop.h"
#include "core/resolver.h"
#include "forward/filter.h"
#include "forward/listen.h"
#include "proto/http.h"
#include "proto/tls.h"

enum conn_state { CONN_VETTING, CONN_DIALLING, CONN_RELAYING, CONN_ENDING };
enum { CLIENT, UPSTREAM, SIDES };

enum { QUEUE_MAX = 4 };                 /* received buffers a direction holds before it throttles */

/* One end of a connection, and the data it last sent us. */
struct side {
	int fd;                         /* -1: not open */
	uint8_t index;                  /* CLIENT or UPSTREAM */
	bool eof;                       /* it will send no more */
	bool broken;                    /* it ended by an error: pass on what it sent, then reset */
	bool shut;                      /* told that the other side sends no more */
	bool is_starved, is_ready;
	bool was_bulk;                  /* and may be again: see splice.h */
	bool deaf;                      /* the other side takes no more: bytes are dropped */
	uint8_t messages;               /* large ones in a row, up to SPLICE_MESSAGES */
	uint8_t sends;                  /* to it, counted up to the one that sets TCP_NODELAY */
	uint16_t queue_head, queue_tail, queue_len; /* received, not passed on: buf ids */
	uint16_t cleared;               /* bytes of the first of these that vetting let pass */
	struct op rx, tx;               /* tx sends to this side */
	struct op rx_cancel, tx_cancel;
	uint32_t streak;                /* bytes received since the other side said something */
	struct bulk *bulk;              /* pumped: see splice.h; else NULL */
	uint64_t bytes;                 /* received from it and passed on */
	uint64_t sending_ms;            /* when the send under way to it began */
	struct side *next_starved, *next_ready;
};

/* How the bytes of one direction are looked at before they pass: see vet.h. */
enum vet_mode {
	VET_HELLO,                      /* collect a ClientHello, hold everything */
	VET_TLS_WATCH,                  /* records pass, until a second hello or a ServerHello */
	VET_HEAD,                       /* collect a request head, hold everything */
	VET_BODY,                       /* a request's body passes */
	VET_UPGRADE,                    /* websocket asked for: wait for the server's answer */
	VET_BLIND,                      /* all passes */
};

struct conn {
	struct owner owner;             /* first: pool.h keeps it readable */
	struct filter *filter;
	struct forward_port *port;      /* CONN_PLAIN */
	enum conn_kind kind : 8;
	enum conn_state state : 8;
	enum close_reason reason : 8;
	enum vet_mode vet_mode : 8;     /* client to server */
	bool deciding;                  /* a lookup or dial is on its way: client bytes wait */
	bool reset;                     /* close with RST */
	bool kept_alive;                /* CONN_PLAIN: the upstream socket has keepalive */
	bool sending_vet;               /* what is being sent is vet->data, not the queue */
	struct side side[SIDES];
	struct timer timer;             /* what for depends on state; holds the owner while armed */
	struct vet *vet;                /* while something is collected or dialled; else NULL */
	union {
		struct tls_watch watch;
		struct {
			struct http_body body;
			uint32_t requests;
			bool upgrade;   /* the first request asks for a websocket */
			bool answered;  /* server bytes since the last request was sent */
			uint64_t answered_ms; /* when the last of them came */
			bool ending;    /* another server's turn: see vet_http.c */
			uint8_t status_len, status[12]; /* first bytes of the answer to it */
		} http;
	};
	uint64_t id, opened_ms, active_ms;
	uint64_t head_by_ms;            /* RELAYING: a head or hello that has begun must be whole */
	union addr src, dst, dialled;   /* the client, its choice, ours */
	uint8_t name_len;
	char name[HOSTNAME_MAX + 1];    /* the vetted name, or what the client sent as one */
};

static inline struct conn *side_conn(struct side *side)
{
	return container_of(side - side->index, struct conn, side[0]);
}

static inline struct side *side_peer(struct side *side)
{
	return side->index == CLIENT ? side + 1 : side - 1;
}

static inline struct str conn_name(const struct conn *conn)
{
	return (struct str){ conn->name, conn->name_len };
}

/* Take over a descriptor that may come in (admit.h) and has a slot of its port's limit: start
 * vetting or dialling.  When there is no room it is closed. */
void conn_open(struct listener *listener, int fd);

/* Ask for the end, from anywhere, twice too: the first reason wins.  Frees nothing now: the
 * caller may go on looking at conn until its handler returns. */
void conn_close(struct conn *conn, enum close_reason reason);
/* The same, and both sides see RST. */
void conn_reset(struct conn *conn, enum close_reason reason);

void conn_set_state(struct conn *conn, enum conn_state state);
/* One timer a connection: arm for after_ms from now, for what its state means by it. */
void conn_arm_timer(struct conn *conn, uint64_t after_ms);
void conn_disarm_timer(struct conn *conn);

/* Relaying has begun, or one side has ended: the timer stands for all that may end it. */
void conn_watch_relay(struct conn *conn);

/* Find out who the client is, for those that were not asked at the start. */
void conn_note_client(struct conn *conn);
/* An event with this connection's facts filled in, of the kind that its protocol has for it. */
enum conn_fact { FACT_ALLOWED, FACT_BLOCKED, FACT_DIAL, FACT_CLOSED, FACT_MISMATCH, FACTS };
bool conn_event_wanted(const struct conn *conn, enum conn_fact fact);
void conn_event(const struct conn *conn, struct event *event, enum conn_fact fact);
void conn_emit(const struct conn *conn, const struct event *event);

/* Receive buffers have run out: some connections whose reader takes nothing give theirs back. */
void conns_shed(struct filter *filter);

/* Every open connection of this worker: re-judge after a policy change; or close all. */
void conns_recheck(struct filter *filter);
void conns_close_all(struct filter *filter, enum close_reason reason);

#endif
