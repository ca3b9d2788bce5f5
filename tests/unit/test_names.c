/* test_names.c - patterns as users write them, and sets of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/names.h"
#include "core/siphash.h"
#include "tests/unit/guard.h"

static enum name_pattern parse(const char *text, char out[256])
{
	const char *why = NULL;
	size_t len = strlen(text);
	struct str guarded_text = { (const char *)guarded((const uint8_t *)text, len), len };
	enum name_pattern kind = name_pattern_parse(guarded_text, out, &why);

	assert_true((kind == NAME_INVALID) == (why != NULL));
	return kind;
}

static struct names *set_of(const char *const *patterns, size_t count)
{
	struct names *names = NULL;

	assert_int_equal(names_build(patterns, count, &names), 0);
	return names;
}

static void a_good_pattern_is_stored_normalised(void **state)
{
	static const struct {
		const char *text, *stored;
		enum name_pattern kind;
	} cases[] = {
		{ "*", "*", NAME_ANY },
		{ " * ", "*", NAME_ANY },
		{ "example.com", "example.com", NAME_EXACT },
		{ " Example.COM. ", "example.com", NAME_EXACT },
		{ "*.Example.com.", "*.example.com", NAME_SUFFIX },
		{ "*.com", "*.com", NAME_SUFFIX },
		{ "localhost", "localhost", NAME_EXACT },
		{ "_dmarc.x.com", "_dmarc.x.com", NAME_EXACT },
		{ "test-1.example-2.com", "test-1.example-2.com", NAME_EXACT },
		{ "r3---sn-abc.googlevideo.com", "r3---sn-abc.googlevideo.com", NAME_EXACT },
		{ "xn--mnchen-3ya.de", "xn--mnchen-3ya.de", NAME_EXACT },
		{ "m\xc3\xbcnchen.de", "xn--mnchen-3ya.de", NAME_EXACT },
		{ "M\xc3\x9cNCHEN.de", "xn--mnchen-3ya.de", NAME_EXACT },
		{ "mu\xcc\x88nchen.de", "xn--mnchen-3ya.de", NAME_EXACT },
		{ "*.m\xc3\xbcnchen.de", "*.xn--mnchen-3ya.de", NAME_SUFFIX },
		{ "r3---sn.m\xc3\xbcnchen.de.", "r3---sn.xn--mnchen-3ya.de", NAME_EXACT },
		{ "stra\xc3\x9f"
		  "e.test",
		  "xn--strae-oqa.test", NAME_EXACT },
		{ "m\xc3\xbcnchen\xe3\x80\x82"
		  "de",
		  "xn--mnchen-3ya.de", NAME_EXACT },
	};
	char out[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(parse(cases[i].text, out), cases[i].kind);
		assert_string_equal(out, cases[i].stored);
	}
}

static void a_bad_pattern_is_refused_with_a_reason(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		".example.com",
		"example.com..",
		"example..com",
		"sub.**.example.com",
		"example*",
		"*.",
		"*..com",
		"192.168.1.1",
		"example.123",
		"-example.com",
		"example-.com",
		"exa mple.com",
		"a.com:443",
		"https://a.com",
		"a.com/x",
		"a,b",
		"::1",
		"10.0.0.0/8",
		"0x7f.1",
		"//",
		"a\tb.com",
		"*.1.2.3.4",
		"m\xc3.de",
		"\xff\xfe",
		"\xc3\xbc..de",
		"a.\xc3\xbc b",
		"\xef\xbc\x91.\xef\xbc\x92",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.com",
		"\xef\xbc\x8a.com",
	};
	char out[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parse(bad[i], out) != NAME_INVALID)
			fail_msg("'%s' is taken as %s", bad[i], out);
	assert_int_equal(name_pattern_parse((struct str){ "a\0b", 3 }, out, NULL), NAME_INVALID);
	assert_int_equal(name_pattern_parse((struct str){ "a\0*.b", 5 }, out, NULL), NAME_INVALID);
}

static void inner_wildcards_and_regexes_are_told_apart_from_rubbish(void **state)
{
	char out[256];

	(void)state;
	assert_int_equal(parse("ex*ample.com", out), NAME_INNER_WILDCARD);
	assert_int_equal(parse("sub.*.example.com.", out), NAME_INNER_WILDCARD);
	assert_int_equal(parse("*.a.*.com", out), NAME_INNER_WILDCARD);
	assert_int_equal(parse("/^cache-[0-9]+\\.ex\\.com$/", out), NAME_REGEX);
}

static void names_up_to_their_longest_length_are_good(void **state)
{
	char text[1100], out[256];

	(void)state;
	memset(text, 'a', sizeof(text));
	for (size_t i = 49; i < sizeof(text); i += 50)
		text[i] = '.';
	assert_int_equal(name_pattern_parse((struct str){ text, 253 }, out, NULL), NAME_EXACT);
	assert_int_equal(name_pattern_parse((struct str){ text, 255 }, out, NULL), NAME_INVALID);
	memcpy(text, "*.", 2);
	assert_int_equal(name_pattern_parse((struct str){ text, 255 }, out, NULL), NAME_SUFFIX);
	assert_int_equal(strlen(out), 255);
	for (size_t len = 4; len < sizeof(text); len++) { /* ends with a two-byte letter */
		char copy[1100];

		memcpy(copy, text, len);
		memcpy(copy + len - 2, "\xc3\xbc", 2);
		(void)name_pattern_parse((struct str){ copy, len }, out, NULL);
		memset(copy + 1, '.', len - 3);
		(void)name_pattern_parse((struct str){ copy, len }, out, NULL);
	}
}

static void exact_comes_before_the_longest_suffix_before_any(void **state)
{
	static const char *const patterns[] = { "*",	   "*.com",   "*.b.com",
						"a.b.com", "a.b.com", "*.c.b.com" };
	struct names *names = set_of(patterns, ARRAY_LEN(patterns));

	(void)state;
	assert_int_equal(names_match(names, STR("a.b.com")), 3);
	assert_int_equal(names_match(names, STR("x.b.com")), 2);
	assert_int_equal(names_match(names, STR("x.y.b.com")), 2);
	assert_int_equal(names_match(names, STR("x.c.b.com")), 5);
	assert_int_equal(names_match(names, STR("c.b.com")), 2);
	assert_int_equal(names_match(names, STR("b.com")), 1);
	assert_int_equal(names_match(names, STR("com")), 0);
	assert_int_equal(names_match(names, STR("org")), 0);
	assert_int_equal(names_match(names, STR("")), -1);
	assert_int_equal(names_count(names), 6);
	assert_string_equal(names_pattern(names, 4), "a.b.com");
	assert_null(names_pattern(names, 6));
	assert_null(names_pattern(names, -1));
	names_free(names);
}

static void what_no_pattern_names_is_not_matched(void **state)
{
	static const char *const patterns[] = { "*.example.com", "allowed.test" };
	static const char *const others[] = {
		"example.com",
		"notexample.com",
		".example.com",
		"*.example",
		"example.com.evil.test",
		"a.allowed.test",
		"llowed.test",
		"allowed.tes",
		"test",
		"",
		".",
		"a.example.comm",
	};
	struct names *names = set_of(patterns, 2), *none = set_of(NULL, 0);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		size_t len = strlen(others[i]);
		struct str name = { (const char *)guarded((const uint8_t *)others[i], len), len };

		assert_int_equal(names_match(names, name), -1);
		assert_int_equal(names_match(none, name), -1);
	}
	names_free(names);
	names_free(none);
	names_free(NULL);
}

static void a_suffix_of_any_depth_is_found(void **state)
{
	char pattern[256] = "*.a", name[256] = "x.a";

	(void)state;
	for (int depth = 1; depth < 125; depth++) {
		const char *const patterns[] = { pattern };
		struct names *names = set_of(patterns, 1);
		size_t len = strlen(name);

		assert_int_equal(names_match(names, (struct str){ name, len }), 0);
		assert_int_equal(names_match(names, (struct str){ name + 2, len - 2 }), -1);
		names_free(names);
		memcpy(pattern + strlen(pattern), ".a", 3);
		memcpy(name + len, ".a", 3);
	}
}

static void thousands_of_patterns_are_all_found_and_nothing_else(void **state)
{
	enum { COUNT = 20000 };
	static char text[COUNT][32];
	static const char *patterns[COUNT];
	struct names *names;

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		snprintf(text[i], sizeof(text[i]), i % 3 ? "host%d.test" : "*.host%d.test", i);
		patterns[i] = text[i];
	}
	names = set_of(patterns, COUNT);
	for (int i = 0; i < COUNT; i++) {
		char name[64];

		snprintf(name, sizeof(name), "host%d.test", i);
		assert_int_equal(names_match(names, str_of(name)), i % 3 ? i : -1);
		snprintf(name, sizeof(name), "www.host%d.test", i);
		assert_int_equal(names_match(names, str_of(name)), i % 3 ? -1 : i);
		assert_string_equal(names_pattern(names, i), text[i]);
	}
	names_free(names);
}

static void siphash_gives_what_its_authors_printed(void **state)
{
	const struct siphash_key key = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	uint8_t bytes[15];

	(void)state;
	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	assert_true(siphash(&key, guarded(bytes, 0), 0) == 0x726fdb47dd0e0e31);
	assert_true(siphash(&key, guarded(bytes, 15), 15) == 0xa129ca6149be45e5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_pattern_is_stored_normalised),
		cmocka_unit_test(a_bad_pattern_is_refused_with_a_reason),
		cmocka_unit_test(inner_wildcards_and_regexes_are_told_apart_from_rubbish),
		cmocka_unit_test(names_up_to_their_longest_length_are_good),
		cmocka_unit_test(exact_comes_before_the_longest_suffix_before_any),
		cmocka_unit_test(what_no_pattern_names_is_not_matched),
		cmocka_unit_test(a_suffix_of_any_depth_is_found),
		cmocka_unit_test(thousands_of_patterns_are_all_found_and_nothing_else),
		cmocka_unit_test(siphash_gives_what_its_authors_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
