/* test_http_corpus.c - the shared request vectors, each as a stream in reads of several sizes.
 * The folder is $RINGFENCE_CORPUS, by default ../shared/corpus; what is missing is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "proto/http.h"
#include "tests/unit/corpus.h"

/* What a connection came to. */
struct outcome {
	json_t *heads;                  /* hosts of all heads that were accepted */
	size_t whole;                   /* how many of them had their whole body too */
	bool waiting;                   /* in the middle of a head or a body */
	enum http_bad bad;
};

/* Judge data[*at..have); false when nothing more can be said about this connection. */
static bool judge(struct outcome *out, struct http_head *head, struct http_body *body,
		  const uint8_t *data, size_t *at, size_t have)
{
	while (out->waiting || *at < have) {
		size_t len = have - *at;
		enum parsed parsed;

		if (head->len == 0) {
			out->waiting = true;
			parsed = http_request_head(head, data + *at, len);
			out->bad = head->bad;
			if (parsed != PARSED_OK)
				return parsed == PARSED_MORE;
			*at += head->len;
			json_array_append_new(out->heads, json_string(head->host));
			http_body_start(body, head);
			continue;
		}
		parsed = http_body_feed(body, data + *at, &len);
		*at += len;
		out->bad = body->bad;
		if (parsed != PARSED_OK)
			return parsed == PARSED_MORE;
		out->whole++;
		out->waiting = false;
		if (head->upgrade_websocket)    /* the server's answer decides what follows */
			return false;
		*head = (struct http_head){ 0 };
	}
	return true;
}

static struct outcome run(const uint8_t *data, size_t len, size_t read_size)
{
	struct outcome out = { .heads = json_array() };
	struct http_head head = { 0 };
	struct http_body body;
	size_t at = 0, have = 0;

	do
		have = len - have < read_size ? len : have + read_size;
	while (judge(&out, &head, &body, data, &at, have) && have < len);
	return out;
}

static bool first_are(const json_t *heads, size_t count, const json_t *hosts)
{
	if (json_array_size(hosts) != count || json_array_size(heads) < count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!json_equal(json_array_get(heads, i), json_array_get(hosts, i)))
			return false;
	return true;
}

static bool is_expected(const struct outcome *out, const json_t *expect)
{
	struct str verdict = str_of(json_string_value(json_object_get(expect, "verdict")));
	const json_t *hosts = json_object_get(expect, "hosts");
	size_t heads = json_array_size(out->heads);

	if (str_equal(verdict, STR("block")))
		return out->bad != HTTP_BAD_NONE &&
		       first_are(out->heads, out->whole, json_object_get(expect, "hosts_before"));
	if (out->bad != HTTP_BAD_NONE)
		return false;
	if (str_equal(verdict, STR("hosts")))
		return !out->waiting && first_are(out->heads, heads, hosts);
	if (str_equal(verdict, STR("hosts-then-wait")))
		return out->waiting && first_are(out->heads, heads, hosts);
	return str_equal(verdict, STR("wait-then-block")) && out->waiting &&
	       first_are(out->heads, out->whole, hosts);
}

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };

		out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return len;
}

/* The number of wrong outcomes of one entry. */
static unsigned run_entry(json_t *entry)
{
	static const size_t read_sizes[] = { 1, 2, 3, 7, 1460, 16384, SIZE_MAX };
	const json_t *expect = json_object_get(entry, "expect");
	const char *hex = json_string_value(json_object_get(entry, "hex"));
	uint8_t *data = malloc(strlen(hex) / 2 + 1);
	size_t len = from_hex(hex, data);
	enum http_bad first_bad = HTTP_BAD_NONE;
	unsigned wrong = 0;

	for (size_t i = 0; i < ARRAY_LEN(read_sizes); i++) {
		struct outcome out = run(data, len, read_sizes[i]);

		if (i == 0)
			first_bad = out.bad;
		if (!is_expected(&out, expect) || out.bad != first_bad) {
			print_error("%s in reads of %zu: bad=\"%s\" whole=%zu waiting=%d\n",
				    json_string_value(json_object_get(entry, "id")), read_sizes[i],
				    http_bad_text(out.bad), out.whole, out.waiting);
			wrong++;
		}
		json_decref(out.heads);
	}
	free(data);
	return wrong;
}

static void http_judges_captured_heads_as_expected(void **state)
{
	(void)state;
	corpus_run("http.jsonl", run_entry);
}

static void http_judges_attacks_as_expected(void **state)
{
	(void)state;
	corpus_run("http_attacks.jsonl", run_entry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_judges_captured_heads_as_expected),
		cmocka_unit_test(http_judges_attacks_as_expected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
