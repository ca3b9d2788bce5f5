/* test_dns_name.c - names to text and back, and what types are called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proto/dns.h"

static uint8_t wire[DNS_NAME_MAX];
static char text[DNS_TEXT_MAX];

static size_t from_text(const char *name)
{
	return dns_name_from_text(str_of(name), wire);
}

static void a_name_goes_to_the_wire_and_back(void **state)
{
	(void)state;
	assert_int_equal(from_text("Www.a.test"), 12);
	assert_memory_equal(wire, "\3Www\1a\4test", 12);
	assert_int_equal(dns_name_to_text(wire, text), 10);
	assert_string_equal(text, "www.a.test");
	assert_int_equal(from_text("a.test."), 8);
	assert_int_equal(from_text("_x.-y-.t"), 10);
}

static void the_root_is_a_dot(void **state)
{
	(void)state;
	assert_int_equal(from_text("."), 1);
	assert_int_equal(from_text(""), 1);
	assert_int_equal(wire[0], 0);
	assert_int_equal(dns_name_to_text(wire, text), 1);
	assert_string_equal(text, ".");
}

static void labels_and_names_have_their_limits(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'a', sizeof(name));
	name[63] = '\0';
	assert_int_equal(from_text(name), 65);
	name[63] = 'a', name[64] = '\0';
	assert_int_equal(from_text(name), 0);
	name[63] = name[127] = name[191] = '.';
	name[64] = name[253] = 'a', name[253] = '\0';
	assert_int_equal(from_text(name), 255);
	name[253] = 'a', name[254] = '\0';
	assert_int_equal(from_text(name), 0);
	assert_int_equal(from_text("a..b"), 0);
	assert_int_equal(from_text(".a"), 0);
	assert_int_equal(from_text(".."), 0);
	assert_int_equal(from_text("a.."), 0);
}

static void what_does_not_print_is_escaped(void **state)
{
	(void)state;
	dns_name_to_text((const uint8_t *)"\5a.b\\c\4 \x7f\xff\n", text);
	assert_string_equal(text, "a\\046b\\092c.\\032\\127\\255\\010");
	memset(wire, 0xff, sizeof(wire));
	wire[0] = wire[64] = wire[128] = 63;
	wire[192] = 61;
	wire[254] = 0;
	assert_int_equal(dns_name_to_text(wire, text), 4 * (3 * 63 + 61) + 3);
}

static void case_bits_change_letters_only(void **state)
{
	uint8_t bits[32];

	(void)state;
	memset(bits, 0xff, sizeof(bits));
	from_text("a-z0_9.tESt");
	dns_name_set_case(wire, 13, bits);
	assert_memory_equal(wire, "\6A-Z0_9\4TEST", 13);
	memset(bits, 0, sizeof(bits));
	dns_name_set_case(wire, 13, bits);
	assert_memory_equal(wire, "\6a-z0_9\4test", 13);
	bits[0] = 1 << 3, bits[1] = 1 << 1;
	dns_name_set_case(wire, 13, bits);
	assert_memory_equal(wire, "\6a-Z0_9\4tEst", 13);
}

static void types_and_rcodes_have_names(void **state)
{
	char out[16];

	(void)state;
	assert_string_equal(dns_type_name(DNS_TYPE_HTTPS, out, sizeof(out)), "HTTPS");
	assert_string_equal(dns_type_name(65399, out, sizeof(out)), "TYPE65399");
	for (unsigned type = 1; type <= UINT16_MAX; type++)
		assert_int_equal(dns_type_from_name(str_of(dns_type_name((uint16_t)type, out,
									 sizeof(out)))), type);
	assert_int_equal(dns_type_from_name(STR("aaaa")), DNS_TYPE_AAAA);
	assert_int_equal(dns_type_from_name(STR("type1")), DNS_TYPE_A);
	assert_int_equal(dns_type_from_name(STR("")), 0);
	assert_int_equal(dns_type_from_name(STR("TYPE")), 0);
	assert_int_equal(dns_type_from_name(STR("TYPE65536")), 0);
	assert_int_equal(dns_type_from_name(STR("TYPE-1")), 0);
	assert_int_equal(dns_type_from_name(STR("AA")), 0);
	assert_string_equal(dns_rcode_name(DNS_RCODE_NXDOMAIN, out, sizeof(out)), "NXDOMAIN");
	assert_string_equal(dns_rcode_name(DNS_RCODE_BADVERS, out, sizeof(out)), "BADVERS");
	assert_string_equal(dns_rcode_name(4095, out, sizeof(out)), "RCODE4095");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_goes_to_the_wire_and_back),
		cmocka_unit_test(the_root_is_a_dot),
		cmocka_unit_test(labels_and_names_have_their_limits),
		cmocka_unit_test(what_does_not_print_is_escaped),
		cmocka_unit_test(case_bits_change_letters_only),
		cmocka_unit_test(types_and_rcodes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
