/* dns_reply.c - what a DNS reply says about the addresses of the name that was asked for.
 * Names are compared where they lie; only a CNAME's target is copied out.  Every loop ends:
 * pointers must go backwards, a chain has a limit, and no record is read more than twice. */
#include "proto/dns_reply.h"

#include "proto/reader.h"

enum {
	HEADER_LEN = 12,
	NAME_MAX_LEN = 255,             /* RFC 1035 2.3.4, as on the wire */
	LABEL_MAX = 63,
	POINTER = 0xc0,
	CNAMES_MAX = 16,                /* in one reply, chained or not */

	FLAG_QR = 0x8000, FLAGS_OPCODE = 0x7800, FLAG_TC = 0x0200, FLAGS_RCODE = 0x000f,
	CLASS_IN = 1, TYPE_CNAME = 5, TYPE_SOA = 6,
};

struct message {
	const uint8_t *data;
	size_t len;
};

struct name {                           /* uncompressed, lower case, ends with the empty label */
	uint8_t wire[NAME_MAX_LEN];
};

struct record {
	size_t owner, data_at;          /* offsets into the message */
	uint16_t type, class, data_len;
	uint32_t ttl_s;
};

static size_t offset_of(const struct message *message, const struct reader *reader)
{
	return (size_t)(reader->at - message->data);
}

static uint32_t read_u32(struct reader *reader)
{
	uint32_t high = read_u16(reader);

	return high << 16 | read_u16(reader);
}

static bool name_from_text(struct str text, struct name *name)
{
	size_t at = 0, label = 0;

	if (text.len == 0 || text.len > NAME_MAX_LEN - 2)
		return false;
	for (size_t i = 0; i <= text.len; i++) {
		if (i < text.len && text.at[i] != '.') {
			name->wire[at + 1 + label++] = (uint8_t)ascii_lower(text.at[i]);
			continue;
		}
		if (label == 0 || label > LABEL_MAX)
			return false;
		name->wire[at] = (uint8_t)label;
		at += 1 + label;
		label = 0;
	}
	name->wire[at] = 0;
	return true;
}

static size_t name_len(const struct name *name)
{
	size_t at = 0;

	while (name->wire[at] != 0)
		at += 1 + name->wire[at];
	return at + 1;
}

static void skip_name(struct reader *reader)
{
	uint8_t len;

	while ((len = read_u8(reader)) != 0) {
		if (len >= POINTER) {
			(void)read_u8(reader);
			return;
		}
		if (len > LABEL_MAX)
			reader->bad = true;
		(void)read_bytes(reader, len);
	}
}

/* The label at *at, behind any pointers: *at is its length byte.  false: none, or it is cut off.
 * *limit: pointers must lead before it, so that they cannot go round. */
static bool label_find(const struct message *message, size_t *at, size_t *limit)
{
	while (*at + 1 < message->len && message->data[*at] >= POINTER) {
		size_t to = (size_t)(message->data[*at] & ~POINTER) << 8 | message->data[*at + 1];

		if (to >= *limit)
			return false;
		*at = *limit = to;
	}
	return *at < message->len && message->data[*at] <= LABEL_MAX &&
	       message->data[*at] < message->len - *at;
}

static bool name_is(const struct message *message, size_t at, const struct name *name)
{
	const uint8_t *wire = name->wire;
	size_t limit = at;

	while (label_find(message, &at, &limit)) {
		uint8_t len = message->data[at];

		if (len != *wire)
			return false;
		if (len == 0)
			return true;
		for (uint8_t i = 1; i <= len; i++)
			if ((uint8_t)ascii_lower((char)message->data[at + i]) != wire[i])
				return false;
		wire += 1 + len;
		at += 1 + (size_t)len;
	}
	return false;
}

static bool name_copy(const struct message *message, size_t at, struct name *name)
{
	size_t limit = at, used = 0;

	while (label_find(message, &at, &limit)) {
		uint8_t len = message->data[at];

		if (used + 1 + len > sizeof(name->wire))
			return false;
		name->wire[used] = len;
		if (len == 0)
			return true;
		for (uint8_t i = 1; i <= len; i++)
			name->wire[used + i] = (uint8_t)ascii_lower((char)message->data[at + i]);
		used += 1 + (size_t)len;
		at += 1 + (size_t)len;
	}
	return false;
}

static bool read_record(const struct message *message, struct reader *reader, struct record *record)
{
	record->owner = offset_of(message, reader);
	skip_name(reader);
	record->type = read_u16(reader);
	record->class = read_u16(reader);
	record->ttl_s = read_u32(reader);
	if (record->ttl_s > INT32_MAX)
		record->ttl_s = 0;              /* RFC 2181 8 */
	record->data_len = read_u16(reader);
	record->data_at = offset_of(message, reader);
	(void)read_bytes(reader, record->data_len);
	return !reader->bad;
}

/* Header and question; leaves *reader at the answer section.  0: not a reply to this name. */
static uint16_t read_question(const struct message *message, struct reader *reader,
			      struct str text)
{
	uint16_t flags, questions, type, class;
	struct name name;
	const uint8_t *sent;
	size_t len;

	if (!name_from_text(text, &name))
		return 0;
	len = name_len(&name);
	*reader = (struct reader){ .at = message->data, .end = message->data + message->len };
	(void)read_u16(reader);
	flags = read_u16(reader);
	questions = read_u16(reader);
	(void)read_bytes(reader, HEADER_LEN - 6);
	sent = read_bytes(reader, len);
	type = read_u16(reader);
	class = read_u16(reader);
	if (reader->bad || !(flags & FLAG_QR) || (flags & FLAGS_OPCODE) || questions != 1 ||
	    memcmp(sent, name.wire, len) != 0 || class != CLASS_IN)
		return 0;
	return type;
}

bool dns_reply_matches(const uint8_t *data, size_t len, struct str name)
{
	struct message message = { data, len };
	struct reader reader;
	uint16_t type = read_question(&message, &reader, name);

	return type == DNS_TYPE_A || type == DNS_TYPE_AAAA;
}

struct chain {
	unsigned count;                 /* of all CNAMEs in the answer section */
	struct record cnames[CNAMES_MAX];
};

/* First look at the answer section: is it whole, and which CNAMEs are there? */
static bool read_cnames(const struct message *message, struct reader *reader, uint16_t records,
			struct chain *chain)
{
	struct record record;

	chain->count = 0;
	for (uint16_t i = 0; i < records; i++) {
		if (!read_record(message, reader, &record))
			return false;
		if (record.type != TYPE_CNAME || record.class != CLASS_IN)
			continue;
		if (chain->count == CNAMES_MAX)
			return false;
		chain->cnames[chain->count++] = record;
	}
	return true;
}

/* From the question's name to the end of its chain, in whatever order the links came. */
static bool follow(const struct message *message, const struct chain *chain, struct name *name,
		   uint32_t *ttl_s)
{
	for (unsigned links = 0; links <= DNS_REPLY_CHAIN_MAX; links++) {
		const struct record *link = NULL;

		for (unsigned i = 0; i < chain->count && !link; i++)
			if (name_is(message, chain->cnames[i].owner, name))
				link = &chain->cnames[i];
		if (!link)
			return true;
		if (!name_copy(message, link->data_at, name))
			return false;
		if (link->ttl_s < *ttl_s)
			*ttl_s = link->ttl_s;
	}
	return false;                           /* too long, or a loop */
}

static void add_addr(struct dns_reply *reply, const uint8_t *bytes, size_t len)
{
	for (unsigned i = 0; i < reply->count; i++)
		if (memcmp(reply->addrs[i], bytes, len) == 0)
			return;
	memcpy(reply->addrs[reply->count++], bytes, len);
}

/* Second look: the addresses that belong to the end of the chain. */
static bool read_addrs(const struct message *message, struct reader *reader, uint16_t records,
		       uint16_t type, const struct name *owner, struct dns_reply *reply)
{
	size_t len = type == DNS_TYPE_A ? 4 : 16;
	struct record record;

	for (uint16_t i = 0; i < records && reply->count < DNS_REPLY_ADDRS_MAX; i++) {
		if (!read_record(message, reader, &record))
			return false;
		if (record.type != type || record.class != CLASS_IN)
			continue;
		if (record.data_len != len)
			return false;
		if (!name_is(message, record.owner, owner))
			continue;
		add_addr(reply, message->data + record.data_at, len);
		if (record.ttl_s < reply->ttl_s)
			reply->ttl_s = record.ttl_s;
	}
	reply->has_ttl = reply->count > 0;
	return true;
}

/* How long "no" holds: the lesser of the SOA's own TTL and its last field. */
static bool read_soa(const struct message *message, struct reader *reader, uint16_t records,
		     struct dns_reply *reply)
{
	struct record record;

	for (uint16_t i = 0; i < records; i++) {
		struct reader data;
		uint32_t minimum;

		if (!read_record(message, reader, &record))
			return false;
		if (record.type != TYPE_SOA || record.class != CLASS_IN)
			continue;
		data = (struct reader){ .at = message->data + record.data_at,
					.end = message->data + record.data_at + record.data_len };
		skip_name(&data);
		skip_name(&data);
		(void)read_bytes(&data, 4 * 4);
		minimum = read_u32(&data);
		if (data.bad)
			return false;
		reply->ttl_s = minimum < record.ttl_s ? minimum : record.ttl_s;
		reply->has_ttl = true;
		return true;
	}
	return true;
}

enum parsed dns_reply_parse(const uint8_t *data, size_t len, struct str text, uint16_t type,
			    struct dns_reply *reply)
{
	struct message message = { data, len };
	struct dns_reply parsed = { .ttl_s = INT32_MAX };
	struct reader reader, first;
	struct chain chain;
	struct name name;
	uint16_t answers, authorities;

	if (read_question(&message, &reader, text) != type || (data[2] << 8 & FLAG_TC))
		return PARSED_BAD;
	parsed.rcode = data[3] & FLAGS_RCODE;
	answers = (uint16_t)(data[6] << 8 | data[7]);
	authorities = (uint16_t)(data[8] << 8 | data[9]);
	first = reader;
	if (!name_from_text(text, &name) || !read_cnames(&message, &reader, answers, &chain) ||
	    !follow(&message, &chain, &name, &parsed.ttl_s))
		return PARSED_BAD;
	if (parsed.rcode == 0 && !read_addrs(&message, &first, answers, type, &name, &parsed))
		return PARSED_BAD;
	if (parsed.count == 0 && !read_soa(&message, &reader, authorities, &parsed))
		return PARSED_BAD;
	if (!parsed.has_ttl)
		parsed.ttl_s = 0;
	*reply = parsed;
	return PARSED_OK;
}
