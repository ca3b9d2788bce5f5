/* fuzz_dns_response.c - the input as a response to its own question.
 * What we keep of it must be whole, and handed to a client and read again it must be the same. */
#include <assert.h>

#include "proto/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool keep_all(void *context, const struct dns_addr *addr)
{
	assert(addr->len == 4 || addr->len == 16);
	(*(unsigned *)context)++;
	return true;
}

static bool keep_none(void *context, const struct dns_addr *addr)
{
	(void)context, (void)addr;
	return false;
}

static unsigned count_addrs(const struct dns_records *records)
{
	struct dns_addr_walk walk = { 0 };
	struct dns_addr addr;
	unsigned count = 0;

	while (dns_records_next_addr(records, &walk, &addr)) {
		assert(addr.len == 4 || addr.len == 16);
		assert(addr.ttl_s >= records->ttl_s);
		count++;
	}
	return count;
}

static void check_walk(const struct dns_records *records)
{
	unsigned links = 0, count = 0;
	struct dns_record record;
	char text[DNS_TEXT_MAX];
	uint16_t at = 0;

	assert(records->len <= DNS_RECORDS_MAX && records->end_at <= records->len);
	while (dns_records_next(records, &at, &record)) {
		assert(record.data_at + record.data_len <= records->end_at);
		assert(dns_records_name(records, record.owner_at, text) > 0);
		if (links < records->links) {
			assert(record.type == DNS_TYPE_CNAME && count == 0);
			assert(dns_records_name(records, record.data_at, text) > 0);
			links++;
			continue;
		}
		assert(record.type == records->type);
		count++;
	}
	assert(links == records->links && count == records->count && links <= DNS_CHAIN_MAX);
	assert(count <= DNS_ADDRS_MAX);
}

/* As a client would see it, by TCP. */
static void check_again(const struct dns_query *query, const struct dns_question *question,
			const struct dns_records *records)
{
	struct dns_age young = { 0, UINT32_MAX };
	static struct dns_records again;
	uint8_t out[DNS_ANSWER_MAX];
	size_t len = dns_answer_build(query, records, young, 65535, out), cut_len;

	assert(len <= sizeof(out));
	assert(dns_response_parse(out, len, question, &again) == PARSED_OK && !again.cut);
	assert(again.len == records->len);
	assert(memcmp(again.message, records->message, records->len) == 0);
	assert(again.count == records->count && again.links == records->links);
	assert(again.answers_at == records->answers_at && again.end_at == records->end_at);
	assert(again.rcode == (query->edns ? records->rcode : records->rcode & 0xf));
	if (again.has_ttl)
		assert(records->has_ttl && again.ttl_s == records->ttl_s);

	cut_len = dns_answer_build(query, records, young, len - 1, out);
	assert(cut_len <= len && dns_response_parse(out, cut_len, question, &again) == PARSED_OK);
	assert(again.cut && again.count == 0);
}

static void check_vet(struct dns_records *records)
{
	unsigned addrs = count_addrs(records), seen = 0;
	uint16_t len = records->len;

	assert(dns_records_vet(records, keep_all, &seen) == 0);
	assert(seen == addrs && records->len == len && count_addrs(records) == addrs);
	assert(dns_records_vet(records, keep_none, NULL) == addrs);
	assert(count_addrs(records) == 0);
	check_walk(records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct dns_records records;
	static uint8_t asked[65536];
	struct dns_question question = { 0 };
	struct dns_query query;

	if (len < 12 || len > sizeof(asked))
		return 0;
	/* Its own question, as a client may have asked it: with EDNS or not. */
	memcpy(asked, data, len);
	asked[2] &= 0x7f;
	(void)dns_query_parse(asked, len, &query);
	if (query.wire_len == 0)
		return 0;
	query.edns = len % 2;
	question = (struct dns_question){ .id = query.id, .type = query.type,
					  .name_len = query.wire_len };
	memcpy(question.name, query.wire, query.wire_len);
	if (dns_response_parse(data, len, &question, &records) != PARSED_OK)
		return 0;
	assert(dns_response_match(data, len, &question) == DNS_MATCH_YES);
	check_walk(&records);
	if (records.cut) {
		assert(records.count == 0 && records.links == 0);
		return 0;
	}
	check_again(&query, &question, &records);
	check_vet(&records);
	check_again(&query, &question, &records);
	return 0;
}
