/* test_options_ports.c - port lists, sorted and joined. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/options.h"

static void port_lists_are_sorted_and_joined(void **state)
{
	struct port_range ranges[4];

	(void)state;
	assert_int_equal(options_port_list("none", ranges, 4), 0);
	assert_int_equal(options_port_list("any", ranges, 4), 1);
	assert_int_equal(ranges[0].first, 1);
	assert_int_equal(ranges[0].last, 65535);
	assert_int_equal(options_port_list("8000-8010, 80 ,8005-8020,81", ranges, 4), 2);
	assert_int_equal(ranges[0].first, 80);
	assert_int_equal(ranges[0].last, 81);
	assert_int_equal(ranges[1].first, 8000);
	assert_int_equal(ranges[1].last, 8020);
	assert_int_equal(options_port_list("65535,1-65535", ranges, 4), 1);
	assert_int_equal(ranges[0].last, 65535);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_lists_are_sorted_and_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
