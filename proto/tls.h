/* tls.h - what a TLS client and server say in the clear: ClientHello, HelloRetryRequest.
 * Pure functions of bytes: no I/O, no clock, no allocation.  RFC 8446 (TLS 1.3), RFC 6066 3
 * (server_name), RFC 7301 (ALPN), RFC 9849 (encrypted_client_hello, 0xfe0d). */
#ifndef PROTO_TLS_H
#define PROTO_TLS_H

#include "proto/hostname.h"
#include "proto/str.h"

enum {
	TLS_HELLO_MAX = 65536,          /* handshake message body; larger is PARSED_BAD */
	TLS_HELLO_WIRE_MAX = 98304,     /* the same with its record headers, at the most */
	TLS_ALPN_TEXT_MAX = 64,
};

enum {                                  /* the record layer, RFC 8446 5.1 */
	TLS_RECORD_HEADER_LEN = 5,
	TLS_RECORD_BODY_MAX = 16384,
	TLS_RECORD_CCS = 20,
	TLS_RECORD_ALERT = 21,
	TLS_RECORD_HANDSHAKE = 22,
	TLS_RECORD_DATA = 23,
};

/* Why a hello was PARSED_BAD; the text of each is in tls_bad_text(). */
enum tls_bad {
	TLS_BAD_NONE,
	TLS_BAD_RECORD,                 /* not a handshake record, bad version or length */
	TLS_BAD_MESSAGE,                /* not a ClientHello, a vector overruns it, bytes behind it
					 * in its last record, an extension twice */
	TLS_BAD_NO_NAME,                /* no server_name extension */
	TLS_BAD_NAME,                   /* a server_name that is not one valid host name */
	TLS_BAD_TOO_LARGE,
};

/* A ClientHello that arrives bit by bit.  Zero it before the first call. */
struct tls_hello {
	/* progress, private to tls.c */
	uint32_t record_at;             /* where the next record header starts in the data */
	uint32_t message_len;           /* handshake bytes seen in whole records before it */
	uint8_t message_header[4];      /* type and length of the message */

	/* results, set on PARSED_OK */
	uint32_t wire_len;              /* bytes of data up to the end of the hello, which is also
					 * the end of its last record */
	bool ech;                       /* encrypted_client_hello present (GREASE looks the same) */
	uint8_t name_len;
	char name[HOSTNAME_MAX + 1];    /* lower case, no trailing dot, NUL-terminated */
	char alpn[TLS_ALPN_TEXT_MAX];   /* offered protocols "h2,http/1.1"; '?' for what is not
					 * graphic ASCII, "..." at the end when cut */

	enum tls_bad bad;               /* set on PARSED_BAD, all else is then zero */
};

/*
 * Parse a ClientHello from the first byte of a connection (or of the flight after a
 * HelloRetryRequest), over any number of records.
 *
 * data[0..len) is all that has arrived so far, the same bytes again with more behind them at
 * each call; parsing goes on where it stopped, so n calls cost O(n + total), not O(n * total).
 * The verdict is the same however the bytes were cut, and stays once it is not PARSED_MORE.
 *
 * PARSED_OK:   a strictly well-formed hello with exactly one valid host_name, in records that
 *              hold nothing else.  Bytes after wire_len are not looked at: they start a new
 *              record and belong to tls_watch_client().
 * PARSED_MORE: never for len >= TLS_HELLO_WIRE_MAX, so a buffer of that size is always enough.
 * PARSED_BAD:  a wrong record or message header is told by its first wrong byte or length, the
 *              inside of the message when its last record is whole.
 */
enum parsed tls_client_hello(struct tls_hello *hello, const uint8_t *data, size_t len);

const char *tls_bad_text(enum tls_bad bad);

/*
 * Watching a connection after its first hello was let through, until no second plaintext hello
 * can come (design.md, "TLS"; RFC 8446 4.1.4).
 *
 * Zero it when the first hello is PARSED_OK; then feed every byte of both directions, once and in
 * order, before it is sent on: the client's from wire_len of the hello on, the server's from its
 * first byte.  At TLS_WATCH_BLIND feeding may stop: it would only say TLS_PASS.
 */
enum tls_watch_state {
	TLS_WATCH_SERVER,               /* waiting for the server's first handshake message */
	TLS_WATCH_RETRY,                /* it was a HelloRetryRequest: a second hello must come */
	TLS_WATCH_SERVER_AGAIN,         /* second hello passed; a real ServerHello must come */
	TLS_WATCH_BLIND,                /* ServerHello seen: both directions may pass unseen */
};

struct tls_framing {                    /* where one direction is in its records */
	uint8_t header[TLS_RECORD_HEADER_LEN], header_len;
	uint16_t body_left;             /* of the current record */
};

struct tls_watch {
	enum tls_watch_state state;     /* for the caller to read; the rest is private */
	struct tls_framing client, server;
	uint8_t message[38], message_len; /* the server's handshake message up to its random */
	uint32_t message_left;          /* bytes of a HelloRetryRequest behind those */
};

enum tls_passes {
	TLS_PASS,                       /* all of the bytes may be sent on, *len is unchanged */
	TLS_HELLO_NEXT,                 /* *len bytes may; data[*len] is the first byte of a second
					 * ClientHello's first record */
	TLS_VIOLATION,                  /* not TLS, or a hello where none may be: cut.  *len is 0 */
};

/*
 * Look at data[0..*len), in pieces of any size down to one byte.  Nothing has to be held back or
 * shown twice, with one exception, TLS_HELLO_NEXT (from the client only, in TLS_WATCH_RETRY).  Then
 * 1. send on data[0..*len), keep the rest, and collect it and what follows in a buffer,
 * 2. parse that with tls_client_hello() and a fresh struct tls_hello until it is PARSED_OK,
 *    showing none of it to the watch (the server's side is fed as before meanwhile),
 * 3. compare the name with the first hello's, send on wire_len bytes,
 * 4. call tls_watch_hello_passed(), and feed what lies behind wire_len.
 * Only record headers are looked at on the client's side; change_cipher_spec, alerts and early data
 * pass.  After TLS_VIOLATION the watch is of no more use.
 */
enum tls_passes tls_watch_client(struct tls_watch *watch, const uint8_t *data, size_t *len);
/* The same for the server's bytes: TLS_PASS or TLS_VIOLATION. */
enum tls_passes tls_watch_server(struct tls_watch *watch, const uint8_t *data, size_t *len);
/* The state must be TLS_WATCH_RETRY. */
void tls_watch_hello_passed(struct tls_watch *watch);

/* A fatal alert record for a blocked hello (RFC 8446 6): access_denied. */
extern const uint8_t tls_alert_access_denied[7];

#endif
