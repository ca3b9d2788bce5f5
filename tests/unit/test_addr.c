/* test_addr.c - addresses: what is one, what a prefix covers, what may be dialled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/addr.h"
#include "tests/unit/guard.h"

static struct str text_of(const char *text)
{
	return (struct str){ (const char *)guarded((const uint8_t *)text, strlen(text)),
			     strlen(text) };
}

static union addr ip(const char *text)
{
	union addr addr = { 0 };

	assert_true(addr_parse(text_of(text), &addr));
	return addr;
}

static void an_address_is_printed_as_it_was_read(void **state)
{
	static const char *const good[] = { "1.2.3.4", "0.0.0.0",     "255.255.255.255", "::",
					    "::1",     "2001:db8::1", "::ffff:1.2.3.4" };
	char out[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		union addr addr = ip(good[i]);

		assert_string_equal(addr_format_ip(&addr, out), good[i]);
		assert_int_equal(addr_port(&addr), 0);
	}
}

static void what_is_not_quite_an_address_is_refused(void **state)
{
	static const char *const bad[] = {
		"",	      " ",
		"1.2.3",      "1.2.3.4.5",
		"1.2.3.256",  "01.2.3.4",
		"0x1.2.3.4",  "127.1",
		"2130706433", "1.2.3.4 ",
		" 1.2.3.4",   "1.2.3.4:80",
		"[::1]",      "fe80::1%eth0",
		"1.2.3.4/8",  ":::",
		"::g",	      "1:2:3:4:5:6:7:8:9",
		"12345::",    "1111:2222:3333:4444:5555:6666:255.255.255.255.9",
	};
	union addr addr;

	(void)state;
	memset(&addr, 0x5a, sizeof(addr));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(addr_parse(text_of(bad[i]), &addr));
	assert_false(addr_parse((struct str){ "1.2.3.4\0x", 9 }, &addr));
	for (size_t i = 0; i < sizeof(addr); i++)
		assert_int_equal(((const uint8_t *)&addr)[i], 0x5a);
}

static void a_port_is_read_and_printed_with_its_address(void **state)
{
	static const struct {
		const char *text, *printed;
		uint16_t port;
	} cases[] = {
		{ "1.2.3.4:53", "1.2.3.4:53", 0 },
		{ "[2001:db8::1]:65535", "[2001:db8::1]:65535", 0 },
		{ "1.2.3.4", "1.2.3.4:53", 53 },
		{ "2001:db8::1", "[2001:db8::1]:53", 53 },
		{ "[::1]", "[::1]:53", 53 },
		{ "[::1]:80", "[::1]:80", 53 },
	};
	char out[ADDR_TEXT_MAX];
	union addr addr;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(addr_parse_with_port(text_of(cases[i].text), cases[i].port, &addr));
		assert_string_equal(addr_format(&addr, out), cases[i].printed);
	}
}

static void a_port_that_is_missing_or_odd_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"1.2.3.4",
		"::1",
		"[::1]",
		"1.2.3.4:",
		"1.2.3.4:0",
		"1.2.3.4:65536",
		"1.2.3.4:+1",
		"1.2.3.4:080",
		"1.2.3.4:80x",
		"[1.2.3.4]:80",
		"[::1]80",
		"[::1",
		"[",
		"[]:1",
		":80",
		"::1:",
		"1.2.3.4:99999999999999999999",
	};
	union addr addr;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(addr_parse_with_port(text_of(bad[i]), 0, &addr));
}

static void a_prefix_covers_its_addresses_whatever_the_host_bits(void **state)
{
	static const struct {
		const char *text, *first, *last;
	} cases[] = {
		{ "1.2.3.4", "1.2.3.4", "1.2.3.4" },
		{ "192.168.1.5/24", "192.168.1.0", "192.168.1.255" },
		{ "10.1.2.3/9", "10.0.0.0", "10.127.255.255" },
		{ "0.0.0.0/0", "0.0.0.0", "255.255.255.255" },
		{ "1.2.3.4/32", "1.2.3.4", "1.2.3.4" },
		{ "1.2.3.5/31", "1.2.3.4", "1.2.3.5" },
		{ "2001:db8::1/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" },
		{ "::1/128", "::1", "::1" },
		{ "::ffff:1.2.3.4", "1.2.3.4", "1.2.3.4" },
		{ "::ffff:10.0.0.0/104", "10.0.0.0", "10.255.255.255" },
	};
	char first[ADDR_TEXT_MAX], last[ADDR_TEXT_MAX];
	struct addr_range range;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(addr_range_parse(text_of(cases[i].text), &range));
		assert_string_equal(addr_format_ip(&range.first, first), cases[i].first);
		assert_string_equal(addr_format_ip(&range.last, last), cases[i].last);
	}
}

static void a_prefix_out_of_range_is_refused(void **state)
{
	static const char *const bad[] = { "1.2.3.4/33", "::/129",	    "1.2.3.4/",
					   "1.2.3.4/-1", "1.2.3.4/08",	    "1.2.3.4/8/8",
					   "/8",	 "1.2.3.0-1.2.3.9", "1.2.3.4/4294967304" };
	struct addr_range range;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(addr_range_parse(text_of(bad[i]), &range));
}

static void addresses_are_ordered_by_family_then_bytes_and_ports_do_not_count(void **state)
{
	union addr a = ip("9.255.255.255"), b = ip("10.0.0.0"), c = ip("::"), d = ip("::1");

	(void)state;
	assert_true(addr_compare_ip(&a, &b) < 0 && addr_compare_ip(&b, &c) < 0);
	assert_true(addr_compare_ip(&d, &c) > 0);
	addr_set_port(&a, 1);
	assert_true(addr_compare_ip(&a, &b) < 0 && addr_compare_ip(&b, &a) > 0);
	b = a;
	addr_set_port(&b, 2);
	assert_true(addr_equal_ip(&a, &b));
	assert_int_equal(addr_port(&b), 2);
	assert_int_equal(addr_len(&a), sizeof(struct sockaddr_in));
	assert_int_equal(addr_len(&d), sizeof(struct sockaddr_in6));
	assert_int_equal(addr_len(&(union addr){ 0 }), 0);
}

static void the_next_address_carries_and_ends_with_the_family(void **state)
{
	union addr next, addr = ip("10.0.255.255");
	char out[ADDR_TEXT_MAX];

	(void)state;
	assert_true(addr_next(&addr, &next));
	assert_string_equal(addr_format_ip(&next, out), "10.1.0.0");
	addr = ip("2001:db8::ffff");
	assert_true(addr_next(&addr, &next));
	assert_string_equal(addr_format_ip(&next, out), "2001:db8::1:0");
	addr = ip("255.255.255.255");
	assert_false(addr_next(&addr, &next));
	addr = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_false(addr_next(&addr, &next));
}

static void a_mapped_address_becomes_ipv4_and_keeps_its_port(void **state)
{
	union addr addr = ip("::ffff:1.2.3.4"), other = ip("::1:2.3.4.5");
	char out[ADDR_TEXT_MAX];

	(void)state;
	addr_set_port(&addr, 443);
	addr_unmap(&addr);
	assert_string_equal(addr_format(&addr, out), "1.2.3.4:443");
	addr_unmap(&other);
	assert_int_equal(other.sa.sa_family, AF_INET6);
}

static const struct {
	const char *text;
	enum addr_class class;
} classes[] = {
	{ "8.8.8.8", ADDR_GLOBAL },
	{ "2606:4700::1", ADDR_GLOBAL },
	{ "172.32.0.0", ADDR_GLOBAL },
	{ "10.1.2.3", ADDR_PRIVATE },
	{ "172.31.255.255", ADDR_PRIVATE },
	{ "192.168.0.1", ADDR_PRIVATE },
	{ "100.64.0.1", ADDR_PRIVATE },
	{ "192.0.2.1", ADDR_PRIVATE },
	{ "198.19.0.1", ADDR_PRIVATE },
	{ "240.0.0.1", ADDR_PRIVATE },
	{ "fd12::1", ADDR_PRIVATE },
	{ "2001:db8::1", ADDR_PRIVATE },
	{ "0.0.0.0", ADDR_NEVER },
	{ "0.1.2.3", ADDR_NEVER },
	{ "127.8.8.8", ADDR_NEVER },
	{ "169.254.169.254", ADDR_NEVER },
	{ "168.63.129.16", ADDR_NEVER },
	{ "224.0.0.1", ADDR_NEVER },
	{ "100.100.100.200", ADDR_NEVER },
	{ "255.255.255.255", ADDR_NEVER },
	{ "::", ADDR_NEVER },
	{ "::1", ADDR_NEVER },
	{ "fe80::1", ADDR_NEVER },
	{ "ff02::1", ADDR_NEVER },
	{ "fd00:ec2::254", ADDR_NEVER },
	{ "fd20:ce::254", ADDR_NEVER },
	/* what carries an IPv4 address is no better than that */
	{ "::ffff:127.0.0.1", ADDR_NEVER },
	{ "::ffff:10.0.0.1", ADDR_PRIVATE },
	{ "::ffff:8.8.8.8", ADDR_PRIVATE },
	{ "::127.0.0.1", ADDR_NEVER },
	{ "::8.8.8.8", ADDR_PRIVATE },
	{ "::ffff:0:127.0.0.1", ADDR_NEVER },
	{ "64:ff9b::169.254.169.254", ADDR_NEVER },
	{ "64:ff9b::8.8.8.8", ADDR_PRIVATE },
	{ "64:ff9b:1::127.0.0.1", ADDR_NEVER },
	{ "64:ff9b:1:7f00:0:100::", ADDR_NEVER },
	{ "64:ff9b:1::8.8.8.8", ADDR_PRIVATE },
	{ "64:ff9b:1::", ADDR_NEVER },
	{ "2002:7f00:1::", ADDR_NEVER },
	{ "2002:808:808::1", ADDR_PRIVATE },
	{ "2002:a9fe:a9fe::1", ADDR_NEVER },
	{ "2001:0:808:808::80ff:fffe", ADDR_NEVER },
	{ "2001:0:808:808:0:0:f7f7:f7f7", ADDR_PRIVATE },
	{ "2600::5efe:127.0.0.1", ADDR_NEVER },
	{ "2600::200:5efe:10.0.0.1", ADDR_PRIVATE },
};

static void an_address_has_the_class_of_its_range_and_of_what_it_carries(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		union addr addr = ip(classes[i].text);

		if (addr_classify(&addr) != classes[i].class)
			fail_msg("%s is classed %d", classes[i].text, addr_classify(&addr));
	}
	assert_int_equal(addr_classify(&(union addr){ 0 }), ADDR_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_printed_as_it_was_read),
		cmocka_unit_test(what_is_not_quite_an_address_is_refused),
		cmocka_unit_test(a_port_is_read_and_printed_with_its_address),
		cmocka_unit_test(a_port_that_is_missing_or_odd_is_refused),
		cmocka_unit_test(a_prefix_covers_its_addresses_whatever_the_host_bits),
		cmocka_unit_test(a_prefix_out_of_range_is_refused),
		cmocka_unit_test(addresses_are_ordered_by_family_then_bytes_and_ports_do_not_count),
		cmocka_unit_test(the_next_address_carries_and_ends_with_the_family),
		cmocka_unit_test(a_mapped_address_becomes_ipv4_and_keeps_its_port),
		cmocka_unit_test(an_address_has_the_class_of_its_range_and_of_what_it_carries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
