/* dns_records.c - a prepared answer: made record by record, walked, vetted.
 * Every owner is a pointer to the question's name or into the chain, and both are never moved: so
 * records behind them can be taken out by moving the others up. */
#include <assert.h>

#include "proto/dns_wire.h"

enum { TTL_AT = 6, DATA_LEN_AT = 10 };  /* in a record of ours */

static void count_add(struct dns_records *records, unsigned section, int more)
{
	uint8_t *count = records->message + section;

	set_u16(count, (unsigned)(get_u16(count) + more));
}

void dns_records_start(struct dns_records *records, const uint8_t *wire, size_t wire_len,
		       uint16_t type)
{
	uint8_t *message = records->message;

	memset(records, 0, offsetof(struct dns_records, message) + DNS_HEADER_LEN);
	set_u16(message + 4, 1);
	memcpy(message + DNS_HEADER_LEN, wire, wire_len);
	set_u16(message + DNS_HEADER_LEN + wire_len, type);
	set_u16(message + DNS_HEADER_LEN + wire_len + 2, DNS_CLASS_IN);
	records->type = type;
	records->len = (uint16_t)(DNS_HEADER_LEN + wire_len + 4);
	records->answers_at = records->end_at = records->len;
}

struct dns_writer dns_record_begin(struct dns_records *records, size_t owner_at, uint16_t type,
				   uint32_t ttl_s)
{
	struct dns_writer writer = { .data = records->message, .at = records->len,
				     .size = DNS_RECORDS_MAX };

	write_u16(&writer, DNS_POINTER << 8 | (unsigned)owner_at);
	write_u16(&writer, type);
	write_u16(&writer, DNS_CLASS_IN);
	write_u32(&writer, ttl_s);
	write_u16(&writer, 0);
	return writer;
}

bool dns_record_end(struct dns_records *records, const struct dns_writer *writer, unsigned section)
{
	size_t data_at = records->len + DNS_RECORD_LEN;

	if (writer->full)
		return false;
	set_u16(records->message + records->len + DATA_LEN_AT, (unsigned)(writer->at - data_at));
	records->len = (uint16_t)writer->at;
	if (section == DNS_ANSWERS)
		records->end_at = records->len;
	count_add(records, section, 1);
	return true;
}

void dns_records_init(struct dns_records *records, const uint8_t *wire, uint16_t type,
		      uint32_t ttl_s)
{
	size_t len = dns_name_len(wire);

	dns_records_start(records, wire, len, type);
	for (size_t i = 0; i < len; i++)
		records->message[DNS_HEADER_LEN + i] = (uint8_t)ascii_lower((char)wire[i]);
	records->has_ttl = true;
	records->ttl_s = ttl_s;
}

static bool add_record(struct dns_records *records, const uint8_t *data, size_t len, uint32_t ttl_s)
{
	struct dns_writer writer;

	assert(records->links == 0);
	writer = dns_record_begin(records, DNS_HEADER_LEN, records->type, ttl_s);
	write_bytes(&writer, data, len);
	if (!dns_record_end(records, &writer, DNS_ANSWERS))
		return false;
	if (ttl_s < records->ttl_s || records->count == 0)
		records->ttl_s = ttl_s;
	records->count++;
	return true;
}

bool dns_records_add_addr(struct dns_records *records, const uint8_t *addr, size_t len,
			  uint32_t ttl_s)
{
	size_t stride = DNS_RECORD_LEN + len;

	if (len != (records->type == DNS_TYPE_A ? 4 : records->type == DNS_TYPE_AAAA ? 16 : 0) ||
	    records->count >= DNS_ADDRS_MAX)
		return false;
	for (size_t at = records->answers_at; at < records->end_at; at += stride)
		if (memcmp(records->message + at + DNS_RECORD_LEN, addr, len) == 0)
			return false;
	return add_record(records, addr, len, ttl_s);
}

bool dns_records_add_ptr(struct dns_records *records, const uint8_t *wire, uint32_t ttl_s)
{
	return records->type == DNS_TYPE_PTR && records->count < DNS_ADDRS_MAX &&
	       add_record(records, wire, dns_name_len(wire), ttl_s);
}

/* Walking */

static size_t first_at(const struct dns_records *records)
{
	return DNS_HEADER_LEN + dns_name_len(records->message + DNS_HEADER_LEN) + 4;
}

bool dns_records_next(const struct dns_records *records, uint16_t *at, struct dns_record *record)
{
	size_t from = *at == 0 ? first_at(records) : *at;
	const uint8_t *head = records->message + from;

	if (from >= records->end_at)
		return false;
	*record = (struct dns_record){
		.owner_at = get_u16(head) & 0x3fff, .type = get_u16(head + 2),
		.ttl_s = get_u32(head + TTL_AT), .data_len = get_u16(head + DATA_LEN_AT),
		.data_at = (uint16_t)(from + DNS_RECORD_LEN),
	};
	*at = (uint16_t)(record->data_at + record->data_len);
	return true;
}

size_t dns_records_name(const struct dns_records *records, uint16_t at, char text[DNS_TEXT_MAX])
{
	return dns_name_to_text(records->message + at, text);
}

/* The hint parameter at walk->param_at or behind it. */
static bool next_hint(const struct dns_records *records, struct dns_addr_walk *walk)
{
	while (walk->param_at < walk->params_end) {
		const uint8_t *param = records->message + walk->param_at;
		uint16_t key = get_u16(param), len = get_u16(param + 2);

		walk->hint_at = (uint16_t)(walk->param_at + 4);
		walk->param_at = walk->hint_end = (uint16_t)(walk->hint_at + len);
		walk->hint_len = key == DNS_SVCB_IPV4HINT ? 4 : 16;
		if (key == DNS_SVCB_IPV4HINT || key == DNS_SVCB_IPV6HINT)
			return true;
	}
	return false;
}

static void addr_set(struct dns_addr *addr, const uint8_t *bytes, uint8_t len, bool hint,
		     uint32_t ttl_s)
{
	*addr = (struct dns_addr){ .hint = hint, .len = len, .ttl_s = ttl_s };
	memcpy(addr->bytes, bytes, len);
}

bool dns_records_next_addr(const struct dns_records *records, struct dns_addr_walk *walk,
			   struct dns_addr *addr)
{
	const uint8_t *message = records->message;
	struct dns_record record;

	for (;;) {
		if (walk->hint_at < walk->hint_end) {
			addr_set(addr, message + walk->hint_at, walk->hint_len, true, walk->ttl_s);
			walk->hint_at = (uint16_t)(walk->hint_at + walk->hint_len);
			return true;
		}
		walk->hint_at = walk->hint_end = 0;
		if (next_hint(records, walk))
			continue;
		walk->hint_at = walk->hint_end = 0;
		if (!dns_records_next(records, &walk->at, &record))
			return false;
		if (record.type == DNS_TYPE_A || record.type == DNS_TYPE_AAAA) {
			addr_set(addr, message + record.data_at, (uint8_t)record.data_len, false,
				 record.ttl_s);
			return true;
		}
		if (record.type == DNS_TYPE_SVCB || record.type == DNS_TYPE_HTTPS) {
			walk->ttl_s = record.ttl_s;
			walk->params_end = (uint16_t)(record.data_at + record.data_len);
			walk->param_at = (uint16_t)(record.data_at +
						    dns_svcb_params_at(message + record.data_at));
		}
	}
}

/* Vetting */

/* The record at an offset, without what keep() refuses.  Returns its length, 0: it must go. */
static size_t vet_record(struct dns_records *records, size_t at, size_t data_len, dns_keep_fn *keep,
			 void *context, unsigned *gone)
{
	uint8_t *head = records->message + at, *data = head + DNS_RECORD_LEN;
	uint16_t type = get_u16(head + 2);
	struct dns_addr addr;

	if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA) {
		addr_set(&addr, data, (uint8_t)data_len, false, get_u32(head + TTL_AT));
		if (keep(context, &addr))
			return DNS_RECORD_LEN + data_len;
		(*gone)++;
		return 0;
	}
	if (type == DNS_TYPE_SVCB || type == DNS_TYPE_HTTPS) {
		addr = (struct dns_addr){ .hint = true, .ttl_s = get_u32(head + TTL_AT) };
		data_len = dns_svcb_vet(data, data_len, &addr, keep, context, gone);
		set_u16(head + DATA_LEN_AT, (unsigned)data_len);
		return data_len > 0 ? DNS_RECORD_LEN + data_len : 0;
	}
	return DNS_RECORD_LEN + data_len;
}

unsigned dns_records_vet(struct dns_records *records, dns_keep_fn *keep, void *context)
{
	uint8_t *message = records->message;
	size_t from = records->answers_at, to = from;
	unsigned gone = 0;

	while (from < records->end_at) {
		size_t data_len = get_u16(message + from + DATA_LEN_AT);
		size_t len = DNS_RECORD_LEN + data_len;

		memmove(message + to, message + from, len);
		from += len;
		len = vet_record(records, to, data_len, keep, context, &gone);
		to += len;
		if (len == 0) {
			records->count--;
			records->left_out++;
			count_add(records, DNS_ANSWERS, -1);
		}
	}
	memmove(message + to, message + records->end_at, (size_t)records->len - records->end_at);
	records->len = (uint16_t)(records->len - (records->end_at - to));
	records->end_at = (uint16_t)to;
	return gone;
}
