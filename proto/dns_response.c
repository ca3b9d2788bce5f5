/* dns_response.c - what a response says about the name that was asked for, and nothing else of it.
 * Every record is read, so that a malformed one cannot hide; the chain is followed from the name,
 * and what its end owns is copied.  Every loop is bounded by the message or a limit. */
#include "proto/dns_wire.h"

enum {
	CNAMES_MAX = 16,                /* in one response, chained or not */
	LOOKED_AT_MAX = 512,            /* of the records asked for: doubles are found one by one */
	SOA_MIN_LEN = 22,
};

struct name {
	uint8_t wire[DNS_NAME_MAX];
	size_t len;
};

/* One record as it was sent. */
struct sent {
	struct name owner;              /* lower case */
	uint16_t pointer;               /* where the owner was found, when it was nothing else */
	uint16_t type, class, data_len;
	uint32_t ttl_s;
	size_t data_at;
};

struct response {
	struct dns_message message;
	struct dns_records *records;
	struct name name;               /* the chain's end so far */
	size_t name_at;                 /* of it, in the records' message */
	uint16_t answers, authorities, additionals;
	unsigned cname_count;
	struct sent cnames[CNAMES_MAX];
};

static bool names_equal(const struct name *a, const struct name *b)
{
	return a->len == b->len && memcmp(a->wire, b->wire, a->len) == 0;
}

/* In most responses every owner is the same pointer: it is followed once. */
static bool read_owner(const struct dns_message *message, size_t *at, struct sent *sent)
{
	uint16_t pointer = 0;

	if (message->len - *at >= 2 && message->data[*at] >= DNS_POINTER)
		pointer = get_u16(message->data + *at);
	if (pointer != 0 && pointer == sent->pointer) {
		*at += 2;
		return true;
	}
	sent->pointer = pointer;
	sent->owner.len = dns_name_read(message, at, sent->owner.wire);
	return sent->owner.len > 0;
}

static bool read_record(const struct dns_message *message, size_t *at, struct sent *sent)
{
	struct reader reader = { .end = message->data + message->len };

	if (!read_owner(message, at, sent))
		return false;
	reader.at = message->data + *at;
	sent->type = read_u16(&reader);
	sent->class = read_u16(&reader);
	sent->ttl_s = read_u32(&reader);
	if (sent->ttl_s > INT32_MAX)
		sent->ttl_s = 0;                /* RFC 2181 8 */
	sent->data_len = read_u16(&reader);
	sent->data_at = (size_t)(reader.at - message->data);
	(void)read_bytes(&reader, sent->data_len);
	*at = (size_t)(reader.at - message->data);
	return !reader.bad;
}

/* First look at the answer section: is it whole, and which CNAMEs are there? */
static bool read_cnames(struct response *response, size_t *at)
{
	struct sent sent = { 0 };

	for (unsigned i = 0; i < response->answers; i++) {
		if (!read_record(&response->message, at, &sent))
			return false;
		if (sent.type != DNS_TYPE_CNAME || sent.class != DNS_CLASS_IN)
			continue;
		if (response->cname_count == CNAMES_MAX)
			return false;
		response->cnames[response->cname_count++] = sent;
	}
	return true;
}

static void ttl_lower(struct dns_records *records, uint32_t ttl_s)
{
	if (ttl_s < records->ttl_s)
		records->ttl_s = ttl_s;
}

/* From the question's name to the end of its chain, in whatever order the links came. */
static bool follow(struct response *response)
{
	struct dns_records *records = response->records;

	for (;;) {
		const struct sent *link = NULL;
		struct dns_writer writer;

		for (unsigned i = 0; i < response->cname_count && !link; i++)
			if (names_equal(&response->cnames[i].owner, &response->name))
				link = &response->cnames[i];
		if (!link || records->type == DNS_TYPE_CNAME)
			return true;
		if (records->links == DNS_CHAIN_MAX)
			return false;           /* too long, or a loop */
		writer = dns_record_begin(records, response->name_at, DNS_TYPE_CNAME, link->ttl_s);
		response->name_at = writer.at;
		if (dns_data_copy(&response->message, DNS_TYPE_CNAME, link->data_at, link->data_len,
				  &writer) != DNS_DATA_GOOD ||
		    !dns_record_end(records, &writer, DNS_ANSWERS))
			return false;
		response->name.len = writer.at - response->name_at;
		memcpy(response->name.wire, records->message + response->name_at,
		       response->name.len);
		ttl_lower(records, link->ttl_s);
		records->links++;
		records->answers_at = records->end_at;
	}
}

static bool is_known(const struct dns_records *records, const uint8_t *addr, size_t len)
{
	size_t stride = DNS_RECORD_LEN + len;

	for (size_t at = records->answers_at; at < records->end_at; at += stride)
		if (memcmp(records->message + at + DNS_RECORD_LEN, addr, len) == 0)
			return true;
	return false;
}

/* One record that the name owns. */
static enum dns_data add_record(struct response *response, const struct sent *sent)
{
	struct dns_records *records = response->records;
	bool is_addr = sent->type == DNS_TYPE_A || sent->type == DNS_TYPE_AAAA;
	struct dns_writer writer;
	enum dns_data data;

	writer = dns_record_begin(records, response->name_at, sent->type, sent->ttl_s);
	data = dns_data_copy(&response->message, sent->type, sent->data_at, sent->data_len,
			     &writer);
	if (data == DNS_DATA_BAD)
		return data;
	if (data == DNS_DATA_GOOD && is_addr &&
	    is_known(records, response->message.data + sent->data_at, sent->data_len))
		return data;
	if (data == DNS_DATA_USELESS || records->count == DNS_ADDRS_MAX ||
	    !dns_record_end(records, &writer, DNS_ANSWERS)) {
		records->left_out++;
		return DNS_DATA_USELESS;
	}
	records->count++;
	ttl_lower(records, sent->ttl_s);
	return DNS_DATA_GOOD;
}

/* RFC 9460 2.2: all of them, or none. */
static void drop_all(struct dns_records *records, uint32_t chain_ttl_s)
{
	records->ttl_s = chain_ttl_s;
	records->left_out = (uint16_t)(records->left_out + records->count + 1);
	records->count = 0;
	records->len = records->end_at = records->answers_at;
	set_u16(records->message + DNS_ANSWERS, records->links);
}

/* Second look: the records that belong to the end of the chain. */
static bool read_records(struct response *response, size_t at)
{
	struct dns_records *records = response->records;
	bool is_svcb = records->type == DNS_TYPE_SVCB || records->type == DNS_TYPE_HTTPS;
	uint32_t chain_ttl_s = records->ttl_s;
	unsigned looked_at = 0;
	struct sent sent = { 0 };

	for (unsigned i = 0; i < response->answers; i++) {
		enum dns_data data = DNS_DATA_USELESS;

		(void)read_record(&response->message, &at, &sent);      /* it was whole */
		if (sent.type != records->type || sent.class != DNS_CLASS_IN ||
		    !names_equal(&sent.owner, &response->name))
			continue;
		if (looked_at++ < LOOKED_AT_MAX)
			data = add_record(response, &sent);
		else
			records->left_out++;
		if (data == DNS_DATA_BAD && is_svcb) {
			drop_all(records, chain_ttl_s);
			return true;
		}
		if (data == DNS_DATA_BAD)
			return false;
	}
	/* Nothing but what is too large for us is not "no such type". */
	return records->count > 0 || records->left_out == 0 || is_svcb;
}

/* Where in a name another one begins that it ends with; DNS_NAME_MAX: it does not. */
static size_t suffix_at(const struct name *name, const struct name *suffix)
{
	size_t at = 0;

	while (name->len - at > suffix->len)
		at += 1 + (size_t)name->wire[at];
	return name->len - at == suffix->len &&
	       memcmp(name->wire + at, suffix->wire, suffix->len) == 0 ? at : DNS_NAME_MAX;
}

/* How long "no" holds: the lesser of the SOA's own TTL and its last field (RFC 2308 5). */
static bool add_soa(struct response *response, const struct sent *sent, size_t owner_at)
{
	struct dns_records *records = response->records;
	struct dns_writer writer;
	uint32_t ttl_s = sent->ttl_s, minimum;

	if (sent->data_len < SOA_MIN_LEN)
		return false;
	minimum = get_u32(response->message.data + sent->data_at + sent->data_len - 4);
	ttl_s = minimum < ttl_s ? minimum : ttl_s;
	writer = dns_record_begin(records, owner_at, DNS_TYPE_SOA, ttl_s);
	if (dns_data_copy(&response->message, DNS_TYPE_SOA, sent->data_at, sent->data_len,
			  &writer) == DNS_DATA_BAD)
		return false;
	/* Without room for it, it holds all the same. */
	(void)dns_record_end(records, &writer, DNS_AUTHORITIES);
	ttl_lower(records, ttl_s);
	records->has_ttl = true;
	return true;
}

static bool read_authorities(struct response *response, size_t *at)
{
	struct sent sent = { 0 };

	for (unsigned i = 0; i < response->authorities; i++) {
		size_t suffix;

		if (!read_record(&response->message, at, &sent))
			return false;
		if (sent.type != DNS_TYPE_SOA || sent.class != DNS_CLASS_IN ||
		    response->records->count > 0 || response->records->has_ttl)
			continue;
		suffix = suffix_at(&response->name, &sent.owner);
		if (suffix < DNS_NAME_MAX &&
		    !add_soa(response, &sent, response->name_at + suffix))
			return false;
	}
	return true;
}

/* Only the upper bits of the rcode are wanted. */
static bool read_additionals(struct response *response, size_t *at)
{
	struct sent sent = { 0 };

	for (unsigned i = 0; i < response->additionals; i++) {
		if (!read_record(&response->message, at, &sent))
			return false;
		if (sent.type == DNS_TYPE_OPT && sent.owner.len == 1)
			response->records->rcode |=
				(uint16_t)(response->message.data[sent.data_at - 6] << 4);
	}
	return true;
}

static bool read_sections(struct response *response, size_t at)
{
	struct dns_records *records = response->records;
	size_t answers_at = at;

	return read_cnames(response, &at) && follow(response) &&
	       (records->rcode != 0 || read_records(response, answers_at)) &&
	       read_authorities(response, &at) && read_additionals(response, &at);
}

/* A failure: the question is all that is left. */
static void drop_records(struct dns_records *records, size_t question_end)
{
	memset(records->message + DNS_ANSWERS, 0, 4);
	records->len = records->answers_at = records->end_at = (uint16_t)question_end;
	records->count = records->left_out = records->links = 0;
	records->ttl_s = 0;
	records->has_ttl = false;
}

enum parsed dns_response_parse(const uint8_t *data, size_t len,
			       const struct dns_question *question, struct dns_records *records)
{
	struct response response;
	size_t at = DNS_HEADER_LEN;

	if (dns_response_match(data, len, question) == DNS_MATCH_NO)
		return PARSED_BAD;
	response.message = (struct dns_message){ data, len };
	response.records = records;
	response.name_at = DNS_HEADER_LEN;
	response.cname_count = 0;
	response.answers = get_u16(data + DNS_ANSWERS);
	response.authorities = get_u16(data + DNS_AUTHORITIES);
	response.additionals = get_u16(data + DNS_ADDITIONALS);
	response.name.len = dns_name_read(&response.message, &at, response.name.wire);
	if (response.name.len != question->name_len)
		return PARSED_BAD;
	dns_records_start(records, response.name.wire, response.name.len, question->type);
	records->rcode = data[3] & DNS_FLAGS_RCODE;
	records->cut = get_u16(data + 2) & DNS_FLAG_TC;
	if (records->cut)
		return PARSED_OK;
	records->ttl_s = UINT32_MAX;
	if (!read_sections(&response, at + 4))
		return PARSED_BAD;
	if (records->rcode != DNS_RCODE_NONE && records->rcode != DNS_RCODE_NXDOMAIN) {
		drop_records(records, at + 4);
		return PARSED_OK;
	}
	records->has_ttl |= records->count > 0;
	if (!records->has_ttl)
		records->ttl_s = 0;
	return PARSED_OK;
}
