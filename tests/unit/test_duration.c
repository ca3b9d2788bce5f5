/* test_duration.c - durations as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/duration.h"
#include "tests/unit/guard.h"

enum { REFUSED = 0x5ead };

/* Parsed against a guard page, in milliseconds. */
static uint64_t parsed(const char *text)
{
	size_t len = strlen(text);
	struct str str = { (const char *)guarded((const uint8_t *)text, len), len };
	uint64_t ms = REFUSED;

	if (!duration_parse(str, &ms))
		assert_int_equal(ms, REFUSED);
	return ms;
}

static void durations_have_gos_units(void **state)
{
	(void)state;
	assert_int_equal(parsed("300ms"), 300);
	assert_int_equal(parsed("5s"), 5000);
	assert_int_equal(parsed("10m"), 600000);
	assert_int_equal(parsed("2h"), 7200000);
	assert_int_equal(parsed("3000000ns"), 3);
	assert_int_equal(parsed("2000us"), 2);
	assert_int_equal(parsed("2000\u00b5s"), 2);
	assert_int_equal(parsed("2000\u03bcs"), 2);
}

static void durations_are_summed_up(void **state)
{
	(void)state;
	assert_int_equal(parsed("1h2m3.5s"), 3723500);
	assert_int_equal(parsed("1m30s"), 90000);
	assert_int_equal(parsed("1.5h"), 5400000);
	assert_int_equal(parsed(".5s"), 500);
	assert_int_equal(parsed("5.s"), 5000);
	assert_int_equal(parsed("0.100000000000000000000s"), 100);
}

static void a_bare_number_is_seconds(void **state)
{
	(void)state;
	assert_int_equal(parsed("0"), 0);
	assert_int_equal(parsed("5"), 5000);
	assert_int_equal(parsed("2.5"), 2500);
}

static void less_than_a_millisecond_is_not_nothing(void **state)
{
	(void)state;
	assert_int_equal(parsed("1ns"), 1);
	assert_int_equal(parsed("1.0001ms"), 2);
	assert_int_equal(parsed("0ns"), 0);
}

static void what_is_no_duration_is_refused(void **state)
{
	static const char *const bad[] = {
		"", " ", ".", "s", ".s", "-5s", "+5s", "5 s", " 5s", "5s ", "5S", "5d", "5sec",
		"1h30", "30 1h", "5,5s", "1..5s", "1.5.5s", "1e3s", "0x5s", "inf", "5s,", "5\xb5s",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (parsed(bad[i]) != REFUSED)
			fail_msg("\"%s\" was taken for a duration", bad[i]);
	}
}

static void durations_beyond_292_years_are_refused_not_wrapped(void **state)
{
	(void)state;
	assert_int_equal(parsed("9223372036854775807ns"), UINT64_C(9223372036855));
	assert_int_equal(parsed("9223372036854775808ns"), REFUSED);
	assert_int_equal(parsed("18446744073709551616ns"), REFUSED);
	assert_int_equal(parsed("2562047h"), UINT64_C(9223369200000));
	assert_int_equal(parsed("2562048h"), REFUSED);
	assert_int_equal(parsed("2562047h2562047h"), REFUSED);
	assert_int_equal(parsed("99999999999999999999999999999999999s"), REFUSED);
}

static void durations_are_printed_in_their_largest_exact_unit(void **state)
{
	char out[DURATION_TEXT_MAX];

	(void)state;
	assert_string_equal(duration_format(0, out), "0s");
	assert_string_equal(duration_format(100, out), "100ms");
	assert_string_equal(duration_format(90000, out), "90s");
	assert_string_equal(duration_format(600000, out), "10m");
	assert_string_equal(duration_format(2592000000, out), "720h");
	assert_string_equal(duration_format(UINT64_MAX, out), "18446744073709551615ms");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_have_gos_units),
		cmocka_unit_test(durations_are_summed_up),
		cmocka_unit_test(a_bare_number_is_seconds),
		cmocka_unit_test(less_than_a_millisecond_is_not_nothing),
		cmocka_unit_test(what_is_no_duration_is_refused),
		cmocka_unit_test(durations_beyond_292_years_are_refused_not_wrapped),
		cmocka_unit_test(durations_are_printed_in_their_largest_exact_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
