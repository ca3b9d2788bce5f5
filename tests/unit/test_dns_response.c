/* test_dns_response.c - which records a response gives to the name that was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/dns.h"
#include "tests/unit/dns_bytes.h"
#include "tests/unit/dns_text.h"
#include "tests/unit/guard.h"

static struct dns_bytes bytes;
static struct dns_records records;

static enum parsed parse(const char *name, uint16_t type)
{
	struct dns_question question = { .id = 0x1234, .type = type };

	question.name_len = (uint8_t)dns_name_from_text(str_of(name), question.name);
	assert_true(question.name_len > 0);
	memset(&records, 0, sizeof(records));
	return dns_response_parse(guarded(bytes.data, bytes.len), bytes.len, &question, &records);
}

static const char *addrs(void)
{
	return dns_addrs_text(&records);
}

static void begin(const char *name)
{
	dns_begin(&bytes, 0x8180, name, DNS_A);
}

static void addresses_of_the_name_are_read_with_their_least_ttl(void **state)
{
	(void)state;
	begin("a.test");
	dns_a(&bytes, "a.test", 300, "192.0.2.1");
	dns_a(&bytes, "@", 60, "192.0.2.2");
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_string_equal(addrs(), "192.0.2.1 192.0.2.2");
	assert_int_equal(records.ttl_s, 60);
	dns_begin(&bytes, 0x8180, "a.test", DNS_AAAA);
	dns_aaaa(&bytes, "@", 7, "2001:db8::1");
	assert_int_equal(parse("a.test", DNS_TYPE_AAAA), PARSED_OK);
	assert_string_equal(addrs(), "2001:db8::1");
}

static void other_owners_types_and_sections_are_ignored(void **state)
{
	(void)state;
	begin("a.test");
	dns_a(&bytes, "evil.test", 300, "198.51.100.66");
	dns_a(&bytes, "a.test.evil.test", 300, "198.51.100.67");
	dns_a(&bytes, "test", 300, "198.51.100.68");
	dns_aaaa(&bytes, "a.test", 300, "2001:db8::66");
	dns_record(&bytes, DNS_ANSWER, "a.test", DNS_TXT, 300, "\4evil", 5);
	dns_a(&bytes, "a.test", 300, "192.0.2.1");
	dns_record(&bytes, DNS_AUTHORITY, "a.test", DNS_A, 300, "\306\63\144\102", 4);
	dns_record(&bytes, DNS_ADDITIONAL, "a.test", DNS_A, 300, "\306\63\144\103", 4);
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_string_equal(addrs(), "192.0.2.1");
}

static void a_chain_is_followed_in_any_order_and_owns_the_addresses(void **state)
{
	(void)state;
	begin("a.test");
	dns_a(&bytes, "C.test", 300, "192.0.2.3");
	dns_a(&bytes, "a.test", 300, "198.51.100.66");
	dns_a(&bytes, "b.test", 300, "198.51.100.67");
	dns_cname(&bytes, "b.test", 20, "c.TEST");
	dns_cname(&bytes, "x.test", 1, "y.test");
	dns_cname(&bytes, "A.test", 90, "B.test");
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_string_equal(addrs(), "192.0.2.3");
	assert_int_equal(records.ttl_s, 20);
}

static void chain_of(unsigned links)
{
	char from[20], to[20] = "";

	begin("n0.test");
	for (unsigned i = 0; i < links; i++) {
		snprintf(from, sizeof(from), "n%u.test", i);
		snprintf(to, sizeof(to), "n%u.test", i + 1);
		dns_cname(&bytes, from, 300, to);
	}
	dns_a(&bytes, links ? to : "n0.test", 300, "192.0.2.1");
}

static void chains_of_twelve_are_followed_longer_ones_are_bad(void **state)
{
	(void)state;
	chain_of(12);
	assert_int_equal(parse("n0.test", DNS_TYPE_A), PARSED_OK);
	assert_int_equal(records.count, 1);
	chain_of(13);
	assert_int_equal(parse("n0.test", DNS_TYPE_A), PARSED_BAD);
	chain_of(100);
	assert_int_equal(parse("n0.test", DNS_TYPE_A), PARSED_BAD);
}

static void chains_that_go_round_are_bad(void **state)
{
	(void)state;
	begin("a.test");
	dns_cname(&bytes, "a.test", 300, "b.test");
	dns_cname(&bytes, "b.test", 300, "a.test");
	dns_a(&bytes, "a.test", 300, "192.0.2.1");
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_BAD);
	begin("a.test");
	dns_cname(&bytes, "a.test", 300, "@");
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_BAD);
}

static enum dns_match match(const char *name, uint16_t type, uint16_t id)
{
	struct dns_question question = { .id = id, .type = type };

	question.name_len = (uint8_t)dns_name_from_text(str_of(name), question.name);
	return dns_response_match(guarded(bytes.data, bytes.len), bytes.len, &question);
}

static void only_a_response_to_this_very_question_matches(void **state)
{
	(void)state;
	begin("a.test");
	dns_a(&bytes, "@", 300, "192.0.2.1");
	assert_int_equal(match("a.test", DNS_A, 0x1234), DNS_MATCH_YES);
	assert_int_equal(match("A.test", DNS_A, 0x1234), DNS_MATCH_CASE);
	assert_int_equal(match("a.test", DNS_A, 0x1235), DNS_MATCH_NO);
	assert_int_equal(match("a.test", DNS_AAAA, 0x1234), DNS_MATCH_NO);
	assert_int_equal(match("b.test", DNS_A, 0x1234), DNS_MATCH_NO);
	assert_int_equal(match("a.tes", DNS_A, 0x1234), DNS_MATCH_NO);
	assert_int_equal(match("a.test.a", DNS_A, 0x1234), DNS_MATCH_NO);
	dns_begin(&bytes, 0x0100, "a.test", DNS_A);             /* a question */
	assert_int_equal(match("a.test", DNS_A, 0x1234), DNS_MATCH_NO);
	dns_begin(&bytes, 0xa180, "a.test", DNS_A);             /* opcode 4 */
	assert_int_equal(match("a.test", DNS_A, 0x1234), DNS_MATCH_NO);
	begin("a.test");
	bytes.data[5] = 0;                                      /* no question */
	assert_int_equal(match("a.test", DNS_A, 0x1234), DNS_MATCH_NO);
	bytes.data[5] = 2;
	assert_int_equal(match("a.test", DNS_A, 0x1234), DNS_MATCH_NO);
	begin("a.test");
	bytes.data[bytes.len - 1] = 3;                          /* class CHAOS */
	assert_int_equal(match("a.test", DNS_A, 0x1234), DNS_MATCH_NO);
	begin("a.test");
	for (bytes.len--; bytes.len > 0; bytes.len--)
		assert_int_equal(match("a.test", DNS_A, 0x1234), DNS_MATCH_NO);
}

static void the_type_must_be_the_one_asked_for(void **state)
{
	(void)state;
	begin("a.test");
	dns_aaaa(&bytes, "@", 300, "2001:db8::1");
	assert_int_equal(parse("a.test", DNS_TYPE_AAAA), PARSED_BAD);
}

static void a_cut_response_says_so_and_nothing_else(void **state)
{
	(void)state;
	dns_begin(&bytes, 0x8380, "a.test", DNS_A);
	dns_a(&bytes, "@", 300, "192.0.2.1");
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_true(records.cut);
	assert_int_equal(records.count, 0);
	assert_string_equal(addrs(), "");
}

static void an_address_of_a_wrong_length_is_bad(void **state)
{
	(void)state;
	begin("a.test");
	dns_record(&bytes, DNS_ANSWER, "@", DNS_A, 300, "\300\0\2", 3);
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_BAD);
	begin("a.test");
	dns_record(&bytes, DNS_ANSWER, "@", DNS_A, 300, "\300\0\2\1\1", 5);
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_BAD);
}

static void pointers_that_do_not_go_back_or_into_the_header_are_bad(void **state)
{
	static const uint8_t targets[] = { 0x18 /* itself */, 0x1a /* ahead */, 0xff, 0, 11 };

	(void)state;
	for (size_t i = 0; i < sizeof(targets); i++) {
		begin("a.test");
		assert_int_equal(bytes.len, 0x18);
		dns_a(&bytes, "@", 300, "192.0.2.1");
		bytes.data[0x19] = targets[i];
		assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_BAD);
	}
}

static void thousands_of_addresses_are_cut_and_doubles_count_once(void **state)
{
	(void)state;
	begin("a.test");
	for (unsigned i = 0; i < 3000; i++)
		dns_record(&bytes, DNS_ANSWER, "@", DNS_A, 300,
			   (uint8_t[]){ 10, 0, (uint8_t)(i >> 8), (uint8_t)i }, 4);
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_int_equal(records.count, DNS_ADDRS_MAX);
	begin("a.test");
	for (unsigned i = 0; i < 3; i++)
		dns_a(&bytes, "@", 300, "192.0.2.1");
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_int_equal(records.count, 1);
}

static void a_ttl_with_the_high_bit_is_zero(void **state)
{
	(void)state;
	begin("a.test");
	dns_a(&bytes, "@", UINT32_MAX, "192.0.2.1");
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_true(records.has_ttl);
	assert_int_equal(records.ttl_s, 0);
}

static void no_holds_for_as_long_as_the_soa_says(void **state)
{
	(void)state;
	dns_begin(&bytes, 0x8183, "a.test", DNS_A);
	dns_a(&bytes, "@", 300, "192.0.2.1");                   /* not of a name that is not */
	dns_soa(&bytes, 900, 20);
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_int_equal(records.rcode, 3);
	assert_int_equal(records.count, 0);
	assert_true(records.has_ttl);
	assert_int_equal(records.ttl_s, 20);
	begin("a.test");
	dns_soa(&bytes, 10, 20);
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_int_equal(records.ttl_s, 10);
	begin("a.test");
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_false(records.has_ttl);
}

static void every_prefix_of_a_response_is_bad(void **state)
{
	(void)state;
	begin("a.test");
	dns_cname(&bytes, "@", 300, "b.test");
	dns_a(&bytes, "b.test", 300, "192.0.2.1");
	for (size_t len = bytes.len; len-- > 0;) {
		bytes.len = len;
		assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_BAD);
	}
}

static void every_change_of_a_byte_is_survived(void **state)
{
	size_t len;

	(void)state;
	begin("a.test");
	dns_cname(&bytes, "@", 300, "b.test");
	dns_a(&bytes, "b.test", 300, "192.0.2.1");
	dns_soa(&bytes, 10, 20);
	len = bytes.len;
	for (size_t at = 0; at < len; at++) {
		uint8_t was = bytes.data[at];

		for (unsigned value = 0; value < 256; value++) {
			bytes.data[at] = (uint8_t)value;
			(void)parse("a.test", DNS_TYPE_A);
			assert_true(records.count <= 1);
		}
		bytes.data[at] = was;
	}
}

static void names_of_the_longest_kind_are_compared_whole(void **state)
{
	char name[254];

	(void)state;
	memset(name, 'a', 253);
	name[253] = '\0';
	name[63] = name[127] = name[191] = '.';
	begin(name);
	dns_a(&bytes, name, 300, "192.0.2.1");
	assert_int_equal(parse(name, DNS_TYPE_A), PARSED_OK);
	assert_int_equal(records.count, 1);
	name[252] = 'b';
	assert_int_equal(parse(name, DNS_TYPE_A), PARSED_BAD);
}

static void the_chain_is_kept_in_its_order_and_in_lower_case(void **state)
{
	char text[DNS_TEXT_MAX];
	struct dns_record record;
	uint16_t at = 0;

	(void)state;
	begin("a.test");
	dns_a(&bytes, "c.test", 300, "192.0.2.3");
	dns_cname(&bytes, "b.test", 20, "C.Test");
	dns_cname(&bytes, "@", 90, "B.TEST");
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_string_equal(dns_records_text(&records),
			    "a.test 90 CNAME; b.test 20 CNAME; c.test 300 A");
	assert_int_equal(records.links, 2);
	assert_true(dns_records_next(&records, &at, &record));
	dns_records_name(&records, record.data_at, text);
	assert_string_equal(text, "b.test");
	assert_memory_equal(records.message + record.data_at, "\1b\4test", 8);
}

static void a_question_for_the_alias_itself_is_not_followed(void **state)
{
	(void)state;
	dns_begin(&bytes, 0x8180, "a.test", DNS_CNAME);
	dns_cname(&bytes, "@", 300, "b.test");
	dns_cname(&bytes, "b.test", 300, "c.test");
	assert_int_equal(parse("a.test", DNS_TYPE_CNAME), PARSED_OK);
	assert_string_equal(dns_records_text(&records), "a.test 300 CNAME");
	assert_int_equal(records.links, 0);
	assert_int_equal(records.count, 1);
}

static void a_name_that_grows_by_pointers_is_bad(void **state)
{
	(void)state;
	/* a.a.a...: each record's owner is a label and a pointer to the one before. */
	begin("a.test");
	for (unsigned i = 0; i < 200; i++) {
		size_t owner_at = bytes.len;

		dns_record(&bytes, DNS_ANSWER, "a", DNS_TXT, 1, "\0", 1);
		/* The owner's empty label becomes a pointer, one byte longer. */
		memmove(bytes.data + owner_at + 4, bytes.data + owner_at + 3, 11);
		bytes.len++;
		bytes.data[owner_at + 2] = (uint8_t)(0xc0 | (owner_at - 15) >> 8);
		bytes.data[owner_at + 3] = (uint8_t)(owner_at - 15);
		if (i == 0)
			bytes.data[owner_at + 2] = 0xc0, bytes.data[owner_at + 3] = 12;
		assert_int_equal(parse("a.test", DNS_TYPE_A), 8 + 2 * (i + 1) <= 255 ? PARSED_OK :
				 PARSED_BAD);
	}
}

static void a_soa_must_be_of_the_name_or_above_it(void **state)
{
	static const struct {
		const char *owner;
		bool taken;
	} all[] = {
		{ "b.a.test", true }, { "a.test", true }, { "test", true }, { "", true },
		{ "c.b.a.test", false }, { "x.test", false }, { "est", false }, { "a.tes", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		dns_begin(&bytes, 0x8183, "b.a.test", DNS_A);
		dns_record(&bytes, DNS_AUTHORITY, all[i].owner, DNS_SOA, 50,
			   "\0\0aaaabbbbccccdddd\0\0\0\11", 22);
		assert_int_equal(parse("b.a.test", DNS_TYPE_A), PARSED_OK);
		assert_int_equal(records.has_ttl, all[i].taken);
		assert_int_equal(records.ttl_s, all[i].taken ? 9 : 0);
		assert_int_equal(records.message[9], all[i].taken);
	}
}

static void the_longest_chain_of_the_longest_names_fits(void **state)
{
	char from[254], to[254];

	(void)state;
	memset(from, 'a', 253);
	from[253] = '\0';
	from[63] = from[127] = from[191] = '.';
	begin(from);
	for (unsigned i = 0; i < DNS_CHAIN_MAX; i++) {
		memcpy(to, from, sizeof(to));
		to[0] = (char)('b' + i);
		dns_cname(&bytes, from, 300, to);
		memcpy(from, to, sizeof(from));
	}
	dns_a(&bytes, to, 300, "192.0.2.1");
	from[0] = 'a';
	assert_int_equal(parse(from, DNS_TYPE_A), PARSED_OK);
	assert_int_equal(records.links, DNS_CHAIN_MAX);
	assert_string_equal(addrs(), "192.0.2.1");
}

static void a_failure_has_its_whole_rcode_and_no_records(void **state)
{
	(void)state;
	dns_begin(&bytes, 0x8182, "a.test", DNS_A);
	dns_cname(&bytes, "@", 300, "b.test");
	dns_soa(&bytes, 5, 5);
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_int_equal(records.rcode, DNS_RCODE_SERVFAIL);
	assert_false(records.has_ttl);
	assert_int_equal(records.links, 0);
	assert_string_equal(dns_records_text(&records), "");
	assert_memory_equal(records.message + 12, "\1a\4test", 8);
	begin("a.test");
	dns_a(&bytes, "@", 300, "192.0.2.1");
	dns_record(&bytes, DNS_ADDITIONAL, "", DNS_TYPE_OPT, 0x01000000, "", 0);
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	assert_int_equal(records.rcode, DNS_RCODE_BADVERS);
	assert_int_equal(records.count, 0);
}

static void a_copy_of_its_size_is_all_there_is(void **state)
{
	static struct dns_records copy;

	(void)state;
	begin("a.test");
	dns_a(&bytes, "@", 300, "192.0.2.1");
	assert_int_equal(parse("a.test", DNS_TYPE_A), PARSED_OK);
	memset(&copy, 0xff, sizeof(copy));
	memcpy(&copy, &records, dns_records_size(&records));
	assert_string_equal(dns_addrs_text(&copy), "192.0.2.1");
	assert_in_range(dns_records_size(&records), 40, 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_of_the_name_are_read_with_their_least_ttl),
		cmocka_unit_test(other_owners_types_and_sections_are_ignored),
		cmocka_unit_test(a_chain_is_followed_in_any_order_and_owns_the_addresses),
		cmocka_unit_test(chains_of_twelve_are_followed_longer_ones_are_bad),
		cmocka_unit_test(chains_that_go_round_are_bad),
		cmocka_unit_test(only_a_response_to_this_very_question_matches),
		cmocka_unit_test(the_type_must_be_the_one_asked_for),
		cmocka_unit_test(a_cut_response_says_so_and_nothing_else),
		cmocka_unit_test(an_address_of_a_wrong_length_is_bad),
		cmocka_unit_test(pointers_that_do_not_go_back_or_into_the_header_are_bad),
		cmocka_unit_test(thousands_of_addresses_are_cut_and_doubles_count_once),
		cmocka_unit_test(a_ttl_with_the_high_bit_is_zero),
		cmocka_unit_test(no_holds_for_as_long_as_the_soa_says),
		cmocka_unit_test(every_prefix_of_a_response_is_bad),
		cmocka_unit_test(every_change_of_a_byte_is_survived),
		cmocka_unit_test(names_of_the_longest_kind_are_compared_whole),
		cmocka_unit_test(the_chain_is_kept_in_its_order_and_in_lower_case),
		cmocka_unit_test(a_question_for_the_alias_itself_is_not_followed),
		cmocka_unit_test(a_name_that_grows_by_pointers_is_bad),
		cmocka_unit_test(a_soa_must_be_of_the_name_or_above_it),
		cmocka_unit_test(the_longest_chain_of_the_longest_names_fits),
		cmocka_unit_test(a_failure_has_its_whole_rcode_and_no_records),
		cmocka_unit_test(a_copy_of_its_size_is_all_there_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
