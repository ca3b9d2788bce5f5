/* http.h - HTTP/1.x requests one after another: head, body framing, the next head.
 * Pure functions of bytes: no I/O, no clock, no allocation.  RFC 9110, RFC 9112; wherever they
 * let a recipient choose between repairing and refusing, this refuses. */
#ifndef PROTO_HTTP_H
#define PROTO_HTTP_H

#include "proto/hostname.h"
#include "proto/str.h"

enum {
	HTTP_HEAD_MAX = 65536,          /* a longer head is PARSED_BAD; lines are not counted */
	HTTP_CHUNK_LINE_MAX = 1024,     /* chunk size and extensions */
	HTTP_TRAILERS_MAX = 8192,       /* all trailer fields of a body together */
};

enum http_bad {
	HTTP_BAD_NONE,
	HTTP_BAD_REQUEST_LINE,
	HTTP_BAD_VERSION,
	HTTP_BAD_METHOD,                /* CONNECT, the HTTP/2 preface */
	HTTP_BAD_TARGET,
	HTTP_BAD_HEADER,                /* folding, bare CR or LF, NUL, space before the colon */
	HTTP_BAD_NO_HOST,
	HTTP_BAD_HOST,                  /* repeated, not uri-host [":" port], differs from target */
	HTTP_BAD_FRAMING,               /* a body length that could be read in two ways */
	HTTP_BAD_UPGRADE,               /* anything but websocket */
	HTTP_BAD_CHUNK,
	HTTP_BAD_TOO_LARGE,
};

enum http_framing { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

/* A request head that arrives bit by bit.  Zero it before each request. */
struct http_head {
	/* progress, private to http.c */
	uint32_t line_at, scan_at;
	uint16_t lines;
	uint8_t host_seen, length_seen, encoding_seen, flags;
	struct { uint32_t at, len; } authority; /* of an absolute-form target */

	/* results, set on PARSED_OK */
	uint32_t len;                   /* bytes of the head, the empty line included */
	bool http10;
	bool upgrade_websocket;         /* tunnel once the server answers 101, not before */
	bool host_is_address;           /* host holds an IP literal, v6 without brackets */
	enum http_framing framing;
	uint64_t body_len;              /* HTTP_BODY_LENGTH */
	uint8_t host_len;
	char host[HOSTNAME_MAX + 1];    /* lower case, no port, no trailing dot, NUL-terminated */

	enum http_bad bad;              /* set on PARSED_BAD */
};

/*
 * Parse one request head at data[0..len), resumable like tls_client_hello(): the same bytes
 * again with more behind them.  A line that is wrong is PARSED_BAD as soon as it is complete,
 * or earlier when no continuation can make it right (so "SSH-2.0-..." does not wait for a
 * timeout).  Results point nowhere: they are copied out.
 */
enum parsed http_request_head(struct http_head *head, const uint8_t *data, size_t len);

/* The body behind a head.  http_body_start() after PARSED_OK. */
struct http_body {
	enum http_framing framing;
	uint64_t left;                  /* of the body or the current chunk */
	uint8_t state;                  /* chunked: where in the framing; private */
	uint16_t line_len;              /* chunk-size line or all trailers so far, bounded */
	uint8_t trailer[32], trailer_len; /* name of the trailer field being read */
	enum http_bad bad;
};

void http_body_start(struct http_body *body, const struct http_head *head);

/* Take body bytes from data[0..*len) and lower *len to those that belong to this body (chunk
 * framing and trailers included) and may be sent on.  PARSED_OK: the body ends at *len, the next
 * request head follows; PARSED_MORE: all of it is body; PARSED_BAD: nothing more may pass, *len
 * is 0. */
enum parsed http_body_feed(struct http_body *body, const uint8_t *data, size_t *len);

/*
 * The first status line of a response, to know whether an upgrade was granted.
 * PARSED_OK: *status is 100 to 599; PARSED_MORE: need up to 12 bytes; PARSED_BAD: not HTTP/1.x.
 */
enum parsed http_response_status(const uint8_t *data, size_t len, unsigned *status);

const char *http_bad_text(enum http_bad bad);

/* A whole 403 response for a blocked request, naming the host and the reason, with
 * Connection: close.  Returns its length, 0 when it does not fit into size (with 768 it always
 * does, for a reason of up to 256 bytes); host must be normalised text. */
size_t http_forbidden(char *out, size_t size, struct str host, struct str reason);

#endif
