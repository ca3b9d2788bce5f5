/* test_dns_query.c - what a client may ask, and what we ask ourselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/dns.h"
#include "tests/unit/dns_bytes.h"
#include "tests/unit/guard.h"

enum { QUERY = 0x0100 };

static struct dns_bytes bytes;
static struct dns_query query;

static enum dns_verdict parse(void)
{
	memset(&query, 0xa5, sizeof(query));
	return dns_query_parse(guarded(bytes.data, bytes.len), bytes.len, &query);
}

static enum dns_verdict ask(const char *name, unsigned type)
{
	dns_begin(&bytes, QUERY, name, type);
	return parse();
}

/* The TTL of an OPT is the upper rcode, the version, and flags. */
static void put_opt(const char *owner, unsigned size, uint32_t ttl, const char *data, size_t len)
{
	dns_record(&bytes, DNS_ADDITIONAL, owner, DNS_TYPE_OPT, ttl, data, len);
	bytes.data[bytes.len - len - 8] = (uint8_t)(size >> 8);
	bytes.data[bytes.len - len - 7] = (uint8_t)size;
}

static void a_question_is_read_with_its_spelling_and_its_plain_name(void **state)
{
	(void)state;
	assert_int_equal(ask("wWw.A_b.Test", DNS_A), DNS_ASK);
	assert_int_equal(query.id, 0x1234);
	assert_int_equal(query.type, DNS_TYPE_A);
	assert_true(query.rd);
	assert_false(query.cd || query.edns || query.dnssec_ok);
	assert_int_equal(query.udp_size, 512);
	assert_int_equal(query.wire_len, 14);
	assert_memory_equal(query.wire, "\3wWw\3A_b\4Test", 14);
	assert_string_equal(query.name, "www.a_b.test");
	assert_int_equal(query.name_len, 12);
}

static void flags_are_told(void **state)
{
	(void)state;
	dns_begin(&bytes, 0x0010, "a.test", DNS_A);
	assert_int_equal(parse(), DNS_ASK);
	assert_false(query.rd);
	assert_true(query.cd);
}

static void an_opt_gives_the_size_of_answers(void **state)
{
	static const struct {
		unsigned sent, used;
	} sizes[] = { { 0, 512 }, { 511, 512 }, { 700, 700 }, { 1232, 1232 }, { 65535, 1232 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		dns_begin(&bytes, QUERY, "a.test", DNS_A);
		put_opt("", sizes[i].sent, i % 2 ? 0x8000 : 0, "\0\12\0\2ab", 6);
		assert_int_equal(parse(), DNS_ASK);
		assert_true(query.edns);
		assert_int_equal(query.dnssec_ok, i % 2);
		assert_int_equal(query.udp_size, sizes[i].used);
	}
}

static void a_bad_opt_is_a_format_error(void **state)
{
	(void)state;
	dns_begin(&bytes, QUERY, "a.test", DNS_A);
	put_opt("", 1232, 0, "", 0);
	put_opt("", 1232, 0, "", 0);
	assert_int_equal(parse(), DNS_FORMERR);
	dns_begin(&bytes, QUERY, "a.test", DNS_A);
	put_opt("a", 1232, 0, "", 0);
	assert_int_equal(parse(), DNS_FORMERR);
	dns_begin(&bytes, QUERY, "a.test", DNS_A);
	put_opt("", 1232, 0, "\0\12\0\3ab", 6);
	assert_int_equal(parse(), DNS_FORMERR);
	dns_begin(&bytes, QUERY, "a.test", DNS_A);
	put_opt("", 1232, 0x00010000, "", 0);
	assert_int_equal(parse(), DNS_BADVERS);
	assert_int_equal(query.wire_len, 8);
}

static void responses_and_shreds_are_never_answered(void **state)
{
	(void)state;
	dns_begin(&bytes, 0x8180, "a.test", DNS_A);
	assert_int_equal(parse(), DNS_DROP);
	dns_begin(&bytes, QUERY, "a.test", DNS_A);
	for (bytes.len = 0; bytes.len < 12; bytes.len++)
		assert_int_equal(parse(), DNS_DROP);
}

static void every_prefix_of_a_query_is_a_format_error(void **state)
{
	size_t len;

	(void)state;
	dns_begin(&bytes, QUERY, "a.test", DNS_A);
	put_opt("", 1232, 0, "\0\12\0\2ab", 6);
	len = bytes.len;
	for (bytes.len = 12; bytes.len < len; bytes.len++)
		assert_int_equal(parse(), DNS_FORMERR);
	assert_int_equal(parse(), DNS_ASK);
}

static void every_change_of_a_byte_is_survived(void **state)
{
	(void)state;
	dns_begin(&bytes, QUERY, "a.test", DNS_A);
	dns_a(&bytes, "@", 300, "192.0.2.1");
	bytes.data[7] = 0, bytes.data[11] = 1;
	put_opt("", 1232, 0, "\0\12\0\2ab", 6);
	for (size_t at = 0; at < bytes.len; at++) {
		uint8_t was = bytes.data[at];

		for (unsigned value = 0; value < 256; value++) {
			bytes.data[at] = (uint8_t)value;
			(void)parse();
			assert_int_equal(query.name_len, strlen(query.name));
		}
		bytes.data[at] = was;
	}
}

static void one_question_and_no_records_may_be_sent(void **state)
{
	(void)state;
	for (unsigned section = 6; section <= 8; section += 2) {
		dns_begin(&bytes, QUERY, "a.test", DNS_A);
		dns_record(&bytes, (int)section, "@", DNS_A, 1, "\300\0\2\1", 4);
		assert_int_equal(parse(), DNS_FORMERR);
	}
	dns_begin(&bytes, QUERY, "a.test", DNS_A);
	bytes.data[5] = 0;
	assert_int_equal(parse(), DNS_FORMERR);
	assert_int_equal(query.wire_len, 0);
	bytes.data[5] = 2;
	assert_int_equal(parse(), DNS_FORMERR);
	bytes.data[5] = 1, bytes.data[11] = 1;          /* a record that is not there */
	assert_int_equal(parse(), DNS_FORMERR);
}

static void other_operations_classes_and_meta_types_are_refused(void **state)
{
	static const uint16_t meta[] = { 0, 41, 128, 249, 250, 251, 252, 253, 254 };

	(void)state;
	for (unsigned opcode = 1; opcode < 16; opcode++) {
		dns_begin(&bytes, opcode << 11, "a.test", DNS_SOA);
		assert_int_equal(parse(), DNS_NOTIMP);
		assert_int_equal(query.wire_len, 8);
	}
	for (size_t i = 0; i < ARRAY_LEN(meta); i++)
		assert_int_equal(ask("a.test", meta[i]), DNS_REFUSED);
	assert_int_equal(ask("a.test", DNS_TYPE_ANY), DNS_ASK);
	assert_int_equal(ask("a.test", 65399), DNS_ASK);
	dns_begin(&bytes, QUERY, "version.bind", DNS_TXT);
	bytes.data[bytes.len - 1] = 3;
	assert_int_equal(parse(), DNS_REFUSED);
	assert_int_equal(query.class, 3);
}

static void put_wire(const char *wire, size_t len)
{
	dns_begin(&bytes, QUERY, "", DNS_A);
	bytes.len = 12;
	dns_put(&bytes, wire, len);
	dns_put(&bytes, "\0\1\0\1", 4);
}

static void labels_with_other_bytes_are_no_host_name(void **state)
{
	static const char *const labels[] = {
		"\3a.b\4test", "\1*\4test", "\2\xc3\xa9\4test", "\3a b\4test", "\4test\1\n",
		"\2-a\4test", "\2a-\4test", "\1a\1-", "\1a\1""7", "\1""7", "\1a\3""0x7",
		"\1a\2""0x",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
		put_wire(labels[i], strlen(labels[i]) + 1);
		assert_int_equal(parse(), DNS_ASK);
		assert_int_equal(query.wire_len, strlen(labels[i]) + 1);
		assert_int_equal(query.name_len, 0);
		assert_string_equal(query.name, "");
	}
	put_wire("\2a\0\4test", 9);
	assert_int_equal(parse(), DNS_ASK);
	assert_int_equal(query.name_len, 0);
	put_wire("", 1);
	assert_int_equal(parse(), DNS_ASK);
	assert_int_equal(query.wire_len, 1);
	assert_int_equal(query.name_len, 0);
}

static void pointers_and_reserved_labels_are_format_errors(void **state)
{
	static const struct {
		const char *wire;
		size_t len;
	} names[] = {
		{ "\300\14", 2 }, { "\300\0", 2 }, { "\300\16\0", 3 }, { "\1a\300\14", 4 },
		{ "\101a\0", 3 }, { "\201a\0", 3 }, { "\77a\0", 3 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		put_wire(names[i].wire, names[i].len);
		assert_int_equal(parse(), DNS_FORMERR);
		assert_int_equal(query.wire_len, 0);
	}
}

static void put_be16(uint8_t *out, uint16_t value)
{
	out[0] = (uint8_t)(value >> 8);
	out[1] = (uint8_t)value;
}

/* The name of each of many records would be looked for all the way: quadratic in the length. */
static void a_long_way_of_pointers_is_a_format_error(void **state)
{
	static const size_t jumps[] = { 126, 128 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
		uint8_t data[512] = { 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 2 };
		size_t len = 12, at = len;

		memcpy(data + len, "\1a\0\0\1\0\1" "\0\0\20\0\1\0\0\0\0", 16);
		len += 16;
		put_be16(data + len, (uint16_t)(2 * jumps[i]));
		len += 2;
		for (size_t k = 0; k < jumps[i]; k++) {
			put_be16(data + len, (uint16_t)(0xc000 | at));
			at = len;
			len += 2;
		}
		put_be16(data + len, (uint16_t)(0xc000 | at));
		memcpy(data + len + 2, "\0\20\0\1\0\0\0\0\0\0", 10);
		assert_int_equal(dns_query_parse(data, len + 12, &query),
				 i == 0 ? DNS_ASK : DNS_FORMERR);
	}
}

static void our_question_carries_nothing_but_name_and_type(void **state)
{
	struct dns_question question = { .id = 0xbeef, .type = DNS_TYPE_HTTPS };
	uint8_t out[DNS_QUESTION_MAX];

	(void)state;
	question.name_len = (uint8_t)dns_name_from_text(STR("a.TesT"), question.name);
	assert_int_equal(dns_question_build(&question, false, out), 24);
	assert_memory_equal(out, "\276\357\1\0\0\1\0\0\0\0\0\0\1a\4TesT\0\0\101\0\1", 24);
	assert_int_equal(dns_question_build(&question, true, out), 35);
	assert_memory_equal(out + 10, "\0\1\1a\4TesT\0\0\101\0\1\0\0\51\4\320\0\0\0\0\0\0", 25);
	memset(question.name, 'a', sizeof(question.name));
	question.name_len = DNS_NAME_MAX;
	assert_int_equal(dns_question_build(&question, true, out), DNS_QUESTION_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_read_with_its_spelling_and_its_plain_name),
		cmocka_unit_test(flags_are_told),
		cmocka_unit_test(an_opt_gives_the_size_of_answers),
		cmocka_unit_test(a_bad_opt_is_a_format_error),
		cmocka_unit_test(responses_and_shreds_are_never_answered),
		cmocka_unit_test(every_prefix_of_a_query_is_a_format_error),
		cmocka_unit_test(every_change_of_a_byte_is_survived),
		cmocka_unit_test(one_question_and_no_records_may_be_sent),
		cmocka_unit_test(other_operations_classes_and_meta_types_are_refused),
		cmocka_unit_test(labels_with_other_bytes_are_no_host_name),
		cmocka_unit_test(pointers_and_reserved_labels_are_format_errors),
		cmocka_unit_test(a_long_way_of_pointers_is_a_format_error),
		cmocka_unit_test(our_question_carries_nothing_but_name_and_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
