/* http_body.c - where a request body ends (RFC 9112 6, 7).
 * Chunk framing is read byte by byte and chunk data skipped over; nothing is kept but a few
 * counters, so a body of any size in reads of any size costs the same. */
#include "proto/http.h"

#include <assert.h>

#include "proto/http_chars.h"

/* http_body.state of a chunked body; "5;ext CRLF data CRLF 0 CRLF Trailer: value CRLF CRLF" */
enum {
	CHUNK_SIZE_FIRST,               /* at least one digit must come */
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	TRAILER_FIRST,                  /* a field name or the last CRLF */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	LAST_LF,
	BODY_DONE,
};

void http_body_start(struct http_body *body, const struct http_head *head)
{
	*body = (struct http_body){ .framing = head->framing };
	if (head->framing == HTTP_BODY_LENGTH)
		body->left = head->body_len;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* No "0x", sign or space, which some servers skip; above 2^63 - 1 some would wrap. */
static enum http_bad size_byte(struct http_body *body, uint8_t c)
{
	int digit = hex_value(c);

	if (digit >= 0) {
		if (body->left > INT64_MAX >> 4)
			return HTTP_BAD_CHUNK;
		body->left = body->left << 4 | (uint64_t)digit;
		body->state = CHUNK_SIZE;
	} else if (body->state == CHUNK_SIZE && c == ';') {
		body->state = CHUNK_EXTENSION;
	} else if (body->state == CHUNK_SIZE && c == '\r') {
		body->state = CHUNK_SIZE_LF;
	} else {
		return HTTP_BAD_CHUNK;
	}
	return HTTP_BAD_NONE;
}

/* Fields that say where a message goes or ends have no place after it (RFC 9110 6.5.1). */
static bool trailer_is_forbidden(const struct http_body *body)
{
	static const char *const forbidden[] = {
		"host", "content-length", "transfer-encoding", "connection", "upgrade",
	};
	struct str name = { (const char *)body->trailer, body->trailer_len };

	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		if (str_equal_nocase(name, str_of(forbidden[i])))
			return true;
	return false;
}

/* A name too long to be kept whole fills the array and so equals no forbidden one. */
static enum http_bad trailer_name_byte(struct http_body *body, uint8_t c)
{
	if (http_is_token(c)) {
		if (body->trailer_len < sizeof(body->trailer))
			body->trailer[body->trailer_len++] = c;
		return HTTP_BAD_NONE;
	}
	if (c != ':' || trailer_is_forbidden(body))
		return HTTP_BAD_CHUNK;
	body->state = TRAILER_VALUE;
	return HTTP_BAD_NONE;
}

/* One byte that must be `wanted`, then the next state. */
static enum http_bad expect(struct http_body *body, uint8_t c, uint8_t wanted, uint8_t next)
{
	if (c != wanted)
		return HTTP_BAD_CHUNK;
	body->state = next;
	return HTTP_BAD_NONE;
}

/* Text up to a CR. */
static enum http_bad text_byte(struct http_body *body, uint8_t c, uint8_t next)
{
	return http_is_text(c) ? HTTP_BAD_NONE : expect(body, c, '\r', next);
}

/* A byte of the framing, not of chunk data. */
static enum http_bad framing_byte(struct http_body *body, uint8_t c)
{
	switch (body->state) {
	case CHUNK_SIZE_FIRST:
	case CHUNK_SIZE:
		return size_byte(body, c);
	case CHUNK_EXTENSION:
		return text_byte(body, c, CHUNK_SIZE_LF);
	case CHUNK_SIZE_LF:
		body->line_len = 0;
		return expect(body, c, '\n', body->left > 0 ? CHUNK_DATA : TRAILER_FIRST);
	case CHUNK_DATA_CR:
		return expect(body, c, '\r', CHUNK_DATA_LF);
	case CHUNK_DATA_LF:
		body->line_len = 0;
		return expect(body, c, '\n', CHUNK_SIZE_FIRST);
	case TRAILER_FIRST:
		if (c == '\r')
			return expect(body, c, '\r', LAST_LF);
		body->trailer_len = 0;
		body->state = TRAILER_NAME;
		return http_is_token(c) ? trailer_name_byte(body, c) : HTTP_BAD_CHUNK;
	case TRAILER_NAME:
		return trailer_name_byte(body, c);
	case TRAILER_VALUE:
		return text_byte(body, c, TRAILER_LF);
	case TRAILER_LF:
		return expect(body, c, '\n', TRAILER_FIRST);
	default:
		assert(body->state == LAST_LF);
		return expect(body, c, '\n', BODY_DONE);
	}
}

static enum parsed feed_chunked(struct http_body *body, const uint8_t *data, size_t *len)
{
	size_t at = 0;

	while (at < *len && body->state != BODY_DONE) {
		if (body->state == CHUNK_DATA) {
			size_t take = *len - at < body->left ? *len - at : (size_t)body->left;

			at += take;
			body->left -= take;
			if (body->left == 0)
				body->state = CHUNK_DATA_CR;
			continue;
		}

		uint16_t most = body->state >= TRAILER_FIRST ? HTTP_TRAILERS_MAX :
							       HTTP_CHUNK_LINE_MAX;

		body->bad = framing_byte(body, data[at++]);
		if (body->bad == HTTP_BAD_NONE && ++body->line_len > most)
			body->bad = HTTP_BAD_TOO_LARGE;
		if (body->bad != HTTP_BAD_NONE) {
			*len = 0;
			return PARSED_BAD;
		}
	}
	*len = at;
	return body->state == BODY_DONE ? PARSED_OK : PARSED_MORE;
}

enum parsed http_body_feed(struct http_body *body, const uint8_t *data, size_t *len)
{
	if (body->bad != HTTP_BAD_NONE) {
		*len = 0;
		return PARSED_BAD;
	}
	if (body->framing == HTTP_BODY_CHUNKED)
		return feed_chunked(body, data, len);
	if (*len > body->left)
		*len = (size_t)body->left;
	body->left -= *len;
	return body->left == 0 ? PARSED_OK : PARSED_MORE;
}
