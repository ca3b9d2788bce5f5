/* test_hostname.c - which texts are host names, and their comparable form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/hostname.h"
#include "tests/unit/guard.h"

/* Normalises against a guard page; checks the promises about out on the way. */
static const char *normal_n(const char *text, size_t len)
{
	static char out[HOSTNAME_MAX + 1];
	struct str name = { (const char *)guarded((const uint8_t *)text, len), len };

	memset(out, '#', sizeof(out));
	size_t out_len = hostname_normalise(name, out);

	if (out_len == 0) {
		for (size_t i = 0; i < sizeof(out); i++)
			assert_int_equal(out[i], '#');
		return "";
	}
	assert_int_equal(strlen(out), out_len);
	return out;
}

static const char *normal(const char *text)
{
	return normal_n(text, strlen(text));
}

/* "aaa...": n bytes of one label. */
static const char *label(size_t n)
{
	static char text[300];

	memset(text, 'a', n);
	text[n] = '\0';
	return text;
}

static void hostname_is_lowered_and_loses_one_dot(void **state)
{
	(void)state;
	assert_string_equal(normal("allowed.test"), "allowed.test");
	assert_string_equal(normal("ALLOWED.Test"), "allowed.test");
	assert_string_equal(normal("allowed.test."), "allowed.test");
	assert_string_equal(normal("allowed.test.."), "");
	assert_string_equal(normal("AZaz09.TEST"), "azaz09.test");
}

static void hostname_may_be_one_label_or_hold_underscores(void **state)
{
	(void)state;
	assert_string_equal(normal("localhost"), "localhost");
	assert_string_equal(normal("a"), "a");
	assert_string_equal(normal("_dmarc.allowed.test"), "_dmarc.allowed.test");
	assert_string_equal(normal("a_b.test"), "a_b.test");
	assert_string_equal(normal("xn--bcher-kva.test"), "xn--bcher-kva.test");
	assert_string_equal(normal("1.2.3.4.in-addr.arpa"), "1.2.3.4.in-addr.arpa");
	assert_string_equal(normal("3com.com"), "3com.com");
}

static void hostname_labels_are_neither_empty_nor_hyphened_at_an_end(void **state)
{
	(void)state;
	assert_string_equal(normal(""), "");
	assert_string_equal(normal("."), "");
	assert_string_equal(normal(".."), "");
	assert_string_equal(normal(".a.test"), "");
	assert_string_equal(normal("a..test"), "");
	assert_string_equal(normal("-a.test"), "");
	assert_string_equal(normal("a-.test"), "");
	assert_string_equal(normal("a.-test"), "");
	assert_string_equal(normal("a.test-"), "");
	assert_string_equal(normal("-"), "");
	assert_string_equal(normal("a-b.test"), "a-b.test");
}

static void hostname_lengths_have_limits(void **state)
{
	char name[256];

	(void)state;
	assert_string_equal(normal(label(63)), label(63));
	assert_string_equal(normal(label(64)), "");

	/* 63 + 1 + 63 + 1 + 63 + 1 + 61 = 253 */
	memset(name, 'a', sizeof(name));
	name[63] = name[127] = name[191] = '.';
	assert_int_equal(strlen(normal_n(name, 253)), 253);
	assert_string_equal(normal_n(name, 254), "");
	name[253] = '.';
	assert_int_equal(strlen(normal_n(name, 254)), 253);
	name[254] = '.';
	assert_string_equal(normal_n(name, 255), "");
}

static void hostname_is_never_an_address_in_any_form(void **state)
{
	static const char *const addresses[] = {
		"203.0.113.7", "203.0.113.7.", "3405803783", "0xcb007107", "0XCB007107", "0x",
		"0313.0.0161.7", "1.2", "1.0x2", "a.1", "a.test.0x7f", "2001:db8::7",
		"[2001:db8::7]", "0", "0x1.", "127.1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
		assert_string_equal(normal(addresses[i]), "");
	assert_string_equal(normal("0xg"), "0xg");
	assert_string_equal(normal("1a"), "1a");
	assert_string_equal(normal("1.2.3.4a"), "1.2.3.4a");
	assert_string_equal(normal("0x7f.test"), "0x7f.test");
}

static void hostname_has_no_bytes_but_letters_digits_hyphen_underscore_dot(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char text[] = { 'a', (char)c, 'b', '.', 't' };
		bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			    (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';

		assert_int_equal(*normal_n(text, sizeof(text)) != '\0', good);
	}
	assert_string_equal(normal_n("allowed.test\0.evil.test", 23), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostname_is_lowered_and_loses_one_dot),
		cmocka_unit_test(hostname_may_be_one_label_or_hold_underscores),
		cmocka_unit_test(hostname_labels_are_neither_empty_nor_hyphened_at_an_end),
		cmocka_unit_test(hostname_lengths_have_limits),
		cmocka_unit_test(hostname_is_never_an_address_in_any_form),
		cmocka_unit_test(hostname_has_no_bytes_but_letters_digits_hyphen_underscore_dot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
