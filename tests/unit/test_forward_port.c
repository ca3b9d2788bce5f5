/* test_forward_port.c - PORT, TARGET, ALLOW_FROM, NAMESERVERS and MODE as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "forward/port.h"

static struct forward_settings settings;
static char error[FORWARD_ERROR_MAX];

static int begin(void **state)
{
	(void)state;
	memset(&settings, 0, sizeof(settings));
	error[0] = '\0';
	return 0;
}

static int end(void **state)
{
	(void)state;
	forward_settings_finish(&settings);
	return 0;
}

static union addr addr_of(const char *text)
{
	union addr addr;

	assert_true(addr_parse(str_of(text), &addr));
	return addr;
}

/* "80>80 8443>443": the ports as they were understood. */
static const char *ports_of(const char *text)
{
	static char out[1024];
	size_t len = 0;

	forward_settings_finish(&settings);
	out[0] = '\0';
	if (forward_ports_parse(text, &settings, error) < 0)
		return error;
	for (unsigned i = 0; i < settings.port_count && len < sizeof(out); i++)
		len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%u>%u", i > 0 ? " " : "",
					settings.ports[i].listen, settings.ports[i].dial);
	return out;
}

static void ports_are_a_list_by_blanks_or_commas_in_their_order(void **state)
{
	(void)state;
	assert_string_equal(ports_of("80 443"), "80>80 443>443");
	assert_string_equal(ports_of(" \t443,80\n, 1 ,"), "443>443 80>80 1>1");
	assert_string_equal(ports_of("65535"), "65535>65535");
}

static void a_port_may_be_a_service_of_the_protocol(void **state)
{
	(void)state;
	assert_string_equal(ports_of("http https"), "80>80 443>443");
	assert_string_equal(ports_of("http-alt:http"), "8080>80");
	assert_non_null(strstr(ports_of("tftp"), "\"tftp\" is no port"));    /* only UDP has it */
	settings.udp = true;
	assert_string_equal(ports_of("tftp"), "69>69");
}

static void a_port_can_be_mapped_and_a_range_too(void **state)
{
	(void)state;
	assert_string_equal(ports_of("8443:443"), "8443>443");
	assert_string_equal(ports_of("8000-8002"), "8000>8000 8001>8001 8002>8002");
	assert_string_equal(ports_of("8000-8001:9000-9001"), "8000>9000 8001>9001");
	assert_string_equal(ports_of("8001:80 8002:80"), "8001>80 8002>80");
}

static void what_is_no_port_is_named(void **state)
{
	static const char *const bad[] = {
		"0", "65536", "080", "+80", "80x", "80:", ":80", "80:90:100", "90-80", "80-80",
		"80-", "-80", "80-90-100", "nosuchservice", "80 bind=127.0.0.1", "http-https",
		"0x50", "100000", "8000-8001:9000",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (strncmp(ports_of(bad[i]), "PORT: \"", 7) != 0)
			fail_msg("\"%s\": %s", bad[i], ports_of(bad[i]));
	}
	assert_string_equal(ports_of("7000-7002:80-81"),
			    "PORT: \"7000-7002:80-81\" maps ranges of different lengths: "
			    "write 8000-8010:9000-9010");
	assert_string_equal(ports_of(" , "), "PORT: no port in it: write e.g. 80 443");
	assert_non_null(strstr(ports_of("80\x1b[31m"), "\"80?[31m\""));
}

static void a_port_that_is_listed_twice_is_refused(void **state)
{
	(void)state;
	assert_non_null(strstr(ports_of("80 80"), "80 is in the list twice"));
	assert_non_null(strstr(ports_of("80:81,80:82"), "80 is in the list twice"));
	assert_non_null(strstr(ports_of("7000-7010 7005"), "7005 is in the list twice"));
	assert_string_equal(ports_of("1-5000"), "PORT: more than 4096 ports");
}

static void ports_that_lead_back_to_ourselves_are_marked(void **state)
{
	(void)state;
	(void)ports_of("80 8443:443 7000:8443");
	assert_true(settings.ports[0].dials_listened);
	assert_false(settings.ports[1].dials_listened);
	assert_true(settings.ports[2].dials_listened);
}

static const char *target_error(const char *text)
{
	error[0] = '\0';
	(void)forward_target_parse(text, &settings, error);
	return error;
}

static void a_target_is_a_name_or_an_address(void **state)
{
	union addr v4 = addr_of("192.0.2.1"), v6 = addr_of("2001:db8::1");

	(void)state;
	assert_string_equal(target_error("DB.Example.COM."), "");
	assert_true(settings.by_name);
	assert_string_equal(settings.target, "db.example.com");
	assert_int_equal(settings.name_count, 1);
	assert_string_equal(settings.names[0], "db.example.com");
	assert_string_equal(target_error("192.0.2.1"), "");
	assert_false(settings.by_name);
	assert_true(addr_equal_ip(&settings.addr, &v4));
	assert_string_equal(target_error("2001:db8::1"), "");
	assert_true(addr_equal_ip(&settings.addr, &v6));
	assert_string_equal(target_error("[2001:db8::1]"), "");
	assert_true(addr_equal_ip(&settings.addr, &v6));
	assert_string_equal(settings.target, "2001:db8::1");
	assert_string_equal(target_error("::ffff:192.0.2.1"), "");
	assert_true(addr_equal_ip(&settings.addr, &v4));
}

static void what_is_no_target_is_named(void **state)
{
	static const char *const bad[] = {
		"host:80", "http://host", "a..b", "two words", "[host]", "[::1", "[192.0.2.1]",
		"192.0.2.300", "host,fork", "-", "[]", "[",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (strncmp(target_error(bad[i]), "TARGET: \"", 9) != 0)
			fail_msg("\"%s\": %s", bad[i], error);
	assert_string_equal(target_error(""), "TARGET is not set: give the name or address to "
			    "forward to");
	assert_non_null(strstr(target_error("host:80"), "ports are in PORT"));
}

static void names_with_few_dots_are_searched_first(void **state)
{
	struct resolv_search search = { .count = 2, .ndots = 1,
					.domains = { "a.test", "b.test" } };

	(void)state;
	assert_string_equal(target_error("db"), "");
	forward_names(&settings, &search, false);
	assert_int_equal(settings.name_count, 3);
	assert_string_equal(settings.names[0], "db.a.test");
	assert_string_equal(settings.names[1], "db.b.test");
	assert_string_equal(settings.names[2], "db");
	forward_names(&settings, &search, true);
	assert_int_equal(settings.name_count, 1);
	assert_string_equal(target_error("db.c"), "");
	forward_names(&settings, &search, false);
	assert_int_equal(settings.name_count, 1);
	search.ndots = 5;
	forward_names(&settings, &search, false);
	assert_int_equal(settings.name_count, 3);
	search.ndots = 0;
	assert_string_equal(target_error("db"), "");
	forward_names(&settings, &search, false);
	assert_int_equal(settings.name_count, 1);
}

static void a_searched_name_that_is_too_long_is_left_out(void **state)
{
	struct resolv_search search = { .count = 2, .ndots = 9, .domains = { "", "b.test" } };
	char text[HOSTNAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < 240; i++)
		search.domains[0][i] = i % 60 == 59 ? '.' : 'a';
	memset(text, 'b', 60);
	text[60] = '\0';
	assert_string_equal(target_error(text), "");
	forward_names(&settings, &search, false);
	assert_int_equal(settings.name_count, 2);
}

static bool allows(const char *text)
{
	union addr addr = addr_of(text);

	return forward_allows(&settings, &addr);
}

static void allow_from_is_a_list_of_addresses_and_cidrs(void **state)
{
	(void)state;
	assert_true(allows("192.0.2.1"));       /* not set: everybody */
	assert_int_equal(forward_allow_from_parse("10.0.0.0/8, 192.0.2.1\tfd00::/8", &settings,
						  error), 0);
	assert_int_equal(settings.allow_from_count, 3);
	assert_true(allows("10.255.0.1"));
	assert_true(allows("192.0.2.1"));
	assert_true(allows("fd12::1"));
	assert_false(allows("192.0.2.2"));
	assert_false(allows("11.0.0.0"));
	assert_false(allows("9.255.255.255"));
	assert_false(allows("2001:db8::1"));
}

static void what_is_no_source_is_named(void **state)
{
	(void)state;
	assert_int_equal(forward_allow_from_parse("10.0.0.0/33", &settings, error), -EINVAL);
	assert_string_equal(error, "ALLOW_FROM: \"10.0.0.0/33\" is no address and no CIDR: "
			    "write e.g. 192.0.2.1 or 10.0.0.0/8 or fd00::/8");
	assert_int_equal(forward_allow_from_parse("10.0.0.1 host", &settings, error), -EINVAL);
}

static void nameservers_are_addresses(void **state)
{
	struct upstreams servers;
	union addr docker = addr_of("127.0.0.11");

	(void)state;
	assert_int_equal(forward_nameservers_parse("208.67.222.222 8.8.8.8 208.67.220.220 8.8.4.4",
						   &servers, error), 0);
	assert_int_equal(servers.count, 4);
	assert_int_equal(addr_port(&servers.addrs[3]), 53);
	assert_int_equal(forward_nameservers_parse("127.0.0.11,[2001:db8::53]", &servers, error),
			 0);
	assert_int_equal(servers.count, 2);
	assert_true(addr_equal_ip(&servers.addrs[0], &docker));
	assert_int_equal(forward_nameservers_parse("dns.google", &servers, error), -EINVAL);
	assert_string_equal(error, "NAMESERVERS: \"dns.google\" is no address: write resolvers by "
			    "their addresses, like 8.8.8.8");
	assert_int_equal(forward_nameservers_parse("https://dns.google/dns-query", &servers,
						   error), -EINVAL);
	assert_non_null(strstr(error, "DNS over HTTPS"));
	assert_int_equal(forward_nameservers_parse("", &servers, error), -EINVAL);
	assert_int_equal(forward_nameservers_parse("1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 "
						   "1.1.1.6 1.1.1.7 1.1.1.8 1.1.1.9", &servers,
						   error), -EINVAL);
}

static void a_mode_says_families_and_protocol(void **state)
{
	(void)state;
	assert_string_equal(target_error("db.test"), "");
	assert_int_equal(forward_mode(MODE_TCP, &settings, error), 0);
	assert_false(settings.udp);
	assert_int_equal(settings.listen_family, AF_UNSPEC);
	assert_int_equal(settings.dial_family, AF_UNSPEC);
	assert_int_equal(forward_mode(MODE_UDP4, &settings, error), 0);
	assert_true(settings.udp);
	assert_int_equal(settings.listen_family, AF_INET);
	assert_int_equal(settings.dial_family, AF_INET);
	assert_int_equal(forward_mode(MODE_TCP6, &settings, error), 0);
	assert_int_equal(settings.listen_family, AF_UNSPEC);    /* IPv4 clients too, as socat */
	assert_int_equal(settings.dial_family, AF_INET6);
}

static void a_mode_must_suit_the_address(void **state)
{
	(void)state;
	assert_string_equal(target_error("192.0.2.1"), "");
	assert_int_equal(forward_mode(MODE_TCP4, &settings, error), 0);
	assert_int_equal(forward_mode(MODE_TCP6, &settings, error), -EINVAL);
	assert_string_equal(error, "TARGET: 192.0.2.1 is no IPv6 address, which MODE asks for");
}

static const char *socat(const char *target, const char *mode)
{
	static char out[FORWARD_SOCAT_MAX];
	struct forward_port port = { .listen = 8080, .dial = 80 };

	assert_string_equal(target_error(target), "");
	return forward_socat(&settings, &port, mode, 100, out);
}

static void the_start_lines_are_socats_arguments(void **state)
{
	(void)state;
	assert_string_equal(socat("db.test", "tcp"), "tcp-listen:8080,fork,reuseaddr,"
			    "max-children=100 tcp-connect:db.test:80");
	assert_string_equal(socat("[2001:db8::1]", "tcp6"), "tcp6-listen:8080,fork,reuseaddr,"
			    "max-children=100 tcp6-connect:[2001:db8::1]:80");
	settings.udp = true;
	settings.verbose = 1;
	assert_string_equal(socat("192.0.2.1", "udp"),
			    "-v udp-recv:8080,reuseaddr udp-sendto:192.0.2.1:80");
	settings.udp_answers = true;
	assert_string_equal(socat("192.0.2.1", "udp"), "-v udp-listen:8080,fork,reuseaddr,"
			    "max-children=100 udp-connect:192.0.2.1:80");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ports_are_a_list_by_blanks_or_commas_in_their_order),
		TEST(a_port_may_be_a_service_of_the_protocol),
		TEST(a_port_can_be_mapped_and_a_range_too),
		TEST(what_is_no_port_is_named),
		TEST(a_port_that_is_listed_twice_is_refused),
		TEST(ports_that_lead_back_to_ourselves_are_marked),
		TEST(a_target_is_a_name_or_an_address),
		TEST(what_is_no_target_is_named),
		TEST(names_with_few_dots_are_searched_first),
		TEST(a_searched_name_that_is_too_long_is_left_out),
		TEST(allow_from_is_a_list_of_addresses_and_cidrs),
		TEST(what_is_no_source_is_named),
		TEST(nameservers_are_addresses),
		TEST(a_mode_says_families_and_protocol),
		TEST(a_mode_must_suit_the_address),
		TEST(the_start_lines_are_socats_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
