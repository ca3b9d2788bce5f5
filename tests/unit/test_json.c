/* test_json.c - reading JSON in place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/json.h"
#include "tests/unit/guard.h"

static struct str guard(const char *text)
{
	size_t len = strlen(text);

	return (struct str){ (const char *)guarded((const uint8_t *)text, len), len };
}

static const char sample[] = " {\"a\":[1,-2.5e+3,\"x\\u00e9\\ud83d\\ude00\\n\",true,null,{}], "
			     "\"b\" : {\"a\":\"inner\"},\"c\":false} ";

static void a_good_text_is_good_and_every_prefix_of_it_is_not(void **state)
{
	char text[sizeof(sample)];

	(void)state;
	assert_true(json_valid(guard(sample)));
	for (size_t len = 0; len < strlen(sample) - 1; len++) {
		memcpy(text, sample, len);
		text[len] = '\0';
		assert_false(json_valid(guard(text)));
	}
}

static void what_is_no_json_is_refused(void **state)
{
	static const char *const texts[] = {
		"", "{", "]", "{]", "[1,]", "{\"a\":1,}", "{\"a\"}", "{a:1}", "[1 2]", "01", "1.",
		"-", "1e", "+1", "tru", "truex", "\"\\x\"", "\"\\u12\"", "\"\n\"", "\"", "[1]]",
		"{\"a\":1]", "nul", "'a'", "{} {}", ",", "[,1]", "{\"a\" 1}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_false(json_valid(guard(texts[i])));
}

static void depth_is_bounded(void **state)
{
	char text[2 * JSON_DEPTH_MAX + 3];

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	text[2 * JSON_DEPTH_MAX] = '\0';
	assert_true(json_valid(guard(text)));
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	text[2 * JSON_DEPTH_MAX + 2] = '\0';
	assert_false(json_valid(guard(text)));
}

static void members_are_found_by_name_in_their_own_object(void **state)
{
	struct str text = str_of(sample), inner;
	char out[16];

	(void)state;
	inner = json_member(text, "b");
	assert_int_equal(inner.len, strlen("{\"a\":\"inner\"}"));
	assert_true(json_text(json_member(inner, "a"), out, sizeof(out)));
	assert_string_equal(out, "inner");
	assert_null(json_member(text, "inner").at);
	assert_null(json_member(json_member(text, "a"), "x").at);
	assert_false(json_is_true(json_member(text, "c")));
	assert_null(json_member(str_of("{}"), "a").at);
}

static void elements_come_one_after_another(void **state)
{
	struct str list = json_member(str_of(sample), "a"), value;
	size_t at = 0, count = 0;
	char out[32];

	(void)state;
	while (json_element(list, &at, &value)) {
		if (count == 2) {
			assert_true(json_text(value, out, sizeof(out)));
			assert_string_equal(out, "x\xc3\xa9\xf0\x9f\x98\x80\n");
			assert_false(json_text(value, out, 8));
			assert_true(json_text(value, out, 9));
		}
		if (count == 3)
			assert_true(json_is_true(value));
		count++;
	}
	assert_int_equal(count, 6);
	at = 0;
	assert_false(json_element(str_of("[ ]"), &at, &value));
}

static void strings_with_a_nul_or_half_a_pair_are_made_harmless(void **state)
{
	char out[16];

	(void)state;
	assert_false(json_text(str_of("\"a\\u0000b\""), out, sizeof(out)));
	assert_true(json_text(str_of("\"\\ud83dx\""), out, sizeof(out)));
	assert_string_equal(out, "\xef\xbf\xbdx");
	assert_false(json_text(str_of("12"), out, sizeof(out)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_text_is_good_and_every_prefix_of_it_is_not),
		cmocka_unit_test(what_is_no_json_is_refused),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(members_are_found_by_name_in_their_own_object),
		cmocka_unit_test(elements_come_one_after_another),
		cmocka_unit_test(strings_with_a_nul_or_half_a_pair_are_made_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
