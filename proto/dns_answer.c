/* dns_answer.c - what a client is told.
 * An answer from records is a copy of their prepared message with the client's id and spelling in
 * it; nothing is composed but an OPT. */
#include <assert.h>

#include "proto/dns_wire.h"

enum {
	TTL_AT = 6, DATA_LEN_AT = 10,   /* in a record of ours */
	SOA_DATA_LEN = 22,              /* with the root for both names */
	OPTION_ERROR = 15,              /* RFC 8914 */
	OPTION_LEN = 6,                 /* without its text */
	EXTENDED_RCODE_SHIFT = 4,
};

static void header_set(uint8_t *out, const struct dns_query *query, unsigned flags)
{
	set_u16(out, query->id);
	set_u16(out + 2, DNS_FLAG_QR | DNS_FLAG_RA | flags |
		(query->flags & (DNS_FLAGS_OPCODE | DNS_FLAG_RD | DNS_FLAG_CD)));
}

/* Our OPT; version 0, DO as the client's (RFC 3225 3). */
static void write_opt(struct dns_writer *writer, const struct dns_query *query, unsigned rcode,
		      uint16_t error, struct str text)
{
	size_t text_len = text.len < DNS_ERROR_TEXT_MAX ? text.len : DNS_ERROR_TEXT_MAX;
	bool has_error = error != DNS_ERROR_NONE;
	uint8_t opt[DNS_OPT_LEN + OPTION_LEN] = {
		0, 0, DNS_TYPE_OPT, DNS_UDP_MAX >> 8, DNS_UDP_MAX & 0xff,
		(uint8_t)(rcode >> EXTENDED_RCODE_SHIFT), 0, query->dnssec_ok ? 0x80 : 0, 0,
		0, has_error ? (uint8_t)(OPTION_LEN + text_len) : 0,
		0, OPTION_ERROR, 0, (uint8_t)(2 + text_len),
		(uint8_t)(error >> 8), (uint8_t)error,
	};

	write_bytes(writer, opt, has_error ? sizeof(opt) : DNS_OPT_LEN);
	if (has_error && text_len > 0)
		write_bytes(writer, text.at, text_len);
}

static uint32_t aged(uint32_t ttl_s, struct dns_age age)
{
	ttl_s = ttl_s > age.age_s ? ttl_s - age.age_s : 0;
	return ttl_s < age.max_s ? ttl_s : age.max_s;
}

static void age_records(uint8_t *out, size_t from, size_t end, struct dns_age age)
{
	while (from < end) {
		uint8_t *head = out + from;

		set_u32(head + TTL_AT, aged(get_u32(head + TTL_AT), age));
		from += DNS_RECORD_LEN + (size_t)get_u16(head + DATA_LEN_AT);
	}
}

size_t dns_answer_build(const struct dns_query *query, const struct dns_records *records,
			struct dns_age age, size_t limit, uint8_t out[DNS_ANSWER_MAX])
{
	size_t question_len = DNS_HEADER_LEN + (size_t)query->wire_len + 4;
	size_t opt_len = query->edns ? DNS_OPT_LEN : 0, len = records->len;
	bool fits = len + opt_len <= limit;
	struct dns_writer writer = { .data = out, .size = DNS_ANSWER_MAX };

	assert(!records->cut);
	assert(query->wire_len > 0 && query->type == records->type);
	assert(records->message[question_len - 5] == 0);        /* a name of the same length */
	if (!fits)
		len = question_len;
	memcpy(out, records->message, len);
	memcpy(out + DNS_HEADER_LEN, query->wire, query->wire_len);
	header_set(out, query, (fits ? 0 : DNS_FLAG_TC) | (records->rcode & DNS_FLAGS_RCODE));
	if (fits)
		age_records(out, question_len, len, age);
	else
		memset(out + DNS_ANSWERS, 0, 4);
	set_u16(out + DNS_ADDITIONALS, query->edns);
	writer.at = len;
	if (query->edns)
		write_opt(&writer, query, records->rcode, DNS_ERROR_NONE, STR(""));
	return writer.at;
}

/* 0.0.0.0, ::, or a SOA of the asked name that says how long "no" holds. */
static void write_record(struct dns_writer *writer, uint16_t type, size_t len, uint32_t ttl_s)
{
	static const uint8_t zeroes[SOA_DATA_LEN];

	write_u16(writer, DNS_POINTER << 8 | DNS_HEADER_LEN);
	write_u16(writer, type);
	write_u16(writer, DNS_CLASS_IN);
	write_u32(writer, ttl_s);
	write_u16(writer, (unsigned)len);
	if (type == DNS_TYPE_SOA) {
		write_bytes(writer, zeroes, len - 4);
		write_u32(writer, ttl_s);
	} else {
		write_bytes(writer, zeroes, len);
	}
}

size_t dns_refusal_build(const struct dns_query *query, const struct dns_refusal *refusal,
			 uint8_t out[DNS_ANSWER_MAX])
{
	bool has_question = query->wire_len > 0;
	bool is_addr = query->type == DNS_TYPE_A || query->type == DNS_TYPE_AAAA;
	bool zero = refusal->zero && has_question && is_addr;
	bool has_soa = refusal->has_soa && has_question && !zero;
	unsigned rcode = refusal->zero ? zero ? DNS_RCODE_NONE : DNS_RCODE_NXDOMAIN :
			 refusal->rcode;
	struct dns_writer writer = { .data = out, .size = DNS_ANSWER_MAX, .at = DNS_HEADER_LEN };

	header_set(out, query, rcode & DNS_FLAGS_RCODE);
	set_u16(out + 4, has_question);
	set_u16(out + DNS_ANSWERS, zero);
	set_u16(out + DNS_AUTHORITIES, has_soa);
	set_u16(out + DNS_ADDITIONALS, query->edns);
	if (has_question) {
		write_bytes(&writer, query->wire, query->wire_len);
		write_u16(&writer, query->type);
		write_u16(&writer, query->class);
	}
	if (zero)
		write_record(&writer, query->type, query->type == DNS_TYPE_A ? 4 : 16,
			     refusal->ttl_s);
	if (has_soa)
		write_record(&writer, DNS_TYPE_SOA, SOA_DATA_LEN, refusal->ttl_s);
	if (query->edns)
		write_opt(&writer, query, rcode, refusal->error, refusal->text);
	return writer.at;
}
