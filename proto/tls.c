/* tls.c - find the server name in a ClientHello, however it was cut into records.
 * Walks the records as they arrive; the message is parsed once, when its last record is whole. */
#include "proto/tls.h"

#include <assert.h>

#include "proto/reader.h"

enum {
	MESSAGE_HEADER_LEN = 4,         /* type, 24 bits of length */
	CLIENT_HELLO = 1,
	RANDOM_LEN = 32,
	SESSION_ID_MAX = 32,
	NAME_TYPE_HOST = 0,
	EXTENSION_SERVER_NAME = 0,
	EXTENSION_ALPN = 16,
	EXTENSION_ECH = 0xfe0d,
	EXTENSION_TYPES = 65536,
};

const uint8_t tls_alert_access_denied[7] = { TLS_RECORD_ALERT, 3, 3, 0, 2, 2, 49 };

static const char *const bad_text[] = {
	[TLS_BAD_NONE] = "well-formed",
	[TLS_BAD_RECORD] = "not a TLS handshake record",
	[TLS_BAD_MESSAGE] = "malformed ClientHello",
	[TLS_BAD_NO_NAME] = "no server name",
	[TLS_BAD_NAME] = "server name is not one host name",
	[TLS_BAD_TOO_LARGE] = "ClientHello too large",
};
static_assert(ARRAY_LEN(bad_text) == TLS_BAD_TOO_LARGE + 1, "every cause has a text");

const char *tls_bad_text(enum tls_bad bad)
{
	assert(bad < ARRAY_LEN(bad_text));
	return bad_text[bad];
}

/* RFC 6066 3.  The list must hold one host_name and nothing else: of two names, a server and we
 * could pick different ones. */
static bool read_server_name(struct reader *extension, struct tls_hello *hello)
{
	struct reader list = read_block(extension, read_u16(extension));
	uint8_t type = read_u8(&list);
	size_t len = read_u16(&list);
	const uint8_t *name = read_bytes(&list, len);

	if (!name || type != NAME_TYPE_HOST || reader_left(&list) > 0 || reader_left(extension) > 0)
		return false;
	hello->name_len =
		(uint8_t)hostname_normalise((struct str){ (const char *)name, len }, hello->name);
	return hello->name_len > 0;
}

/* Add one character, and "..." when there is no more room, so that a cut protocol is not taken for
 * another. */
static void alpn_put(char text[TLS_ALPN_TEXT_MAX], size_t *len, char c)
{
	if (*len < TLS_ALPN_TEXT_MAX - 1)
		text[(*len)++] = c;
	else
		memcpy(text + TLS_ALPN_TEXT_MAX - 4, "...", 3);
}

/* RFC 7301 3.1.  Protocol names are any bytes; what could mislead a reader of logs is shown '?'. */
static bool read_alpn(struct reader *extension, char text[TLS_ALPN_TEXT_MAX])
{
	struct reader list = read_block(extension, read_u16(extension));
	size_t text_len = 0;

	if (reader_left(&list) == 0 || reader_left(extension) > 0)
		return false;
	while (reader_left(&list) > 0) {
		size_t len = read_u8(&list);
		const uint8_t *name = read_bytes(&list, len);

		if (!name || len == 0)
			return false;
		if (text_len > 0)
			alpn_put(text, &text_len, ',');
		for (size_t i = 0; i < len; i++) {
			bool plain = name[i] > ' ' && name[i] <= '~' && name[i] != ',';

			alpn_put(text, &text_len, plain ? (char)name[i] : '?');
		}
	}
	return true;
}

/* RFC 8446 4.2: none twice.  One bit a type, because a hello may carry thousands of them. */
static enum tls_bad read_extensions(struct reader *extensions, struct tls_hello *hello)
{
	uint64_t seen[EXTENSION_TYPES / 64] = { 0 };

	while (reader_left(extensions) > 0) {
		uint16_t type = read_u16(extensions);
		struct reader extension = read_block(extensions, read_u16(extensions));
		uint64_t bit = UINT64_C(1) << type % 64;

		if (extension.bad || seen[type / 64] & bit)
			return TLS_BAD_MESSAGE;
		seen[type / 64] |= bit;

		if (type == EXTENSION_SERVER_NAME && !read_server_name(&extension, hello))
			return TLS_BAD_NAME;
		if (type == EXTENSION_ALPN && !read_alpn(&extension, hello->alpn))
			return TLS_BAD_MESSAGE;
		if (type == EXTENSION_ECH)
			hello->ech = true;
	}
	return hello->name_len > 0 ? TLS_BAD_NONE : TLS_BAD_NO_NAME;
}

/* RFC 8446 4.1.2, and its like since SSL 3.0: the body of the message. */
static enum tls_bad read_message(const uint8_t *body, size_t len, struct tls_hello *hello)
{
	struct reader message = { .at = body, .end = body + len };
	uint8_t major = read_u8(&message);

	read_bytes(&message, 1 + RANDOM_LEN);                           /* minor, random */
	size_t session_id_len = read_u8(&message);
	read_bytes(&message, session_id_len);
	size_t ciphers_len = read_u16(&message);
	read_bytes(&message, ciphers_len);
	size_t compressions_len = read_u8(&message);
	read_bytes(&message, compressions_len);

	if (message.bad || major != 3 || session_id_len > SESSION_ID_MAX || ciphers_len == 0 ||
	    ciphers_len % 2 != 0 || compressions_len == 0)
		return TLS_BAD_MESSAGE;
	if (reader_left(&message) == 0)
		return TLS_BAD_NO_NAME;

	struct reader extensions = read_block(&message, read_u16(&message));

	if (extensions.bad || reader_left(&message) > 0)
		return TLS_BAD_MESSAGE;
	return read_extensions(&extensions, hello);
}

static size_t read_record_len(const uint8_t *record)
{
	return (size_t)record[3] << 8 | record[4];
}

/* read_message() for a message in several records, put together first.  Not inlined, so that only
 * such hellos pay for touching 64 KiB of stack. */
static __attribute__((noinline)) enum tls_bad
read_split_message(const uint8_t *data, struct tls_hello *hello)
{
	uint8_t message[MESSAGE_HEADER_LEN + TLS_HELLO_MAX];
	size_t len = 0;

	assert(hello->message_len <= sizeof(message));
	for (size_t at = 0; at < hello->record_at; ) {
		size_t record_len = read_record_len(data + at);

		memcpy(message + len, data + at + TLS_RECORD_HEADER_LEN, record_len);
		at += TLS_RECORD_HEADER_LEN + record_len;
		len += record_len;
	}
	assert(len == hello->message_len);
	return read_message(message + MESSAGE_HEADER_LEN, len - MESSAGE_HEADER_LEN, hello);
}

/* As far as the header has arrived.  A record without content is forbidden for handshakes, and its
 * only use would be to confuse (RFC 8446 5.1). */
static bool record_header_is_good(const uint8_t *record, size_t have)
{
	if (have > 0 && record[0] != TLS_RECORD_HANDSHAKE)
		return false;
	if (have > 1 && record[1] != 3)
		return false;
	if (have > 3 && record[3] > TLS_RECORD_BODY_MAX >> 8)
		return false;
	if (have < TLS_RECORD_HEADER_LEN)
		return true;
	return read_record_len(record) > 0 && read_record_len(record) <= TLS_RECORD_BODY_MAX;
}

static uint32_t body_len(const struct tls_hello *hello)
{
	return (uint32_t)hello->message_header[1] << 16 | (uint32_t)hello->message_header[2] << 8 |
	       hello->message_header[3];
}

/* Length of the message as far as whole records tell it. */
static uint32_t message_wanted(const struct tls_hello *hello)
{
	if (hello->message_len < MESSAGE_HEADER_LEN)
		return MESSAGE_HEADER_LEN;
	return MESSAGE_HEADER_LEN + body_len(hello);
}

/* Look at the message header, as far as it lies in body[0..have) of the current record. */
static enum tls_bad take_message_header(struct tls_hello *hello, const uint8_t *body, size_t have)
{
	size_t len = hello->message_len;

	for (size_t i = 0; i < have && len < MESSAGE_HEADER_LEN; i++)
		hello->message_header[len++] = body[i];

	if (len > 0 && hello->message_header[0] != CLIENT_HELLO)
		return TLS_BAD_MESSAGE;
	if (body_len(hello) > TLS_HELLO_MAX)    /* length bytes yet to come count as zero */
		return TLS_BAD_TOO_LARGE;
	return TLS_BAD_NONE;
}

static enum parsed refuse(struct tls_hello *hello, enum tls_bad bad)
{
	*hello = (struct tls_hello){ .bad = bad };
	return PARSED_BAD;
}

/* Take the record at hello->record_at if it is whole (PARSED_OK), or judge what is there of it. */
static enum parsed take_record(struct tls_hello *hello, const uint8_t *data, size_t len)
{
	const uint8_t *record = data + hello->record_at;
	size_t have = len - hello->record_at;
	size_t room = TLS_HELLO_WIRE_MAX - hello->record_at;

	if (room <= TLS_RECORD_HEADER_LEN)
		return refuse(hello, TLS_BAD_TOO_LARGE);
	if (!record_header_is_good(record, have))
		return refuse(hello, TLS_BAD_RECORD);
	if (have < TLS_RECORD_HEADER_LEN)
		return PARSED_MORE;

	size_t body_have = have - TLS_RECORD_HEADER_LEN;
	size_t record_len = read_record_len(record);

	if (TLS_RECORD_HEADER_LEN + record_len > room)
		return refuse(hello, TLS_BAD_TOO_LARGE);

	enum tls_bad bad = take_message_header(hello, record + TLS_RECORD_HEADER_LEN,
					       body_have < record_len ? body_have : record_len);

	if (bad != TLS_BAD_NONE)
		return refuse(hello, bad);
	if (body_have < record_len)
		return PARSED_MORE;

	hello->message_len += (uint32_t)record_len;
	hello->record_at += TLS_RECORD_HEADER_LEN + (uint32_t)record_len;
	return PARSED_OK;
}

enum parsed tls_client_hello(struct tls_hello *hello, const uint8_t *data, size_t len)
{
	enum tls_bad bad;

	assert(len >= hello->record_at);

	while (hello->message_len < message_wanted(hello)) {
		enum parsed parsed = take_record(hello, data, len);

		if (parsed != PARSED_OK)
			return parsed;
	}
	/* Bytes behind the hello in its last record would be a second handshake message that no one
	 * has looked at; no client sends them and OpenSSL refuses them. */
	if (hello->message_len > message_wanted(hello))
		return refuse(hello, TLS_BAD_MESSAGE);

	if (hello->record_at == TLS_RECORD_HEADER_LEN + hello->message_len)
		bad = read_message(data + TLS_RECORD_HEADER_LEN + MESSAGE_HEADER_LEN,
				   body_len(hello), hello);
	else
		bad = read_split_message(data, hello);
	if (bad != TLS_BAD_NONE)
		return refuse(hello, bad);
	hello->wire_len = hello->record_at;
	return PARSED_OK;
}
