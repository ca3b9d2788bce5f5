/* test_dns_svcb.c - what is left of HTTPS records, and their hints under vetting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/dns.h"
#include "tests/unit/dns_bytes.h"
#include "tests/unit/dns_text.h"
#include "tests/unit/guard.h"

#define DATA(literal) literal, sizeof(literal) - 1
#define H2 "\0\1\0\3\2h2"
#define HINT4 "\0\4\0\10\300\0\2\1\300\0\2\2"
#define HINT6 "\0\6\0\20\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1"
#define ECH "\0\5\0\3ech"

static struct dns_bytes bytes;
static struct dns_records records;

static enum parsed parse(void)
{
	struct dns_question question = { .id = 0x1234, .type = DNS_TYPE_HTTPS };

	question.name_len = (uint8_t)dns_name_from_text(STR("a.test"), question.name);
	return dns_response_parse(guarded(bytes.data, bytes.len), bytes.len, &question, &records);
}

static void begin(void)
{
	dns_begin(&bytes, 0x8180, "a.test", DNS_TYPE_HTTPS);
}

static void add(const char *data, size_t len)
{
	dns_record(&bytes, DNS_ANSWER, "@", DNS_TYPE_HTTPS, 300, data, len);
}

static void assert_first_is(const char *data, size_t len)
{
	struct dns_record record;
	uint16_t at = 0;

	assert_true(dns_records_next(&records, &at, &record));
	assert_int_equal(record.data_len, len);
	assert_memory_equal(records.message + record.data_at, data, len);
}

/* One record alone: it is read as `expected`. */
static void assert_read(const char *data, size_t len, const char *expected, size_t expected_len)
{
	begin();
	add(data, len);
	assert_int_equal(parse(), PARSED_OK);
	assert_int_equal(records.count, 1);
	assert_int_equal(records.left_out, 0);
	assert_first_is(expected, expected_len);
}

static void assert_left_out(const char *data, size_t len)
{
	begin();
	add(data, len);
	assert_int_equal(parse(), PARSED_OK);
	assert_int_equal(records.count, 0);
	assert_int_equal(records.left_out, 1);
	assert_false(records.has_ttl);
}

static void ech_h3_and_unknown_parameters_are_gone(void **state)
{
	(void)state;
	assert_read(DATA("\0\1\0\0\1\0\6\2h3\2h2\0\3\0\2\1\273" HINT4 ECH HINT6 "\0\7\0\1x"),
		    DATA("\0\1\0" H2 "\0\3\0\2\1\273" HINT4 HINT6));
	assert_string_equal(dns_addrs_text(&records),
			    "hint:192.0.2.1 hint:192.0.2.2 hint:2001:db8::1");
	assert_read(DATA("\0\1\0\0\1\0\11\5h3-29\2h3" HINT4), DATA("\0\1\0" HINT4));
	assert_read(DATA("\0\1\0\0\1\0\5\4h3x-"), DATA("\0\1\0\0\1\0\5\4h3x-"));
}

static void targets_are_kept_in_lower_case_and_aliases_without_parameters(void **state)
{
	(void)state;
	assert_read(DATA("\0\2\3SVC\4Test\0" H2), DATA("\0\2\3svc\4test\0" H2));
	assert_read(DATA("\0\0\3Cdn\4test\0" HINT4), DATA("\0\0\3cdn\4test\0"));
	assert_string_equal(dns_addrs_text(&records), "");
}

static void what_is_gone_must_not_have_been_mandatory(void **state)
{
	(void)state;
	assert_left_out(DATA("\0\1\0\0\0\0\2\0\5" ECH));
	assert_left_out(DATA("\0\1\0\0\0\0\2\0\7\0\7\0\1x"));
	assert_left_out(DATA("\0\1\0\0\0\0\2\0\1\0\1\0\3\2h3"));
	assert_left_out(DATA("\0\1\0\0\0\0\2\0\3" H2));         /* not there at all */
	assert_left_out(DATA("\0\1\0\0\1\0\3\2h3\0\2\0\0"));    /* nothing but h3 */
	assert_read(DATA("\0\1\0\0\0\0\4\0\1\0\4" H2 HINT4), DATA("\0\1\0\0\0\0\4\0\1\0\4" H2
								  HINT4));
	assert_read(DATA("\0\1\0" H2 "\0\2\0\0"), DATA("\0\1\0" H2 "\0\2\0\0"));
}

static void a_malformed_record_takes_the_others_with_it(void **state)
{
	static const struct {
		const char *data;
		size_t len;
	} malformed[] = {
		{ DATA("") }, { DATA("\0") }, { DATA("\0\1") }, { DATA("\0\1\1a") },
		{ DATA("\0\1\300\14") },                                /* compressed */
		{ DATA("\0\1\0\0") }, { DATA("\0\1\0\0\3\0") }, { DATA("\0\1\0\0\3\0\2\1") },
		{ DATA("\0\1\0" HINT4 H2) }, { DATA("\0\1\0" H2 H2) },  /* order */
		{ DATA("\0\1\0\0\1\0\0") }, { DATA("\0\1\0\0\1\0\1\0") },
		{ DATA("\0\1\0\0\1\0\3\3h2") }, { DATA("\0\1\0\0\2\0\0") },
		{ DATA("\0\1\0" H2 "\0\2\0\1x") }, { DATA("\0\1\0\0\3\0\1\1") },
		{ DATA("\0\1\0\0\4\0\0") }, { DATA("\0\1\0\0\4\0\3\1\2\3") },
		{ DATA("\0\1\0\0\6\0\4\1\2\3\4") }, { DATA("\0\1\0\377\377\0\0") },
		{ DATA("\0\1\0\0\0\0\0") }, { DATA("\0\1\0\0\0\0\1\1") },
		{ DATA("\0\1\0\0\0\0\2\0\0") }, { DATA("\0\1\0\0\0\0\4\0\4\0\1" H2 HINT4) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		begin();
		add(DATA("\0\1\0" HINT4));
		add(malformed[i].data, malformed[i].len);
		add(DATA("\0\2\0" HINT4));
		assert_int_equal(parse(), PARSED_OK);
		assert_int_equal(records.count, 0);
		assert_int_equal(records.left_out, 2);
		assert_int_equal(records.message[7], 0);
		assert_string_equal(dns_addrs_text(&records), "");
	}
}

static bool keep_even(void *context, const struct dns_addr *addr)
{
	(void)context;
	assert_true(addr->hint);
	assert_int_equal(addr->ttl_s, 300);
	return addr->bytes[addr->len - 1] % 2 == 0;
}

static void refused_hints_go_and_their_parameter_with_the_last(void **state)
{
	(void)state;
	begin();
	add(DATA("\0\1\0" H2 HINT4 HINT6));
	add(DATA("\0\2\3svc\4test\0" HINT6));
	dns_soa(&bytes, 60, 60);
	assert_int_equal(parse(), PARSED_OK);
	assert_int_equal(dns_records_vet(&records, keep_even, NULL), 3);
	assert_string_equal(dns_addrs_text(&records), "hint:192.0.2.2");
	assert_int_equal(records.count, 2);
	assert_int_equal(records.message[7], 2);
	assert_first_is(DATA("\0\1\0" H2 "\0\4\0\4\300\0\2\2"));
	assert_int_equal(records.end_at, records.len);
	assert_int_equal(dns_records_vet(&records, keep_even, NULL), 0);
}

static void a_record_goes_with_its_mandatory_hints(void **state)
{
	(void)state;
	begin();
	add(DATA("\0\1\0\0\0\0\2\0\6" H2 HINT6));
	add(DATA("\0\2\0\0\0\0\2\0\4" H2 HINT4));
	assert_int_equal(parse(), PARSED_OK);
	assert_int_equal(records.count, 2);
	assert_int_equal(dns_records_vet(&records, keep_even, NULL), 2);
	assert_int_equal(records.count, 1);
	assert_first_is(DATA("\0\2\0\0\0\0\2\0\4" H2 "\0\4\0\4\300\0\2\2"));
}

static void every_change_of_a_byte_is_survived(void **state)
{
	(void)state;
	begin();
	add(DATA("\0\1\0\0\0\0\2\0\4\0\1\0\6\2h3\2h2" HINT4 ECH HINT6));
	add(DATA("\0\2\3svc\4test\0" HINT6));
	for (size_t at = 0; at < bytes.len; at++) {
		uint8_t was = bytes.data[at];

		for (unsigned value = 0; value < 256; value++) {
			bytes.data[at] = (uint8_t)value;
			if (parse() == PARSED_OK && !records.cut) {
				(void)dns_addrs_text(&records);
				records.ttl_s = 0;
			}
		}
		bytes.data[at] = was;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ech_h3_and_unknown_parameters_are_gone),
		cmocka_unit_test(targets_are_kept_in_lower_case_and_aliases_without_parameters),
		cmocka_unit_test(what_is_gone_must_not_have_been_mandatory),
		cmocka_unit_test(a_malformed_record_takes_the_others_with_it),
		cmocka_unit_test(refused_hints_go_and_their_parameter_with_the_last),
		cmocka_unit_test(a_record_goes_with_its_mandatory_hints),
		cmocka_unit_test(every_change_of_a_byte_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
