/* tls_bytes.h - TLS messages and records, built piece by piece for tests. */
#ifndef TESTS_UNIT_TLS_BYTES_H
#define TESTS_UNIT_TLS_BYTES_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	uint8_t at[160000];
	size_t len;
};

static inline void put(struct bytes *bytes, const void *data, size_t len)
{
	assert(bytes->len + len <= sizeof(bytes->at));
	if (len > 0)
		memcpy(bytes->at + bytes->len, data, len);
	bytes->len += len;
}

static inline void put_number(struct bytes *bytes, size_t number, size_t width)
{
	while (width-- > 0)
		put(bytes, &(uint8_t){ (uint8_t)(number >> 8 * width) }, 1);
}

static inline void put_zeros(struct bytes *bytes, size_t len)
{
	while (len-- > 0)
		put_number(bytes, 0, 1);
}

/* data behind its length, which is width bytes wide */
static inline void put_vector(struct bytes *bytes, size_t width, const void *data, size_t len)
{
	put_number(bytes, len, width);
	put(bytes, data, len);
}

static inline void put_extension(struct bytes *bytes, unsigned type, const void *data, size_t len)
{
	put_number(bytes, type, 2);
	put_vector(bytes, 2, data, len);
}

/* server_name with one host_name */
static inline void put_server_name(struct bytes *bytes, const void *name, size_t len)
{
	put_number(bytes, 0, 2);
	put_number(bytes, len + 5, 2);
	put_number(bytes, len + 3, 2);
	put_number(bytes, 0, 1);
	put_vector(bytes, 2, name, len);
}

/* A handshake message: a ClientHello whose last part are these extensions. */
static inline void put_hello(struct bytes *bytes, const struct bytes *extensions)
{
	put_number(bytes, 1, 1);
	put_number(bytes, 2 + 32 + 1 + 2 + 2 + 2 + 2 + extensions->len, 3);
	put_number(bytes, 0x0303, 2);
	put_zeros(bytes, 32);
	put_vector(bytes, 1, "", 0);                    /* session id */
	put_vector(bytes, 2, "\x13\x01", 2);            /* cipher suites */
	put_vector(bytes, 1, "\0", 1);                  /* compression methods */
	put_vector(bytes, 2, extensions->at, extensions->len);
}

static inline void put_record(struct bytes *bytes, unsigned type, const void *data, size_t len)
{
	put_number(bytes, type, 1);
	put_number(bytes, 0x0303, 2);
	put_vector(bytes, 2, data, len);
}

/* A message over records of at most record_len bytes. */
static inline void put_records(struct bytes *bytes, const struct bytes *message, size_t record_len)
{
	for (size_t at = 0; at < message->len; at += record_len) {
		size_t left = message->len - at;

		put_record(bytes, 22, message->at + at, left < record_len ? left : record_len);
	}
}

/* A whole hello for one name in one record. */
static inline void put_hello_for(struct bytes *bytes, const char *name)
{
	struct bytes extensions = { .len = 0 }, message = { .len = 0 };

	put_server_name(&extensions, name, strlen(name));
	put_hello(&message, &extensions);
	put_records(bytes, &message, 16384);
}

/* One record with a hello that has just these extensions. */
static inline struct bytes with_extensions(const struct bytes *extensions)
{
	struct bytes message = { .len = 0 }, wire = { .len = 0 };

	put_hello(&message, extensions);
	put_records(&wire, &message, 16384);
	return wire;
}

static inline struct bytes plain_hello(void)
{
	struct bytes wire = { .len = 0 };

	put_hello_for(&wire, "allowed.test");
	return wire;
}

/* A hello of body_len bytes (padding first, name last) in records of record_len. */
static inline struct bytes sized_hello(size_t body_len, size_t record_len)
{
	struct bytes extensions = { .len = 0 }, message = { .len = 0 }, wire = { .len = 0 };
	size_t left = body_len - (2 + 32 + 1 + 4 + 2 + 2) - (4 + 5 + 6);

	put_number(&extensions, 21, 2);
	put_number(&extensions, left - 4, 2);
	put_zeros(&extensions, left - 4);
	put_server_name(&extensions, "a.test", 6);
	put_hello(&message, &extensions);
	assert(message.len == 4 + body_len);
	put_records(&wire, &message, record_len);
	return wire;
}

#endif
