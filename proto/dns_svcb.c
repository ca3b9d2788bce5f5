/* dns_svcb.c - what of an SVCB or HTTPS record a client may know (RFC 9460).
 * Encrypted hellos would hide the name that we vet, and QUIC is not let through: `ech` and `h3` go.
 * A parameter that we do not know could mean anything: it goes too. */
#include "proto/dns_wire.h"

enum {
	KEYS = DNS_SVCB_IPV6HINT + 1,   /* those that we know */
	KEY_ECH = 5,
	KEY_RESERVED = 0xffff,
};

/* RFC 9460 2.1: no compression here. */
static size_t read_target(struct reader *reader)
{
	const uint8_t *target = reader->at;
	uint8_t len;

	do {
		len = read_u8(reader);
		(void)read_bytes(reader, len);
		if (len > DNS_LABEL_MAX || reader->at - target > DNS_NAME_MAX)
			reader->bad = true;
	} while (len != 0 && !reader->bad);
	return (size_t)(reader->at - target);
}

static void write_param(struct dns_writer *writer, uint16_t key, const uint8_t *value, size_t len)
{
	write_u16(writer, key);
	write_u16(writer, (unsigned)len);
	if (len > 0)
		write_bytes(writer, value, len);
}

static bool is_h3(const uint8_t *id, size_t len)
{
	return len >= 2 && id[0] == 'h' && id[1] == '3' && (len == 2 || id[2] == '-');
}

/* false: malformed.  What is left may be nothing; then nothing is written. */
static bool copy_alpn(struct reader value, struct dns_writer *writer)
{
	struct dns_writer start = *writer;
	size_t len_at = writer->at + 2, ids_at = writer->at + 4;

	if (reader_left(&value) == 0)
		return false;
	write_u16(writer, DNS_SVCB_ALPN);
	write_u16(writer, 0);
	while (reader_left(&value) > 0) {
		uint8_t len = read_u8(&value);
		const uint8_t *id = read_bytes(&value, len);

		if (len == 0 || !id)
			return false;
		if (is_h3(id, len))
			continue;
		write_bytes(writer, &len, 1);
		write_bytes(writer, id, len);
	}
	if (writer->full)
		return true;
	if (writer->at == ids_at)
		*writer = start;
	else
		set_u16(writer->data + len_at, (unsigned)(writer->at - ids_at));
	return true;
}

/* The keys that must be there, all known to us and in order; *keys: as bits. */
static bool read_mandatory(struct reader value, unsigned *keys, bool *unknown)
{
	uint16_t before = DNS_SVCB_MANDATORY;

	if (reader_left(&value) == 0)
		return false;
	while (reader_left(&value) > 0) {
		uint16_t key = read_u16(&value);

		if (value.bad || key <= before)
			return false;
		before = key;
		if (key >= KEYS || key == KEY_ECH)
			*unknown = true;
		else
			*keys |= 1u << key;
	}
	return true;
}

static bool len_is_good(uint16_t key, size_t len)
{
	switch (key) {
	case DNS_SVCB_NO_DEFAULT_ALPN: return len == 0;
	case DNS_SVCB_PORT: return len == 2;
	case DNS_SVCB_IPV4HINT: return len > 0 && len % 4 == 0;
	case DNS_SVCB_IPV6HINT: return len > 0 && len % 16 == 0;
	default: return true;
	}
}

struct params {
	unsigned sent, kept, mandatory; /* keys as bits */
	bool unknown_mandatory;
};

static bool copy_param(uint16_t key, struct reader value, struct params *params,
		       struct dns_writer *writer)
{
	size_t len = reader_left(&value), at = writer->at;

	if (!len_is_good(key, len))
		return false;
	if (key == DNS_SVCB_ALPN && !copy_alpn(value, writer))
		return false;
	if (key == DNS_SVCB_MANDATORY &&
	    !read_mandatory(value, &params->mandatory, &params->unknown_mandatory))
		return false;
	if (key >= KEYS)
		return true;
	params->sent |= 1u << key;
	if (key == KEY_ECH)
		return true;
	if (key != DNS_SVCB_ALPN)
		write_param(writer, key, value.at, len);
	if (writer->at > at)
		params->kept |= 1u << key;
	return true;
}

enum dns_data dns_svcb_copy(const uint8_t *data, size_t len, struct dns_writer *writer)
{
	struct reader reader = { .at = data, .end = data + len };
	uint16_t priority = read_u16(&reader);
	const uint8_t *target = reader.at;
	size_t target_len = read_target(&reader);
	struct params params = { 0 };
	int before = -1;

	if (reader.bad)
		return DNS_DATA_BAD;
	write_u16(writer, priority);
	for (size_t i = 0; i < target_len; i++)
		write_bytes(writer, &(uint8_t){ (uint8_t)ascii_lower((char)target[i]) }, 1);
	if (priority == 0)                      /* an alias: parameters mean nothing */
		return DNS_DATA_GOOD;
	while (reader_left(&reader) > 0) {
		uint16_t key = read_u16(&reader);
		struct reader value = read_block(&reader, read_u16(&reader));

		if (value.bad || key <= before || key == KEY_RESERVED ||
		    !copy_param(key, value, &params, writer))
			return DNS_DATA_BAD;
		before = key;
	}
	if (params.sent & 1u << DNS_SVCB_NO_DEFAULT_ALPN && !(params.sent & 1u << DNS_SVCB_ALPN))
		return DNS_DATA_BAD;
	if (writer->full)
		return DNS_DATA_GOOD;           /* the caller sees it */
	if (params.kept & 1u << DNS_SVCB_NO_DEFAULT_ALPN)
		params.mandatory |= 1u << DNS_SVCB_ALPN;
	return params.unknown_mandatory || params.mandatory & ~params.kept ? DNS_DATA_USELESS :
	       DNS_DATA_GOOD;
}

size_t dns_svcb_params_at(const uint8_t *data)
{
	return 2 + dns_name_len(data + 2);
}

/* The addresses that stay, from `from` to `to`.  Returns their length. */
static size_t vet_hints(uint8_t *to, const uint8_t *from, size_t len, struct dns_addr *addr,
			dns_keep_fn *keep, void *context, unsigned *gone)
{
	size_t kept = 0;

	for (size_t i = 0; i < len; i += addr->len) {
		memcpy(addr->bytes, from + i, addr->len);
		if (keep(context, addr)) {
			memcpy(to + kept, addr->bytes, addr->len);
			kept += addr->len;
		} else {
			(*gone)++;
		}
	}
	return kept;
}

size_t dns_svcb_vet(uint8_t *data, size_t len, struct dns_addr *addr, dns_keep_fn *keep,
		    void *context, unsigned *gone)
{
	size_t from = dns_svcb_params_at(data), to = from;
	struct params params = { 0 };

	while (from < len) {
		uint16_t key = get_u16(data + from);
		size_t value_len = get_u16(data + from + 2), kept = value_len;
		const uint8_t *value = data + from + 4;

		if (key == DNS_SVCB_MANDATORY)
			(void)read_mandatory((struct reader){ .at = value,
							      .end = value + value_len },
					     &params.mandatory, &params.unknown_mandatory);
		if (key == DNS_SVCB_IPV4HINT || key == DNS_SVCB_IPV6HINT) {
			addr->len = key == DNS_SVCB_IPV4HINT ? 4 : 16;
			kept = vet_hints(data + to + 4, value, value_len, addr, keep, context,
					 gone);
		} else {
			memmove(data + to + 4, value, value_len);
		}
		from += 4 + value_len;
		if (kept == 0 && value_len > 0) {
			if (params.mandatory & 1u << key)
				return 0;
			continue;
		}
		set_u16(data + to, key);
		set_u16(data + to + 2, (unsigned)kept);
		to += 4 + kept;
	}
	return to;
}
