/* test_dashboard_entry.c - from what agents ship to what is kept and shown. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "dashboard/entry.h"
#include "dashboard/payload.h"
#include "dashboard/rfc3339.h"

static const int64_t now = INT64_C(1700000000) * NS_PER_S;

static bool read_entry(const char *text, struct entry *entry)
{
	json_t *item = json_loads(text, JSON_ALLOW_NUL, NULL);
	bool good;

	assert_non_null(item);
	good = entry_init(entry, item, "192.0.2.1:9", now);
	json_decref(item);
	return good;
}

static char *shown(const struct entry *entry)
{
	struct out out;
	size_t len;
	char *text;

	out_init(&out, 1 << 20);
	entry_json(entry, &out);
	text = out_take(&out, &len);
	assert_non_null(text);
	return text;
}

static void entry_needs_a_text_and_a_verdict(void **state)
{
	static const char *const bad[] = {
		"{}", "{\"msg\":\"x\"}", "{\"msg\":\"\",\"action\":\"BLOCKED\"}",
		"{\"msg\":7,\"action\":\"BLOCKED\"}", "{\"msg\":\"x\",\"action\":\"REDIRECTED\"}",
		"{\"msg\":\"_dashboard_probe\",\"action\":\"BLOCKED\"}",
		"{\"msg\":\"x\",\"action\":[\"BLOCKED\"]}",
	};
	struct entry entry;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(read_entry(bad[i], &entry));
		entry_finish(&entry);
	}
	assert_true(read_entry("{\"msg\":\"x\",\"action\":\" audit\\n\"}", &entry));
	assert_int_equal(entry.verdict, VERDICT_AUDIT);
	assert_true(entry.time_ns == now);
	entry_finish(&entry);
}

static void entry_is_shown_in_the_order_of_generation_b(void **state)
{
	struct entry entry;
	char *text;

	(void)state;
	assert_true(read_entry("{\"msg\":\"m\",\"action\":\"BLOCKED\",\"qname\":\"q.example\","
			       "\"component\":\"dns\",\"source_port\":53,\"hostname\":\"h\","
			       "\"payload_len\":\"60\",\"time\":\"2026-07-05T02:25:09+02:00\"}",
			       &entry));
	entry.id = 3;
	text = shown(&entry);
	assert_string_equal(text,
		"{\"id\":3,\"time\":\"2026-07-05T00:25:09Z\",\"msg\":\"m\",\"fields\":{"
		"\"action\":\"BLOCKED\",\"component\":\"dns\",\"hostname\":\"h\","
		"\"payload_len\":\"60\",\"protocol\":\"UDP\",\"qname\":\"q.example\","
		"\"source_port\":53},\"remote_ip\":\"192.0.2.1:9\",\"action\":\"BLOCKED\","
		"\"source_port\":53,\"protocol\":\"UDP\",\"https\":\"q.example\","
		"\"hostname\":\"h\"}");
	free(text);
	entry_finish(&entry);
}

static void entry_comes_back_from_its_two_halves_as_it_was(void **state)
{
	static const char *const samples[] = {
		"{\"msg\":\"m\",\"action\":\"BLOCKED\"}",
		"{\"msg\":\"m\\u0000n\",\"action\":\"ALLOWED\",\"https\":\"a.example\","
		"\"x\":[1,{}],"
		"\"reason\":\"\\ud83d\\ude00\\n\",\"source_ip\":7,\"bytes_up\":5,\"bytes_down\":6}",
		"{\"msg\":\"m\",\"action\":\"AUDIT\","
		"\"fields\":{\"rule\":\"r\",\"deep\":{\"a\":null}},"
		"\"duration_ms\":1.5,\"host\":\"<script>\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		struct entry entry, back = { .id = 5 };
		struct entry_parts parts;
		char *before, *after;

		assert_true(read_entry(samples[i], &entry));
		entry.id = 5;
		assert_int_equal(entry_split(&entry, &parts), 0);
		back.time_ns = entry.time_ns;
		memcpy(back.remote, entry.remote, sizeof(back.remote));
		assert_int_equal(entry_join(&back, (struct str){ parts.subject, parts.subject_len },
					    (struct str){ parts.rest, parts.rest_len }), 0);
		before = shown(&entry);
		after = shown(&back);
		assert_string_equal(before, after);
		free(before);
		free(after);
		entry_parts_finish(&parts);
		entry_finish(&entry);
		entry_finish(&back);
	}
}

static void entry_halves_that_are_none_are_refused(void **state)
{
	struct entry entry = { .id = 1 };

	(void)state;
	assert_int_equal(entry_join(&entry, STR("{}"), STR("{}")), -EBADMSG);
	assert_int_equal(entry_join(&entry, STR("x"), STR("{}")), -EBADMSG);
	assert_int_equal(entry_join(&entry, STR("{\"msg\":\"m\",\"fields\":{}}"), STR("[]")),
			 -EBADMSG);
}

static void entry_that_differs_in_its_port_has_the_same_subject(void **state)
{
	struct entry one, two;
	struct entry_parts a, b;

	(void)state;
	assert_true(read_entry("{\"msg\":\"m\",\"action\":\"BLOCKED\",\"source_port\":1}", &one));
	assert_true(read_entry("{\"action\":\"blocked\",\"source_port\":2,\"msg\":\"m\"}", &two));
	assert_int_equal(entry_split(&one, &a), 0);
	assert_int_equal(entry_split(&two, &b), 0);
	assert_string_equal(a.subject, b.subject);
	assert_string_not_equal(a.rest, b.rest);
	assert_int_equal(a.duration_ms, -1);
	entry_parts_finish(&a);
	entry_parts_finish(&b);
	entry_finish(&one);
	entry_finish(&two);
}

static void host_text_that_no_host_has_is_not_ok(void **state)
{
	char long_one[300];

	(void)state;
	memset(long_one, 'a', sizeof(long_one));
	assert_true(host_text_ok(STR("a.example")));
	assert_true(host_text_ok(STR("")));
	assert_false(host_text_ok(STR("a..b")));
	assert_false(host_text_ok(STR("-a")));
	assert_false(host_text_ok(STR(".a")));
	assert_false(host_text_ok(STR("a\x7f")));
	assert_false(host_text_ok(STR("b\xc3\xbc")));
	assert_false(host_text_ok(STR("a<ScRipt")));
	assert_true(host_text_ok((struct str){ long_one, 255 }));
	assert_false(host_text_ok((struct str){ long_one, 256 }));
}

static size_t items(const char *text, bool lines, const char **error)
{
	json_t *array = payload_parse(str_of(text), lines, error);
	size_t count = json_array_size(array);

	json_decref(array);
	return count;
}

static void payload_is_an_object_an_array_or_lines(void **state)
{
	const char *error;

	(void)state;
	assert_int_equal(items("{}", false, &error), 1);
	assert_int_equal(items("[{},{}]", false, &error), 2);
	assert_int_equal(items("{}\r\n\n{}\n{}", true, &error), 3);
	assert_null(error);
	assert_int_equal(items("[]", false, &error), 0);
	assert_string_equal(error, "empty payload");
	assert_int_equal(items("\n", true, &error), 0);
	assert_string_equal(error, "empty payload");
	assert_int_equal(items("{}\n{", true, &error), 0);
	assert_string_equal(error, "invalid json");
	assert_int_equal(items("[{},7]", false, &error), 0);
	assert_string_equal(error, "invalid json");
	assert_int_equal(items("", false, &error), 0);
	assert_string_equal(error, "invalid json");
}

static size_t pack(const char *text, size_t len, unsigned char *packed, size_t max)
{
	z_stream stream = { .next_in = (Bytef *)(uintptr_t)text, .avail_in = (uInt)len,
			    .next_out = packed, .avail_out = (uInt)max };

	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	deflateEnd(&stream);
	return max - stream.avail_out;
}

static bool too_many(const char *head, const char *piece, size_t count, const char *tail,
		     bool lines)
{
	struct out text;
	bool result;

	out_init(&text, PAYLOAD_PLAIN_MAX);
	out_text(&text, head);
	for (size_t i = 0; i < count; i++)
		out_text(&text, piece);
	out_text(&text, tail);
	assert_false(text.failed);
	result = payload_too_many((struct str){ text.at, text.len }, lines);
	out_finish(&text);
	return result;
}

static void payload_that_would_take_far_more_memory_than_text_is_told(void **state)
{
	static const char event[] = "{\"a\":\"}]{[,\\\"\\\\\",\"b\":[1]},";

	(void)state;
	assert_false(too_many("[", event, 9999, "{}]", false));
	assert_true(too_many("[", event, 10000, "{}]", false));
	assert_false(too_many("", "{\"a\":1}\n", 9999, "", true));
	assert_true(too_many("", "{\"a\":1}\n", 10001, "", true));
	assert_true(too_many("[{\"a\":[", "{},", 50000, "{}]}]", false));
	assert_true(too_many("{\"a\":[", "1,", 500001, "1]}", false));
	assert_true(too_many(" {\"a\":[", "[],", 50001, "1]}", false));
	assert_false(too_many("[", "[", 100000, "", false));    /* no JSON of ours: invalid */
	assert_false(too_many("[\"", "{[,\n", 100000, "", false));
	assert_false(too_many("[\"", "{[,\n", 100000, "\\", false));
}

static void payload_is_inflated_up_to_a_bound_and_only_when_whole(void **state)
{
	static char text[100000];
	unsigned char packed[4096];
	struct out plain;
	size_t len;

	(void)state;
	memset(text, 'x', sizeof(text));
	len = pack(text, sizeof(text), packed, sizeof(packed));
	out_init(&plain, sizeof(text));
	assert_true(payload_inflate((struct str){ (char *)packed, len }, &plain));
	assert_int_equal(plain.len, sizeof(text));
	out_finish(&plain);
	out_init(&plain, sizeof(text) - 1);
	assert_false(payload_inflate((struct str){ (char *)packed, len }, &plain));
	out_finish(&plain);
	for (size_t cut = 0; cut < len; cut++) {
		out_init(&plain, sizeof(text));
		assert_false(payload_inflate((struct str){ (char *)packed, cut }, &plain));
		out_finish(&plain);
	}
}

static void rfc3339_is_read_and_written(void **state)
{
	static const char *const bad[] = {
		"", "2026-07-05", "2026-07-05T00:25:09", "2026-13-05T00:25:09Z",
		"2026-02-30T00:25:09Z", "2026-07-05T24:00:00Z", "2026-07-05T00:25:09.Z",
		"2026-07-05T00:25:09+2:00", "2026-07-05 00:25:09Z", "1969-07-05T00:25:09Z",
		"2026-07-05T00:25:09Zx",
	};
	char text[RFC3339_TEXT_MAX];
	int64_t at = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(rfc3339_parse(str_of(bad[i]), &at));
	assert_true(at == 7);
	assert_true(rfc3339_parse(STR("2026-07-05T00:25:09.1234567891Z"), &at));
	assert_string_equal(rfc3339_format(at, text), "2026-07-05T00:25:09.123456789Z");
	assert_true(rfc3339_parse(STR("2026-07-04T19:25:09.1200-05:00"), &at));
	assert_string_equal(rfc3339_format(at, text), "2026-07-05T00:25:09.12Z");
}

static void out_writes_json_as_go_does_and_stops_at_its_bound(void **state)
{
	struct out out;

	(void)state;
	out_init(&out, 100);
	out_json_str(&out, STR("<&>\"\\\n\x01\xe2\x80\xa8\xff\xf0\x9f\x98\x80\x7f"));
	assert_string_equal(out.at, "\"\\u003c\\u0026\\u003e\\\"\\\\\\n\\u0001\\u2028\\ufffd"
				    "\xf0\x9f\x98\x80\x7f\"");
	out_print(&out, "%0100d", 0);
	assert_true(out.failed);
	out_text(&out, "x");            /* stays failed */
	assert_true(out.failed);
	out_finish(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entry_needs_a_text_and_a_verdict),
		cmocka_unit_test(entry_is_shown_in_the_order_of_generation_b),
		cmocka_unit_test(entry_comes_back_from_its_two_halves_as_it_was),
		cmocka_unit_test(entry_halves_that_are_none_are_refused),
		cmocka_unit_test(entry_that_differs_in_its_port_has_the_same_subject),
		cmocka_unit_test(host_text_that_no_host_has_is_not_ok),
		cmocka_unit_test(payload_is_an_object_an_array_or_lines),
		cmocka_unit_test(payload_that_would_take_far_more_memory_than_text_is_told),
		cmocka_unit_test(payload_is_inflated_up_to_a_bound_and_only_when_whole),
		cmocka_unit_test(rfc3339_is_read_and_written),
		cmocka_unit_test(out_writes_json_as_go_does_and_stops_at_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
