/* dns_data.c - the data of a record, by the shape of its type.
 * A type without a shape is opaque (RFC 3597): its bytes are copied as they are. */
#include "proto/dns_wire.h"

enum { TO_THE_END = 0xff };             /* one string at least */

/* In this order. */
static const struct shape {
	uint16_t type;
	uint8_t prefix, strings, names, suffix;
} shapes[] = {
	{ DNS_TYPE_A, .prefix = 4 },
	{ DNS_TYPE_NS, .names = 1 },
	{ DNS_TYPE_CNAME, .names = 1 },
	{ DNS_TYPE_SOA, .names = 2, .suffix = 20 },
	{ DNS_TYPE_PTR, .names = 1 },
	{ 13 /* HINFO */, .strings = 2 },
	{ 14 /* MINFO */, .names = 2 },
	{ DNS_TYPE_MX, .prefix = 2, .names = 1 },
	{ DNS_TYPE_TXT, .strings = TO_THE_END },
	{ 17 /* RP */, .names = 2 },
	{ 18 /* AFSDB */, .prefix = 2, .names = 1 },
	{ 21 /* RT */, .prefix = 2, .names = 1 },
	{ 26 /* PX */, .prefix = 2, .names = 2 },
	{ DNS_TYPE_AAAA, .prefix = 16 },
	{ DNS_TYPE_SRV, .prefix = 6, .names = 1 },
	{ 35 /* NAPTR */, .prefix = 4, .strings = 3, .names = 1 },
	{ 36 /* KX */, .prefix = 2, .names = 1 },
	{ 39 /* DNAME */, .names = 1 },
	{ 99 /* SPF */, .strings = TO_THE_END },
};

static const struct shape *shape_of(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		if (shapes[i].type == type)
			return &shapes[i];
	return NULL;
}

static void copy_bytes(struct reader *reader, size_t len, struct dns_writer *writer)
{
	const uint8_t *bytes = read_bytes(reader, len);

	if (bytes)
		write_bytes(writer, bytes, len);
}

static void copy_string(struct reader *reader, struct dns_writer *writer)
{
	uint8_t len = read_u8(reader);

	write_bytes(writer, &len, 1);
	copy_bytes(reader, len, writer);
}

static void copy_name(const struct dns_message *message, struct reader *reader,
		      struct dns_writer *writer)
{
	size_t at = (size_t)(reader->at - message->data);
	uint8_t wire[DNS_NAME_MAX];
	size_t len = reader->bad ? 0 : dns_name_read(message, &at, wire);

	if (len == 0 || message->data + at > reader->end) {
		reader->bad = true;
		return;
	}
	reader->at = message->data + at;
	write_bytes(writer, wire, len);
}

enum dns_data dns_data_copy(const struct dns_message *message, uint16_t type, size_t at, size_t len,
			    struct dns_writer *writer)
{
	struct reader reader = { .at = message->data + at, .end = message->data + at + len };
	const struct shape *shape = shape_of(type);

	if (type == DNS_TYPE_SVCB || type == DNS_TYPE_HTTPS)
		return dns_svcb_copy(reader.at, len, writer);
	if (!shape) {
		copy_bytes(&reader, len, writer);
		return DNS_DATA_GOOD;
	}
	copy_bytes(&reader, shape->prefix, writer);
	if (shape->strings == TO_THE_END) {
		do
			copy_string(&reader, writer);
		while (reader_left(&reader) > 0);
	} else {
		for (unsigned i = 0; i < shape->strings; i++)
			copy_string(&reader, writer);
	}
	for (unsigned i = 0; i < shape->names; i++)
		copy_name(message, &reader, writer);
	copy_bytes(&reader, shape->suffix, writer);
	return reader.bad || reader_left(&reader) > 0 ? DNS_DATA_BAD : DNS_DATA_GOOD;
}
