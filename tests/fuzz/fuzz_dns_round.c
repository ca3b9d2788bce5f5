/* fuzz_dns_round.c - the input says what to build; read again, it must be what was built.
 * Bytes: what kind, TTL (4), age (4), a name as text up to a NUL, then the addresses or names. */
#include <assert.h>

#include "proto/dns.h"
#include "proto/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { KIND_A, KIND_AAAA, KIND_PTR, KIND_HTTPS, KINDS };

static const uint16_t types[KINDS] = {
	DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_PTR, DNS_TYPE_HTTPS,
};

static struct str read_text(struct reader *reader)
{
	const char *at = (const char *)reader->at;
	size_t len = strnlen(at, reader_left(reader));

	(void)read_bytes(reader, len < reader_left(reader) ? len + 1 : len);
	return (struct str){ at, len };
}

static uint32_t read_u32(struct reader *reader)
{
	uint32_t high = read_u16(reader);

	return high << 16 | read_u16(reader);
}

static void add_all(struct reader *reader, struct dns_records *records, uint32_t ttl_s)
{
	size_t addr_len = records->type == DNS_TYPE_A ? 4 : 16;
	uint8_t wire[DNS_NAME_MAX];

	while (reader_left(reader) > 0) {
		const uint8_t *addr;

		if (records->type == DNS_TYPE_PTR) {
			if (dns_name_from_text(read_text(reader), wire) > 0)
				(void)dns_records_add_ptr(records, wire, ttl_s);
			continue;
		}
		addr = read_bytes(reader, addr_len);
		if (addr)
			(void)dns_records_add_addr(records, addr, addr_len, ttl_s);
	}
}

static uint32_t left_of(uint32_t ttl_s, uint32_t age_s)
{
	return ttl_s > age_s ? ttl_s - age_s : 0;
}

/* PTR names come back in lower case. */
static bool same_but_case(const uint8_t *a, const uint8_t *b, size_t len)
{
	return str_equal_nocase((struct str){ (const char *)a, len },
				(struct str){ (const char *)b, len });
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader reader = { .at = data, .end = data + len };
	uint8_t kind = read_u8(&reader);
	uint32_t ttl_s = read_u32(&reader) & INT32_MAX, age_s = read_u32(&reader);
	struct dns_question question = { .type = types[kind % KINDS] };
	static struct dns_records built, read;
	uint8_t asked[DNS_QUESTION_MAX], out[DNS_ANSWER_MAX];
	struct dns_query query;

	question.name_len = (uint8_t)dns_name_from_text(read_text(&reader), question.name);
	if (question.name_len == 0)
		return 0;
	len = dns_question_build(&question, kind & 0x80, asked);
	assert(dns_query_parse(asked, len, &query) == DNS_ASK);
	dns_records_init(&built, question.name, question.type, ttl_s);
	add_all(&reader, &built, ttl_s);

	len = dns_answer_build(&query, &built, (struct dns_age){ 0, INT32_MAX }, 65535, out);
	assert(dns_response_parse(out, len, &question, &read) == PARSED_OK);
	assert(read.count == built.count && read.len == built.len && read.left_out == 0);
	assert(same_but_case(read.message, built.message, built.len));
	assert(read.count == 0 || read.ttl_s == ttl_s);

	len = dns_answer_build(&query, &built, (struct dns_age){ age_s, 3600 }, 65535, out);
	assert(dns_response_parse(out, len, &question, &read) == PARSED_OK);
	ttl_s = left_of(ttl_s, age_s);
	assert(read.count == 0 || read.ttl_s == (ttl_s < 3600 ? ttl_s : 3600));
	return 0;
}
