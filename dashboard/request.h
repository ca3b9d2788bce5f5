/* request.h - one HTTP request, from its head to its reply.
 *
 *      head: route found, who asks, may they  ->  body  ->  handler  ->  reply
 *
 * A handler runs on the server's thread, or on a thread with a store while the connection is
 * suspended; it fills the reply and never touches the connection otherwise. */
#ifndef DASHBOARD_REQUEST_H
#define DASHBOARD_REQUEST_H

#include <microhttpd.h>

#include "core/addr.h"
#include "dashboard/out.h"
#include "dashboard/who.h"
#include "dashboard/work.h"

enum { REPLY_HEADERS_MAX = 4, REPLY_MAX = 64 << 20, REQUEST_ID_MAX = 64 };

struct stream;
struct route;
struct server;

struct reply {
	unsigned status;                /* 0: none yet */
	const char *type;
	char *body;                     /* freed by the reply */
	size_t len;
	struct {
		const char *name;
		char *value;            /* freed by the reply */
	} headers[REPLY_HEADERS_MAX];
	unsigned header_count;
	struct stream *stream;          /* instead of a body */
};

struct request {
	struct server *server;
	struct MHD_Connection *conn;
	const struct route *route;      /* NULL: none, there is a reply */
	struct str url;
	char id[REQUEST_ID_MAX];        /* what stands for {id} in the path */
	char remote[ENTRY_REMOTE_MAX];  /* the peer, "ip:port" */
	char source[ADDR_TEXT_MAX];     /* the client, as trusted proxies say */
	bool by_proxy, by_https;        /* through one of them; as it says */
	struct who who;
	struct out body;
	bool body_too_long, waited;
	bool parked, look_again;        /* waits for an unblock: waiters.h */
	uint64_t wakes_seen;
	int64_t park_until_ns;
	struct request *next_parked;
	int64_t since_ns;
	struct job job;
	struct reply reply;
	/* All that are there: server.c. */
	struct request *before, *behind;
};

/* A value of the query, empty when it is not there. */
struct str request_arg(const struct request *request, const char *name);
/* A decimal number of the query; fallback when it is not there, no number, or not in the range. */
int64_t request_number(const struct request *request, const char *name, int64_t min, int64_t max,
		       int64_t fallback);
/* A header, "" when it is not there. */
const char *request_header(const struct request *request, const char *name);
/* The body as a JSON object, ours to release; NULL: a 400 is the reply. */
json_t *request_object(struct request *request);

/* Replies: the first one counts.  A failed or too long text becomes a 500. */
void reply_out(struct request *request, unsigned status, struct out *out);
void reply_text(struct request *request, unsigned status, const char *type, const char *text);
void reply_json_text(struct request *request, unsigned status, const char *text);
/* {"error":"..."} as text/plain, like generation B. */
void reply_error(struct request *request, unsigned status, const char *error);
void reply_header(struct request *request, const char *name, const char *value);
/* The store failed: logged, and a 500 {"error":"store error"}. */
void reply_store_error(struct request *request, struct store *store);
void reply_finish(struct reply *reply);

#endif
