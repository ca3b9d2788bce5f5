/* tls_watch.c - can a second plaintext ClientHello still come?
 *
 * A server may answer the first hello with a HelloRetryRequest; the client then says hello again,
 * and nothing but our watching forces it to use the same name (RFC 8446 4.1.2, 4.1.4).
 *
 *     SERVER -- HelloRetryRequest --> RETRY -- hello passed --> SERVER_AGAIN
 *        \                                                          |
 *         `------------- ServerHello -------> BLIND <-- ServerHello '
 */
#include <assert.h>

#include "proto/tls.h"

enum {
	SERVER_HELLO = 2,
	MESSAGE_HEADER_LEN = 4,
	RANDOM_AT = MESSAGE_HEADER_LEN + 2,
	SERVER_HELLO_MIN = 2 + 32 + 1 + 2 + 1,          /* body without session id, extensions */
	ALERT_LEN = 2,
	CCS_LEN = 1,
	CIPHERTEXT_MAX = TLS_RECORD_BODY_MAX + 256,     /* RFC 8446 5.2 */
};

/* RFC 8446 4.1.3: the random of a ServerHello that is a HelloRetryRequest, SHA-256 of that word. */
static const uint8_t retry_random[32] = {
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11,
	0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e,
	0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};
static_assert(RANDOM_AT + sizeof(retry_random) == sizeof(((struct tls_watch *)0)->message),
	      "message ends with the random");

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool record_len_is_good(uint8_t type, size_t len)
{
	switch (type) {
	case TLS_RECORD_CCS:
		return len == CCS_LEN;
	case TLS_RECORD_ALERT:
		return len == ALERT_LEN;
	case TLS_RECORD_HANDSHAKE:
		return len > 0 && len <= TLS_RECORD_BODY_MAX;
	case TLS_RECORD_DATA:
		return len > 0 && len <= CIPHERTEXT_MAX;
	default:
		return false;
	}
}

/* The next byte of a record header whose type the caller has accepted; false when it is wrong. */
static bool framing_take_header(struct tls_framing *framing, uint8_t byte)
{
	framing->header[framing->header_len++] = byte;
	if (framing->header_len == 2)
		return byte == 3;               /* major version */
	if (framing->header_len < TLS_RECORD_HEADER_LEN)
		return true;

	framing->header_len = 0;
	framing->body_left = (uint16_t)(framing->header[3] << 8 | framing->header[4]);
	return record_len_is_good(framing->header[0], framing->body_left);
}

static enum tls_passes violation(size_t *len)
{
	*len = 0;
	return TLS_VIOLATION;
}

enum tls_passes tls_watch_client(struct tls_watch *watch, const uint8_t *data, size_t *len)
{
	struct tls_framing *framing = &watch->client;
	size_t at = 0;

	if (watch->state == TLS_WATCH_BLIND)
		return TLS_PASS;
	while (at < *len) {
		size_t body = smaller(framing->body_left, *len - at);

		if (body > 0) {
			framing->body_left -= (uint16_t)body;
			at += body;
			continue;
		}
		if (framing->header_len == 0) {
			uint8_t type = data[at];

			if (type == TLS_RECORD_HANDSHAKE && watch->state == TLS_WATCH_RETRY) {
				*len = at;
				return TLS_HELLO_NEXT;
			}
			if (type != TLS_RECORD_CCS && type != TLS_RECORD_ALERT &&
			    type != TLS_RECORD_DATA)
				return violation(len);
		}
		if (!framing_take_header(framing, data[at++]))
			return violation(len);
	}
	return TLS_PASS;
}

/* May the server send a record of this type now? */
static bool server_type_is_good(const struct tls_watch *watch, uint8_t type)
{
	if (watch->message_len > 0)             /* RFC 8446 5.1: no records inside a message */
		return type == TLS_RECORD_HANDSHAKE;
	switch (type) {
	case TLS_RECORD_ALERT:
		return true;
	case TLS_RECORD_CCS:                    /* follows a HelloRetryRequest, RFC 8446 D.4 */
		return watch->state != TLS_WATCH_SERVER;
	case TLS_RECORD_HANDSHAKE:
		return watch->state != TLS_WATCH_RETRY;
	default:
		return false;
	}
}

/* The message is there up to its random: what is it? */
static bool server_hello_starts(struct tls_watch *watch)
{
	const uint8_t *message = watch->message;
	uint32_t len = (uint32_t)message[1] << 16 | (uint32_t)message[2] << 8 | message[3];

	if (len < SERVER_HELLO_MIN || len > TLS_HELLO_MAX || message[MESSAGE_HEADER_LEN] != 3)
		return false;
	if (memcmp(message + RANDOM_AT, retry_random, sizeof(retry_random)) != 0) {
		watch->state = TLS_WATCH_BLIND;
		return true;
	}
	watch->message_left = MESSAGE_HEADER_LEN + len - (uint32_t)sizeof(watch->message);
	return watch->state == TLS_WATCH_SERVER;        /* only one may come */
}

/* Handshake bytes of the server, from one record.  RETRY begins with the last byte of the
 * HelloRetryRequest, which a client must have before it can answer. */
static bool server_message(struct tls_watch *watch, const uint8_t *data, size_t len)
{
	while (len > 0 && watch->state != TLS_WATCH_BLIND) {
		size_t head = smaller(sizeof(watch->message) - watch->message_len, len);
		size_t rest = smaller(watch->message_left, len);

		if (watch->state == TLS_WATCH_RETRY)
			return false;           /* a message behind it, unanswered */
		if (head > 0) {
			memcpy(watch->message + watch->message_len, data, head);
			watch->message_len += (uint8_t)head;
			data += head;
			len -= head;
			if (watch->message[0] != SERVER_HELLO)
				return false;
			if (watch->message_len == sizeof(watch->message) &&
			    !server_hello_starts(watch))
				return false;
			continue;
		}
		watch->message_left -= (uint32_t)rest;
		data += rest;
		len -= rest;
		if (watch->message_left == 0) {
			watch->message_len = 0;
			watch->state = TLS_WATCH_RETRY;
		}
	}
	return true;
}

enum tls_passes tls_watch_server(struct tls_watch *watch, const uint8_t *data, size_t *len)
{
	struct tls_framing *framing = &watch->server;
	size_t at = 0;

	while (at < *len && watch->state != TLS_WATCH_BLIND) {
		size_t body = smaller(framing->body_left, *len - at);

		if (body > 0) {
			bool handshake = framing->header[0] == TLS_RECORD_HANDSHAKE;

			if (handshake && !server_message(watch, data + at, body))
				return violation(len);
			framing->body_left -= (uint16_t)body;
			at += body;
			/* The same, when the message behind it is yet to arrive. */
			if (handshake && watch->state == TLS_WATCH_RETRY && framing->body_left > 0)
				return violation(len);
			continue;
		}
		if (framing->header_len == 0 && !server_type_is_good(watch, data[at]))
			return violation(len);
		if (!framing_take_header(framing, data[at++]))
			return violation(len);
	}
	return TLS_PASS;
}

void tls_watch_hello_passed(struct tls_watch *watch)
{
	assert(watch->state == TLS_WATCH_RETRY);
	assert(watch->client.header_len == 0 && watch->client.body_left == 0);
	watch->state = TLS_WATCH_SERVER_AGAIN;
}
