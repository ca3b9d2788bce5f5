/* reader.h - a cursor over untrusted bytes.
 * Reading past the end sets `bad`, returns zero and stays bad, so a parser is straight-line code
 * with one check at the end. */
#ifndef PROTO_READER_H
#define PROTO_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
	const uint8_t *at, *end;
	bool bad;
};

static inline size_t reader_left(const struct reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

static inline const uint8_t *read_bytes(struct reader *reader, size_t len)
{
	const uint8_t *at = reader->at;

	if (reader->bad || len > reader_left(reader)) {
		reader->bad = true;
		reader->at = reader->end;
		return NULL;
	}
	reader->at += len;
	return at;
}

static inline uint8_t read_u8(struct reader *reader)
{
	const uint8_t *p = read_bytes(reader, 1);

	return p ? p[0] : 0;
}

static inline uint16_t read_u16(struct reader *reader)
{
	const uint8_t *p = read_bytes(reader, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static inline uint32_t read_u24(struct reader *reader)
{
	const uint8_t *p = read_bytes(reader, 3);

	return p ? (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2] : 0;
}

/* The next len bytes as a reader of their own: nested lengths cannot escape. */
static inline struct reader read_block(struct reader *reader, size_t len)
{
	const uint8_t *p = read_bytes(reader, len);

	return (struct reader){ .at = p, .end = p ? p + len : NULL, .bad = !p };
}

#endif
