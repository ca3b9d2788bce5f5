/* test_dns_rate.c - how many questions somebody may ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "forward/dns_rate.h"

static struct dns_rates *rates;

static int begin(void **state)
{
	(void)state;
	return dns_rates_init(&rates);
}

static int end(void **state)
{
	(void)state;
	dns_rates_finish(rates);
	return 0;
}

static uint64_t client(const char *text, unsigned kind)
{
	union addr addr;

	assert_true(addr_parse(str_of(text), &addr));
	return dns_rates_client(rates, &addr, kind);
}

static unsigned take_all(uint64_t key, struct dns_rate rate, uint64_t now_us)
{
	unsigned taken = 0;

	while (dns_rates_take(rates, key, rate, now_us))
		taken++;
	return taken;
}

static void a_client_may_ask_a_burst_then_so_many_a_second(void **state)
{
	struct dns_rate rate = dns_rate_make(50, 100);
	uint64_t key = client("192.0.2.1", 0), now_us = 1000000000;

	(void)state;
	assert_int_equal(take_all(key, rate, now_us), 100);
	assert_int_equal(take_all(key, rate, now_us), 0);
	assert_int_equal(take_all(key, rate, now_us + 19999), 0);
	assert_int_equal(take_all(key, rate, now_us + 20000), 1);
	assert_int_equal(take_all(key, rate, now_us + 1020000), 50);
	/* However long it was silent, no more than a burst. */
	assert_int_equal(take_all(key, rate, now_us + 3600000000), 100);
	/* A clock that stands still or goes back gives nothing. */
	assert_int_equal(take_all(key, rate, now_us), 0);
}

static void the_smallest_rate_is_one_a_second(void **state)
{
	struct dns_rate rate = dns_rate_make(1, 1);
	uint64_t key = client("192.0.2.1", 0);

	(void)state;
	assert_int_equal(take_all(key, rate, 5000000), 1);
	assert_int_equal(take_all(key, rate, 5999999), 0);
	assert_int_equal(take_all(key, rate, 6000000), 1);
}

static void an_address_that_costs_nothing_is_no_new_client(void **state)
{
	(void)state;
	assert_int_equal(client("127.0.0.1", 0), client("127.8.9.10", 0));
	assert_int_equal(client("127.0.0.1", 0), client("::1", 0));
	assert_int_equal(client("127.0.0.1", 0), client("::ffff:127.0.0.2", 0));
	assert_int_equal(client("192.0.2.1", 0), client("::ffff:192.0.2.1", 0));
	assert_int_equal(client("2001:db8:0:1::1", 0), client("2001:db8:0:1:ffff::2", 0));
	assert_true(client("2001:db8:0:1::1", 0) != client("2001:db8:0:2::1", 0));
	assert_true(client("192.0.2.1", 0) != client("192.0.2.2", 0));
	assert_true(client("192.0.2.1", 0) != client("192.0.2.1", 1));
}

static void many_others_do_not_give_a_busy_one_a_new_budget(void **state)
{
	struct dns_rate rate = dns_rate_make(50, 100);
	uint64_t key = client("192.0.2.1", 0), now_us = 1000000000;
	union addr other;
	unsigned more = 0;

	(void)state;
	assert_int_equal(take_all(key, rate, now_us), 100);
	assert_true(addr_parse(STR("198.18.0.0"), &other));
	for (unsigned i = 0; i < 4 * DNS_RATES; i++) {
		assert_true(addr_next(&other, &other));
		(void)dns_rates_take(rates, dns_rates_client(rates, &other, 0), rate, now_us);
		more += dns_rates_take(rates, key, rate, now_us);
	}
	assert_int_equal(more, 0);
}

int main(void)
{
#define test(function) cmocka_unit_test_setup_teardown(function, begin, end)
	const struct CMUnitTest tests[] = {
		test(a_client_may_ask_a_burst_then_so_many_a_second),
		test(the_smallest_rate_is_one_a_second),
		test(an_address_that_costs_nothing_is_no_new_client),
		test(many_others_do_not_give_a_busy_one_a_new_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
