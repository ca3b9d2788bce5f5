/* test_dns_data.c - the data of records by the shape of their type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/dns.h"
#include "tests/unit/dns_bytes.h"
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

static void names_in_data_are_expanded(void **state)
{
	static const struct {
		uint16_t type;
		const char *data, *expected;
		uint8_t len, expected_len;
	} all[] = {
		{ DNS_TYPE_MX, "\0\12\4MAIL\300\14", "\0\12\4mail\1a\4test", 9, 15 },
		{ DNS_TYPE_NS, "\2ns\300\16", "\2ns\4test", 5, 9 },
		{ DNS_TYPE_PTR, "\300\14", "\1a\4test", 2, 8 },
		{ DNS_TYPE_SRV, "\0\1\0\2\0\120\300\14", "\0\1\0\2\0\120\1a\4test", 8, 14 },
		{ DNS_TYPE_SOA, "\300\14\1r\300\14aaaabbbbccccddddeeee",
		  "\1a\4test\0\1r\1a\4test\0aaaabbbbccccddddeeee", 26, 38 },
		{ 35, "\0\1\0\2\1u\1s\0\300\14", "\0\1\0\2\1u\1s\0\1a\4test", 11, 17 },
		{ DNS_TYPE_TXT, "\3abc\0\1D", "\3abc\0\1D", 7, 7 },
		{ 65399, "\300\14any", "\300\14any", 5, 5 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct dns_record record;
		uint16_t at = 0;

		dns_begin(&bytes, 0x8180, "a.test", all[i].type);
		dns_record(&bytes, DNS_ANSWER, "@", all[i].type, 300, all[i].data, all[i].len);
		assert_int_equal(parse("a.test", all[i].type), PARSED_OK);
		assert_true(dns_records_next(&records, &at, &record));
		assert_int_equal(record.data_len, all[i].expected_len);
		assert_memory_equal(records.message + record.data_at, all[i].expected,
				    record.data_len);
	}
}

static void data_of_a_wrong_shape_are_bad(void **state)
{
	static const struct {
		uint16_t type;
		const char *data;
		uint8_t len;
	} all[] = {
		{ DNS_TYPE_MX, "\0", 1 }, { DNS_TYPE_MX, "\0\1", 2 }, { DNS_TYPE_MX, "\0\1\1a", 4 },
		{ DNS_TYPE_MX, "\0\1\0x", 4 }, { DNS_TYPE_NS, "", 0 }, { DNS_TYPE_NS, "\300", 1 },
		{ DNS_TYPE_NS, "\300\377", 2 }, { DNS_TYPE_TXT, "", 0 }, { DNS_TYPE_TXT, "\2a", 2 },
		{ DNS_TYPE_AAAA, "1234567890123456", 15 }, { DNS_TYPE_SOA, "\0\0", 2 },
		{ 35, "\0\1\0\2\0\0\0", 7 }, { DNS_TYPE_PTR, "\1a\0\1b\0", 6 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		dns_begin(&bytes, 0x8180, "a.test", all[i].type);
		dns_record(&bytes, DNS_ANSWER, "@", all[i].type, 300, all[i].data, all[i].len);
		/* Bytes behind it that it must not take. */
		dns_record(&bytes, DNS_ADDITIONAL, "b.test", DNS_A, 1, "\1\2\3\4", 4);
		assert_int_equal(parse("a.test", all[i].type), PARSED_BAD);
	}
}

static void what_is_too_large_is_bad_and_never_half(void **state)
{
	char big[5000];

	(void)state;
	memset(big, 255, sizeof(big));
	dns_begin(&bytes, 0x8180, "a.test", 65399);
	dns_record(&bytes, DNS_ANSWER, "@", 65399, 300, big, sizeof(big));
	assert_int_equal(parse("a.test", 65399), PARSED_BAD);
	dns_begin(&bytes, 0x8180, "a.test", 65399);
	dns_record(&bytes, DNS_ANSWER, "@", 65399, 300, big, 4000);
	dns_record(&bytes, DNS_ANSWER, "@", 65399, 300, big, 4000);
	assert_int_equal(parse("a.test", 65399), PARSED_OK);
	assert_int_equal(records.count, 1);
	assert_int_equal(records.left_out, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_in_data_are_expanded),
		cmocka_unit_test(data_of_a_wrong_shape_are_bad),
		cmocka_unit_test(what_is_too_large_is_bad_and_never_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
