/* test_dns_corpus.c - the shared DNS vectors: what a resolver must say to a query, and what may be
 * learned from a response.  The folder is $RINGFENCE_CORPUS, by default ../shared/corpus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "proto/dns.h"
#include "proto/hostname.h"
#include "tests/unit/corpus.h"
#include "tests/unit/dns_text.h"

enum { DATA_MAX = 1 << 16 };

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t len = strlen(hex) / 2;

	assert_true(len <= DATA_MAX);
	for (size_t i = 0; i < len; i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };

		out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return len;
}

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

/* Queries */

static bool verdict_is(enum dns_verdict verdict, const char *must, const char *note)
{
	switch (verdict) {
	case DNS_ASK: return strcmp(must, "vet") == 0 && !has(note, "BADVERS");
	case DNS_DROP: return has(must, "drop");
	case DNS_FORMERR: return has(must, "formerr");
	case DNS_NOTIMP: return has(must, "notimp");
	case DNS_REFUSED: return has(must, "refuse");
	case DNS_BADVERS: return has(note, "BADVERS");
	}
	return false;
}

static bool question_is(const struct dns_query *query, const json_t *question)
{
	const char *name = text_of(question, "qname");
	char text[DNS_TEXT_MAX], host[HOSTNAME_MAX + 1] = "";

	if (query->wire_len == 0)
		return false;
	dns_name_to_text(query->wire, text);
	if (strcmp(name, ".") != 0 && !strchr(name, '\\'))
		hostname_normalise(str_of(name), host);
	return strcmp(text, name) == 0 && strcmp(query->name, host) == 0 &&
	       query->name_len == strlen(host) &&
	       query->type == json_integer_value(json_object_get(question, "qtype")) &&
	       query->class == json_integer_value(json_object_get(question, "qclass"));
}

static bool query_is_expected(const uint8_t *data, size_t len, const json_t *entry)
{
	const json_t *expect = json_object_get(entry, "expect");
	const json_t *questions = json_object_get(expect, "questions");
	struct dns_query query;
	enum dns_verdict verdict = dns_query_parse(data, len, &query);

	return verdict_is(verdict, text_of(expect, "resolver_must"), text_of(entry, "note")) &&
	       (verdict != DNS_ASK || question_is(&query, json_array_get(questions, 0)));
}

/* The verdicts of a stream's whole messages, and the names that may be asked: "A:allowed.test". */
static void read_stream(const uint8_t *data, size_t len, char *out, size_t size)
{
	struct dns_query query;
	size_t used = 0, at = 0;

	out[0] = '\0';
	while (len - at >= 2 && len - at - 2 >= (size_t)(data[at] << 8 | data[at + 1])) {
		size_t message_len = (size_t)(data[at] << 8 | data[at + 1]);
		enum dns_verdict verdict = dns_query_parse(data + at + 2, message_len, &query);

		used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
					 verdict == DNS_ASK ? query.name : "refused");
		at += 2 + message_len;
	}
	if (at < len)
		snprintf(out + used, size - used, "%s...", used ? " " : "");
}

static bool stream_is_expected(const uint8_t *data, size_t len, const char *id)
{
	static const struct {
		const char *id, *messages;      /* "...": the last one never is whole */
	} streams[] = {
		{ "D11-tcp-ok", "allowed.test" },
		{ "D11-tcp-len0", "refused" },
		{ "D11-tcp-lenshort", "refused" },
		{ "D11-tcp-lenlong", "..." },
		{ "D11-tcp-two", "allowed.test evil.test" },
		{ "D11-tcp-http", "..." },
		{ "D11-tcp-tls", "..." },
		{ "D11-tcp-ssh", "..." },
	};
	char messages[4096];

	read_stream(data, len, messages, sizeof(messages));
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		if (strcmp(streams[i].id, id) == 0)
			return strcmp(streams[i].messages, messages) == 0;
	return false;
}

/* Responses */

struct outcome {
	enum dns_match match;
	enum parsed parsed;
	struct dns_records records;
};

static bool keep_none(void *context, const struct dns_addr *addr)
{
	(void)context, (void)addr;
	return false;
}

static bool addrs_are(const struct outcome *out, const char *addrs)
{
	return out->parsed == PARSED_OK && strcmp(dns_addrs_text(&out->records), addrs) == 0;
}

/* The one address goes when it is refused. */
static bool is_stripped(struct outcome *out)
{
	bool had = out->parsed == PARSED_OK && out->records.count == 1;

	return had && dns_records_vet(&out->records, keep_none, NULL) == 1 && addrs_are(out, "") &&
	       out->records.count == 0;
}

static bool ech_is_stripped(const struct outcome *out)
{
	struct dns_record record;
	uint16_t at = 0, params_at;
	const uint8_t *data;

	if (out->parsed != PARSED_OK || !dns_records_next(&out->records, &at, &record))
		return false;
	data = out->records.message + record.data_at;
	for (params_at = 2; data[params_at] != 0; params_at += 1 + data[params_at])
		;
	for (params_at++; params_at < record.data_len;
	     params_at += 4 + (data[params_at + 2] << 8 | data[params_at + 3]))
		if (data[params_at + 1] == 5)
			return false;
	return true;
}

static bool attack_is_expected(struct outcome *out, const char *id, const char *must)
{
	const struct dns_records *records = &out->records;

	if (has(must, "ignore"))
		return out->match == (strcmp(id, "D20-case") ? DNS_MATCH_NO : DNS_MATCH_CASE);
	if (out->match != DNS_MATCH_YES)
		return false;
	if (has(must, "strip the address"))
		return is_stripped(out);
	if (has(must, "SERVFAIL"))              /* "SERVFAIL, or follow": it is cut at 12 */
		return out->parsed == PARSED_BAD;
	if (has(must, "pass; learn 203.0.113.7") || has(must, "do not learn") ||
	    has(must, "never used"))
		return addrs_are(out, "203.0.113.7") && records->links == 0;
	if (has(must, "record the chain"))
		return addrs_are(out, "198.51.100.66") && records->links == 1;
	if (has(must, "either order works"))
		return addrs_are(out, "203.0.113.7") && records->links == 1;
	if (has(must, "not dropped"))
		return records->count == 1 && records->has_ttl && records->ttl_s == 0;
	if (has(must, "RFC 2181"))
		return records->count == 1 && records->ttl_s <= INT32_MAX;
	if (has(must, "cap what is learned"))
		return records->count == DNS_ADDRS_MAX && records->left_out == 3000 - 64;
	if (has(must, "retry over TCP"))
		return records->cut && records->count == 0;
	if (has(must, "negative-cache"))
		return records->rcode == DNS_RCODE_NXDOMAIN && records->count == 0;
	if (has(must, "unless TXT is listed"))
		return out->parsed == PARSED_OK && records->type == DNS_TYPE_TXT;
	if (has(must, "strip ech"))
		return ech_is_stripped(out) && addrs_are(out, "hint:198.51.100.66");
	if (has(must, "pass or NODATA"))
		return out->parsed == PARSED_OK && records->count == 1;
	return false;
}

/* A captured response is taken for one to its own question. */
static bool response_is_expected(const uint8_t *data, size_t len, const json_t *entry)
{
	static uint8_t asked[DATA_MAX];
	const char *id = text_of(entry, "id"), *hex = text_of(entry, "query_hex");
	const json_t *expect = json_object_get(entry, "expect");
	size_t asked_len = from_hex(hex, asked);
	struct dns_question question = { 0 };
	struct dns_query query;
	struct outcome out = { .parsed = PARSED_MORE };

	if (asked_len == 0) {
		memcpy(asked, data, len);
		asked_len = len;
		asked[2] &= 0x7f;
	}
	(void)dns_query_parse(asked, asked_len, &query);
	question = (struct dns_question){ .id = query.id, .type = query.type,
					  .name_len = query.wire_len };
	memcpy(question.name, query.wire, query.wire_len);
	out.match = dns_response_match(data, len, &question);
	if (out.match == DNS_MATCH_YES)
		out.parsed = dns_response_parse(data, len, &question, &out.records);
	if (*text_of(expect, "proxy_must"))
		return attack_is_expected(&out, id, text_of(expect, "proxy_must"));
	if (json_object_get(expect, "opcode"))
		return out.match == DNS_MATCH_NO;
	return out.match == DNS_MATCH_YES && out.parsed == PARSED_OK &&
	       (out.records.rcode & 0xf) == json_integer_value(json_object_get(expect, "rcode"));
}

static bool entry_is_expected(const json_t *entry)
{
	const char *dir = text_of(json_object_get(entry, "expect"), "dir");
	static uint8_t bytes[DATA_MAX];
	size_t len = from_hex(text_of(entry, "hex"), bytes);
	uint8_t *data = malloc(len > 0 ? len : 1);      /* of the exact size */
	bool right;

	memcpy(data, bytes, len);
	if (strcmp(text_of(entry, "transport"), "tcp-stream") == 0)
		right = stream_is_expected(data, len, text_of(entry, "id"));
	else if (strcmp(dir, "query") == 0)
		right = query_is_expected(data, len, entry);
	else
		right = response_is_expected(data, len, entry);
	free(data);
	return right;
}

static unsigned judge(json_t *entry)
{
	if (entry_is_expected(entry))
		return 0;
	print_error("%s: not as expected\n", text_of(entry, "id"));
	return 1;
}

static void dns_judges_captured_messages_as_expected(void **state)
{
	(void)state;
	corpus_run("dns.jsonl", judge);
}

static void dns_judges_attacks_as_expected(void **state)
{
	(void)state;
	corpus_run("dns_attacks.jsonl", judge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dns_judges_captured_messages_as_expected),
		cmocka_unit_test(dns_judges_attacks_as_expected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
