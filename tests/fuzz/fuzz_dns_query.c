/* fuzz_dns_query.c - the input as a client's query, and everything that we would answer to it.
 * Our answers must be responses to that very question; our own questions must be good queries. */
#include <assert.h>
#include <stdlib.h>

#include "proto/dns.h"
#include "proto/hostname.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct dns_question question_of(const struct dns_query *query)
{
	struct dns_question question = { .id = query->id, .type = query->type,
					 .name_len = query->wire_len };

	memcpy(question.name, query->wire, query->wire_len);
	return question;
}

static void check_name(const struct dns_query *query)
{
	char text[DNS_TEXT_MAX], host[HOSTNAME_MAX + 1] = "";
	uint8_t wire[DNS_NAME_MAX];
	size_t len;

	assert(query->name[query->name_len] == '\0');
	if (query->wire_len == 0) {
		assert(query->name_len == 0);
		return;
	}
	len = dns_name_to_text(query->wire, text);
	assert(len < sizeof(text) && text[len] == '\0');
	if (!strchr(text, '\\') && strcmp(text, ".") != 0)
		(void)hostname_normalise(str_of(text), host);
	assert(strcmp(query->name, host) == 0 && query->name_len == strlen(host));
	if (query->name_len > 0)
		assert(dns_name_from_text(dns_query_name(query), wire) == query->wire_len);
}

static void check_question(const struct dns_query *query, bool edns)
{
	struct dns_question question = question_of(query);
	uint8_t out[DNS_QUESTION_MAX];
	size_t len = dns_question_build(&question, edns, out);
	struct dns_query again;

	assert(len <= sizeof(out));
	assert(dns_query_parse(out, len, &again) == DNS_ASK);
	assert(again.rd && !again.cd && !again.dnssec_ok && again.edns == edns);
	assert(again.id == query->id && again.type == query->type);
	assert(again.wire_len == query->wire_len);
	assert(memcmp(again.wire, query->wire, query->wire_len) == 0);
}

static void check_refusal(const struct dns_query *query, uint16_t rcode, bool zero)
{
	struct dns_refusal refusal = { .rcode = rcode, .error = DNS_ERROR_BLOCKED,
				       .text = STR("not on the list"), .has_soa = true,
				       .zero = zero, .ttl_s = 10 };
	struct dns_question question = question_of(query);
	static struct dns_records records;
	uint8_t out[DNS_ANSWER_MAX];
	size_t len = dns_refusal_build(query, &refusal, out);

	assert(len >= 12 && len <= DNS_UDP_MIN);
	assert((out[0] << 8 | out[1]) == query->id);
	if (query->wire_len == 0 || query->class != 1 || query->flags & 0x7800)
		return;
	assert(dns_response_match(out, len, &question) == DNS_MATCH_YES);
	assert(dns_response_parse(out, len, &question, &records) == PARSED_OK);
	if (!zero)
		assert(records.rcode == (query->edns ? rcode : rcode & 0xf));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct dns_query query;
	enum dns_verdict verdict = dns_query_parse(data, len, &query);

	assert(query.udp_size >= DNS_UDP_MIN && query.udp_size <= DNS_UDP_MAX);
	check_name(&query);
	if (verdict == DNS_DROP)
		return 0;
	if (verdict != DNS_ASK) {
		check_refusal(&query, dns_verdict_rcode(verdict), false);
		return 0;
	}
	assert(query.wire_len > 0 && query.class == 1);
	check_question(&query, len % 2);
	check_refusal(&query, DNS_RCODE_NXDOMAIN, false);
	check_refusal(&query, DNS_RCODE_NXDOMAIN, true);
	return 0;
}
