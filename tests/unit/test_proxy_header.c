/* test_proxy_header.c - the PROXY protocol's header, byte by byte as proxy-protocol.txt has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "proto/proxy_header.h"

union any {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static union any end(const char *ip, uint16_t port)
{
	union any any = { 0 };

	if (strchr(ip, ':')) {
		any.v6.sin6_family = AF_INET6;
		any.v6.sin6_port = htons(port);
		assert_int_equal(inet_pton(AF_INET6, ip, &any.v6.sin6_addr), 1);
	} else {
		any.v4.sin_family = AF_INET;
		any.v4.sin_port = htons(port);
		assert_int_equal(inet_pton(AF_INET, ip, &any.v4.sin_addr), 1);
	}
	return any;
}

static size_t header(unsigned version, const char *src, uint16_t src_port, const char *dst,
		     uint16_t dst_port, uint8_t *out)
{
	union any from = end(src, src_port), to = end(dst, dst_port);

	return proxy_header(version, &from.sa, &to.sa, out);
}

static void check_v1(const char *src, const char *dst, const char *expected)
{
	uint8_t out[PROXY_HEADER_MAX + 1];
	size_t len = header(1, src, 40000, dst, 443, out);

	out[len] = '\0';
	assert_string_equal((char *)out, expected);
}

static void version_1_is_a_line_of_text(void **state)
{
	(void)state;
	check_v1("192.0.2.1", "198.51.100.200",
		 "PROXY TCP4 192.0.2.1 198.51.100.200 40000 443\r\n");
	check_v1("2001:db8::1", "fd77::2", "PROXY TCP6 2001:db8::1 fd77::2 40000 443\r\n");
}

static void version_1_knows_no_ipv4_tails(void **state)
{
	(void)state;
	check_v1("192.0.2.1", "fd77::2",
		 "PROXY TCP6 0:0:0:0:0:ffff:c000:201 fd77::2 40000 443\r\n");
	check_v1("fd77::2", "10.0.0.255", "PROXY TCP6 fd77::2 0:0:0:0:0:ffff:a00:ff 40000 443\r\n");
	check_v1("::192.0.2.1", "::1", "PROXY TCP6 0:0:0:0:0:0:c000:201 ::1 40000 443\r\n");
}

static void two_mapped_addresses_are_ipv4(void **state)
{
	(void)state;
	check_v1("::ffff:192.0.2.1", "::ffff:10.0.0.1",
		 "PROXY TCP4 192.0.2.1 10.0.0.1 40000 443\r\n");
	check_v1("::ffff:192.0.2.1", "10.0.0.1", "PROXY TCP4 192.0.2.1 10.0.0.1 40000 443\r\n");
}

static void version_2_of_ipv4_takes_28_bytes(void **state)
{
	static const uint8_t expected[28] = {
		0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
		0x21, 0x11, 0x00, 0x0c,
		192, 0, 2, 1, 198, 51, 100, 200, 0x9c, 0x40, 0x01, 0xbb,
	};
	uint8_t out[PROXY_HEADER_MAX];

	(void)state;
	assert_int_equal(header(2, "192.0.2.1", 40000, "198.51.100.200", 443, out), 28);
	assert_memory_equal(out, expected, sizeof(expected));
}

static void version_2_of_ipv6_takes_52_bytes(void **state)
{
	static const uint8_t expected[52] = {
		0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
		0x21, 0x21, 0x00, 0x24,
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
		0x9c, 0x40, 0x01, 0xbb,
	};
	uint8_t out[PROXY_HEADER_MAX];

	(void)state;
	assert_int_equal(header(2, "2001:db8::1", 40000, "fd77::2", 443, out), 52);
	assert_memory_equal(out, expected, sizeof(expected));
}

static void version_2_maps_the_one_that_is_ipv4(void **state)
{
	static const uint8_t tail[36] = {
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1,
		0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
		0x9c, 0x40, 0x01, 0xbb,
	};
	uint8_t out[PROXY_HEADER_MAX];

	(void)state;
	assert_int_equal(header(2, "192.0.2.1", 40000, "fd77::2", 443, out), 52);
	assert_int_equal(out[13], 0x21);
	assert_memory_equal(out + 16, tail, sizeof(tail));
}

static void the_longest_line_fits(void **state)
{
	static const char ip[] = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
	uint8_t out[PROXY_HEADER_MAX + 16];
	size_t len;

	(void)state;
	memset(out, 0xaa, sizeof(out));
	len = header(1, ip, 65535, ip, 65535, out);
	assert_int_equal(len, 11 + 2 * 40 + 2 * 6 + 1);
	assert_true(len <= PROXY_HEADER_MAX);
	assert_memory_equal(out + len - 2, "\r\n", 2);
	for (size_t i = len; i < sizeof(out); i++)
		assert_int_equal(out[i], 0xaa);
}

static void other_versions_and_families_have_no_header(void **state)
{
	union any ip = end("192.0.2.1", 1), none = { 0 };
	uint8_t out[PROXY_HEADER_MAX];

	(void)state;
	none.sa.sa_family = AF_UNIX;
	assert_int_equal(proxy_header(0, &ip.sa, &ip.sa, out), 0);
	assert_int_equal(proxy_header(3, &ip.sa, &ip.sa, out), 0);
	assert_int_equal(proxy_header(1, &none.sa, &ip.sa, out), 0);
	assert_int_equal(proxy_header(2, &ip.sa, &none.sa, out), 0);
	none.sa.sa_family = 0;
	assert_int_equal(proxy_header(2, &none.sa, &ip.sa, out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_is_a_line_of_text),
		cmocka_unit_test(version_1_knows_no_ipv4_tails),
		cmocka_unit_test(two_mapped_addresses_are_ipv4),
		cmocka_unit_test(version_2_of_ipv4_takes_28_bytes),
		cmocka_unit_test(version_2_of_ipv6_takes_52_bytes),
		cmocka_unit_test(version_2_maps_the_one_that_is_ipv4),
		cmocka_unit_test(the_longest_line_fits),
		cmocka_unit_test(other_versions_and_families_have_no_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
