/* test_dns_reverse.c - the names of addresses that were given out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "forward/dns_reverse.h"

static struct dns_reverse *reverse;

static int begin(void **state)
{
	(void)state;
	return dns_reverse_init(&reverse);
}

static int end(void **state)
{
	(void)state;
	dns_reverse_finish(reverse);
	return 0;
}

static union addr addr_of(const char *text)
{
	union addr addr;

	assert_true(addr_parse(str_of(text), &addr));
	return addr;
}

static void note(const char *addr_text, const char *name, uint64_t until_ms)
{
	union addr addr = addr_of(addr_text);

	dns_reverse_note(reverse, &addr, str_of(name), until_ms);
}

static const char *find(const char *addr_text, uint64_t now_ms)
{
	static char name[HOSTNAME_MAX + 1];
	union addr addr = addr_of(addr_text);
	uint64_t until_ms;

	return dns_reverse_find(reverse, &addr, now_ms, name, &until_ms) > 0 ? name : "";
}

static void an_address_has_the_name_it_was_given_out_for_last_and_for_a_time(void **state)
{
	char longest[HOSTNAME_MAX + 1];

	(void)state;
	assert_string_equal(find("192.0.2.1", 0), "");
	note("192.0.2.1", "a.test", 1000);
	note("2001:db8::1", "b.test", 1000);
	assert_string_equal(find("192.0.2.1", 999), "a.test");
	assert_string_equal(find("2001:db8::1", 999), "b.test");
	assert_string_equal(find("192.0.2.1", 1000), "");
	assert_string_equal(find("192.0.2.2", 0), "");
	note("192.0.2.1", "c.test", 3000);
	assert_string_equal(find("192.0.2.1", 2000), "c.test");
	memset(longest, 'x', HOSTNAME_MAX);
	longest[HOSTNAME_MAX] = '\0';
	note("192.0.2.1", longest, 3000);
	assert_string_equal(find("192.0.2.1", 2000), longest);
}

static void many_addresses_push_the_oldest_out_and_nothing_grows(void **state)
{
	union addr addr = addr_of("198.18.0.0");
	unsigned found = 0;

	(void)state;
	for (unsigned i = 0; i < 3 * DNS_REVERSE_MAX; i++) {
		assert_true(addr_next(&addr, &addr));
		dns_reverse_note(reverse, &addr, STR("a.test"), 1000 + i);
	}
	addr = addr_of("198.18.0.0");
	for (unsigned i = 0; i < 3 * DNS_REVERSE_MAX; i++) {
		char name[HOSTNAME_MAX + 1];
		uint64_t until_ms;

		assert_true(addr_next(&addr, &addr));
		found += dns_reverse_find(reverse, &addr, 0, name, &until_ms) > 0;
	}
	assert_true(found <= DNS_REVERSE_MAX && found > DNS_REVERSE_MAX / 2);
	note("192.0.2.1", "latest.test", 100000);
	assert_string_equal(find("192.0.2.1", 0), "latest.test");
}

static void only_the_whole_name_of_an_address_is_one(void **state)
{
#define ZEROES "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0."
	static const struct { const char *name, *addr; } all[] = {
		{ "1.2.0.192.in-addr.arpa", "192.0.2.1" },
		{ "255.255.255.255.in-addr.arpa", "255.255.255.255" },
		{ "1." ZEROES "2.ip6.arpa", "2001:db8::1" },
		{ "2.0.192.in-addr.arpa", NULL }, { "0.1.2.0.192.in-addr.arpa", NULL },
		{ "256.2.0.192.in-addr.arpa", NULL }, { "01.2.0.192.in-addr.arpa", NULL },
		{ "x.2.0.192.in-addr.arpa", NULL }, { "in-addr.arpa", NULL }, { "arpa", NULL },
		{ "", NULL }, { "1.2.0.192.in-addr.arpa.test", NULL }, { "ip6.arpa", NULL },
		{ "1." ZEROES "g.ip6.arpa", NULL },
		{ "1..2.0.192.in-addr.arpa", NULL }, { "1111.2.0.192.in-addr.arpa", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		union addr addr, wanted;
		bool is = dns_reverse_addr(str_of(all[i].name), &addr);

		if (is != (all[i].addr != NULL))
			fail_msg("\"%s\"", all[i].name);
		if (!is)
			continue;
		wanted = addr_of(all[i].addr);
		assert_true(addr_equal_ip(&addr, &wanted));
	}
}

/* Two names of one letter each, all over: a mixture of both would be a name torn apart. */
static void *write_one(void *letter)
{
	union addr addr = addr_of("192.0.2.1");
	char name[201];

	memset(name, *(const char *)letter, 200);
	name[200] = '\0';
	for (unsigned i = 0; i < 20000; i++)
		dns_reverse_note(reverse, &addr, str_of(name), 1000);
	return NULL;
}

static void two_who_write_and_one_who_reads_never_see_half_a_name(void **state)
{
	static const char letters[] = { 'a', 'b' };
	pthread_t threads[2];
	unsigned torn = 0;

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_one,
						(void *)(uintptr_t)&letters[i]), 0);
	for (unsigned i = 0; i < 20000; i++) {
		const char *name = find("192.0.2.1", 0);

		torn += strspn(name, "a") != strlen(name) && strspn(name, "b") != strlen(name);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(torn, 0);
}

int main(void)
{
#define test(function) cmocka_unit_test_setup_teardown(function, begin, end)
	const struct CMUnitTest tests[] = {
		test(an_address_has_the_name_it_was_given_out_for_last_and_for_a_time),
		test(many_addresses_push_the_oldest_out_and_nothing_grows),
		test(only_the_whole_name_of_an_address_is_one),
		test(two_who_write_and_one_who_reads_never_see_half_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
