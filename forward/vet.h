/* vet.h - looking at what a client sends before it passes, and judging it.
 *
 * Only client-to-server bytes are held.  The relay hands every received buffer to vet_client();
 * what it says passes is sent, what it takes is collected in conn->vet until a whole hello or head
 * is there.  Then: decide (policy), dial (once a connection), and the collected bytes are sent. */
#ifndef FORWARD_VET_H
#define FORWARD_VET_H

#include "core/addr.h"
#include "forward/conn.h"
#include "forward/target.h"
#include "proto/proxy_header.h"

enum {
	VET_CANDIDATES_MAX = 16,        /* addresses of a name that are tried */
	VET_SMALL = 4096,               /* most hellos and heads fit in what is left of this */
	VET_LARGE = TLS_HELLO_WIRE_MAX, /* the largest hello on the wire; heads: HTTP_HEAD_MAX */
	VETS_SMALL_MAX = 4096,          /* connections being vetted or dialled, a worker: 16 MiB */
	VET_QUIET_MS = 250,             /* an answered connection that may end */
	VETS_LARGE_MAX = 256,           /* of these with a large hello or head: 24 MiB */
};

/* What a connection needs only while it is being judged and dialled. */
struct vet {
	uint8_t *data;                  /* collected bytes; `small` or a large page */
	uint32_t size, len;             /* of data; collected */
	uint32_t pass, sent;            /* judged good: to be sent; sent already */
	union {
		struct tls_hello hello;
		struct http_head head;
	};
	bool mismatch;                  /* the client's address was not the name's */
	char rule[64];                  /* the entry that let it through */
	uint8_t candidate_count, candidate_at;
	struct target_ask ask;          /* of the name; its lookup only where it is a client's */
	union addr candidates[VET_CANDIDATES_MAX];
	uint8_t small[];
};

/* What is forwarded unjudged has nothing to collect; a PROXY header may go before it. */
enum { VET_PLAIN = sizeof(struct vet) + PROXY_HEADER_MAX };

/* Bytes of vet->small. */
static inline size_t vet_small_size(const struct filter *filter)
{
	return filter->vets.item_size - sizeof(struct vet);
}

/* Start vetting a new connection.  False: no room, the caller closes. */
bool vet_begin(struct conn *conn);
/* Give back what vetting held. */
void vet_end(struct conn *conn);

enum vet_says {
	VET_PASSES,                     /* send the first *len bytes */
	VET_TAKEN,                      /* *len bytes were collected: nothing to send yet */
	VET_HOLDS,                      /* nothing may move now; vetting pumps again by itself */
	VET_CLOSED,                     /* the connection is ending */
};

/* Look at client bytes in order. */
enum vet_says vet_client(struct conn *conn, const uint8_t *data, size_t *len);
/* The client will send no more: a half hello or head can never become whole. False: closed. */
bool vet_client_eof(struct conn *conn);
/* How many bytes of this direction may pass without being looked at; SIZE_MAX: all. */
size_t vet_unseen(const struct side *from);
/* So many of them have passed. */
void vet_skip(struct side *from, size_t len);
/* Look at server bytes in order, before they pass.  False: the connection is ending. */
bool vet_server(struct conn *conn, const uint8_t *data, size_t len);
/* All that was judged good has been sent. */
void vet_sent(struct conn *conn);
/* The time for a whole hello or head is over. */
void vet_timeout(struct conn *conn);

/* Collect bytes: as many as there is room for, and a larger buffer only when there is none.
 * Returns how many; 0: too many, or no memory for more (the connection is ending). */
size_t vet_collect(struct conn *conn, const uint8_t *data, size_t len);
/* Judge conn->name, then dial; ends in dial_* or in a refusal. `rule` of the policy is kept. */
void vet_decide(struct conn *conn, bool literal);

/* vet_tls.c and vet_http.c: the two protocols behind the calls above. */
enum vet_says vet_tls_client(struct conn *conn, const uint8_t *data, size_t *len);
bool vet_tls_server(struct conn *conn, const uint8_t *data, size_t len);
enum vet_says vet_http_client(struct conn *conn, const uint8_t *data, size_t *len);
bool vet_http_server(struct conn *conn, const uint8_t *data, size_t len);
void vet_http_sent(struct conn *conn);
void vet_http_answered(struct conn *conn);

#endif
