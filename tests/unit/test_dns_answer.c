/* test_dns_answer.c - what a client is told, byte by byte and read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/dns.h"
#include "tests/unit/dns_bytes.h"
#include "tests/unit/dns_text.h"

static const struct dns_age young = { 0, UINT32_MAX };

static struct dns_bytes bytes;
static struct dns_query query;
static struct dns_records records, again;
static uint8_t out[DNS_ANSWER_MAX];

#define assert_out_is(len, literal) do { \
	assert_int_equal(len, sizeof(literal) - 1); \
	assert_memory_equal(out, literal, sizeof(literal) - 1); \
} while (0)

/* A client asks. */
static void ask(unsigned flags, const char *name, unsigned type, bool edns)
{
	dns_begin(&bytes, flags, name, type);
	if (edns) {
		dns_record(&bytes, DNS_ADDITIONAL, "", DNS_TYPE_OPT, 0x8000, "", 0);
		bytes.data[bytes.len - 8] = 0x10;       /* 4096 bytes */
	}
	(void)dns_query_parse(bytes.data, bytes.len, &query);
}

static struct dns_question question(const char *name, unsigned type)
{
	struct dns_question question = { .id = 0x1234, .type = (uint16_t)type };

	question.name_len = (uint8_t)dns_name_from_text(str_of(name), question.name);
	return question;
}

/* A server answers what is in `bytes`. */
static void learn(const char *name, unsigned type)
{
	struct dns_question asked = question(name, type);

	assert_int_equal(dns_response_parse(bytes.data, bytes.len, &asked, &records), PARSED_OK);
}

/* Our answer as the client reads it. */
static const char *read_again(size_t len)
{
	struct dns_question asked = { .id = query.id, .type = query.type,
				      .name_len = query.wire_len };

	memcpy(asked.name, query.wire, query.wire_len);
	assert_int_equal(dns_response_match(out, len, &asked), DNS_MATCH_YES);
	assert_int_equal(dns_response_parse(out, len, &asked, &again), PARSED_OK);
	return dns_records_text(&again);
}

static void an_answer_is_the_records_with_the_clients_id_and_spelling(void **state)
{
	size_t len;

	(void)state;
	dns_begin(&bytes, 0x8180, "a.test", DNS_A);
	dns_a(&bytes, "@", 300, "192.0.2.1");
	learn("a.test", DNS_A);
	ask(0x0110, "A.tEst", DNS_A, false);
	len = dns_answer_build(&query, &records, young, 512, out);
	assert_out_is(len, "\x12\x34\x81\x90\0\1\0\1\0\0\0\0\1A\4tEst\0\0\1\0\1"
			   "\300\14\0\1\0\1\0\0\1\54\0\4\300\0\2\1");
	ask(0x0000, "a.test", DNS_A, true);
	len = dns_answer_build(&query, &records, young, 512, out);
	assert_out_is(len, "\x12\x34\x80\x80\0\1\0\1\0\0\0\1\1a\4test\0\0\1\0\1"
			   "\300\14\0\1\0\1\0\0\1\54\0\4\300\0\2\1"
			   "\0\0\51\4\320\0\0\200\0\0\0");
}

static void ttls_grow_old_and_have_a_limit(void **state)
{
	(void)state;
	dns_begin(&bytes, 0x8180, "a.test", DNS_A);
	dns_cname(&bytes, "@", 7200, "b.test");
	dns_a(&bytes, "b.test", 300, "192.0.2.1");
	dns_a(&bytes, "b.test", 60, "192.0.2.2");
	learn("a.test", DNS_A);
	ask(0x0100, "a.test", DNS_A, false);
	assert_string_equal(read_again(dns_answer_build(&query, &records, young, 512, out)),
			    "a.test 7200 CNAME; b.test 300 A; b.test 60 A");
	assert_string_equal(read_again(dns_answer_build(&query, &records,
							(struct dns_age){ 61, 3600 }, 512, out)),
			    "a.test 3600 CNAME; b.test 239 A; b.test 0 A");
}

static void chains_and_negative_answers_are_handed_on_with_the_soa(void **state)
{
	(void)state;
	dns_begin(&bytes, 0x8183, "a.test", DNS_A);
	dns_cname(&bytes, "@", 90, "b.test");
	dns_soa(&bytes, 900, 20);
	learn("a.test", DNS_A);
	ask(0x0100, "a.test", DNS_A, true);
	assert_string_equal(read_again(dns_answer_build(&query, &records,
							(struct dns_age){ 5, 30 }, 512, out)),
			    "a.test 30 CNAME");
	assert_int_equal(again.rcode, DNS_RCODE_NXDOMAIN);
	assert_true(again.has_ttl);
	assert_int_equal(again.ttl_s, 15);
	assert_int_equal(again.message[9], 1);
}

static void what_does_not_fit_is_cut_whole(void **state)
{
	size_t len;

	(void)state;
	dns_begin(&bytes, 0x8180, "a.test", DNS_A);
	for (unsigned i = 0; i < 40; i++)
		dns_record(&bytes, DNS_ANSWER, "@", DNS_A, 9, (uint8_t[]){ 192, 0, 2,
									   (uint8_t)i }, 4);
	learn("a.test", DNS_A);
	ask(0x0100, "a.test", DNS_A, true);
	len = dns_answer_build(&query, &records, young, 512, out);
	assert_int_equal(len, 24 + 11);
	read_again(len);
	assert_true(again.cut);
	len = dns_answer_build(&query, &records, young, query.udp_size, out);
	assert_int_equal(len, 24 + 40 * 16 + 11);
	assert_int_equal(dns_answer_build(&query, &records, young, len - 1, out), 24 + 11);
	assert_int_equal(dns_answer_build(&query, &records, young, len, out), len);
}

static void a_servers_failure_is_handed_on_as_such(void **state)
{
	(void)state;
	dns_begin(&bytes, 0x8180, "a.test", DNS_A);
	dns_record(&bytes, DNS_ADDITIONAL, "", DNS_TYPE_OPT, 0x01000000, "", 0); /* 16 */
	learn("a.test", DNS_A);
	assert_int_equal(records.rcode, DNS_RCODE_BADVERS);
	ask(0x0100, "a.test", DNS_A, true);
	read_again(dns_answer_build(&query, &records, young, 512, out));
	assert_int_equal(again.rcode, DNS_RCODE_BADVERS);
}

static void refusals_tell_why_to_those_who_know_edns(void **state)
{
	struct dns_refusal refusal = { .rcode = DNS_RCODE_REFUSED, .error = DNS_ERROR_BLOCKED,
				       .text = STR("no") };

	(void)state;
	ask(0x0100, "a.Test", DNS_A, false);
	assert_out_is(dns_refusal_build(&query, &refusal, out),
		      "\x12\x34\x81\x85\0\1\0\0\0\0\0\0\1a\4Test\0\0\1\0\1");
	ask(0x0100, "a.test", DNS_A, true);
	assert_out_is(dns_refusal_build(&query, &refusal, out),
		      "\x12\x34\x81\x85\0\1\0\0\0\0\0\1\1a\4test\0\0\1\0\1"
		      "\0\0\51\4\320\0\0\200\0\0\10\0\17\0\4\0\17no");
	refusal.error = DNS_ERROR_NONE;
	assert_int_equal(dns_refusal_build(&query, &refusal, out), 35);
	refusal.error = DNS_ERROR_OTHER;
	refusal.text.len = 0;
	assert_int_equal(dns_refusal_build(&query, &refusal, out), 41);
}

static void no_such_name_comes_with_a_soa_of_our_own(void **state)
{
	struct dns_refusal refusal = { .rcode = DNS_RCODE_NXDOMAIN, .error = DNS_ERROR_FILTERED,
				       .has_soa = true, .ttl_s = 10 };

	(void)state;
	ask(0x0100, "a.test", DNS_A, true);
	read_again(dns_refusal_build(&query, &refusal, out));
	assert_int_equal(again.rcode, DNS_RCODE_NXDOMAIN);
	assert_true(again.has_ttl);
	assert_int_equal(again.ttl_s, 10);
}

static void blocked_addresses_may_be_zero(void **state)
{
	struct dns_refusal refusal = { .zero = true, .has_soa = true, .ttl_s = 60,
				       .error = DNS_ERROR_NONE };

	(void)state;
	ask(0x0100, "a.test", DNS_A, false);
	assert_string_equal(read_again(dns_refusal_build(&query, &refusal, out)), "a.test 60 A");
	assert_string_equal(dns_addrs_text(&again), "0.0.0.0");
	ask(0x0100, "a.test", DNS_AAAA, false);
	assert_string_equal(read_again(dns_refusal_build(&query, &refusal, out)),
			    "a.test 60 AAAA");
	assert_string_equal(dns_addrs_text(&again), "::");
	ask(0x0100, "a.test", DNS_TYPE_HTTPS, false);
	assert_string_equal(read_again(dns_refusal_build(&query, &refusal, out)), "");
	assert_int_equal(again.rcode, DNS_RCODE_NXDOMAIN);
}

static void the_longest_refusal_fits_the_smallest_client(void **state)
{
	char name[254], text[300];
	struct dns_refusal refusal = { .rcode = DNS_RCODE_NXDOMAIN, .has_soa = true,
				       .text = { text, sizeof(text) } };

	(void)state;
	memset(text, 'x', sizeof(text));
	memset(name, 'a', 253);
	name[253] = '\0';
	name[63] = name[127] = name[191] = '.';
	ask(0x0100, name, DNS_A, true);
	assert_in_range(dns_refusal_build(&query, &refusal, out), 300, 512);
}

static void a_query_without_a_question_gets_a_header(void **state)
{
	struct dns_refusal refusal = { .rcode = dns_verdict_rcode(DNS_FORMERR), .zero = true,
				       .error = DNS_ERROR_NONE, .has_soa = true };

	(void)state;
	dns_begin(&bytes, 0x2900, "a.test", DNS_A);             /* opcode 5 */
	bytes.data[5] = 0;
	assert_int_equal(dns_query_parse(bytes.data, bytes.len, &query), DNS_NOTIMP);
	refusal.zero = false;
	assert_out_is(dns_refusal_build(&query, &refusal, out),
		      "\x12\x34\xa9\x81\0\0\0\0\0\0\0\0");
	assert_int_equal(dns_verdict_rcode(DNS_NOTIMP), DNS_RCODE_NOTIMP);
	assert_int_equal(dns_verdict_rcode(DNS_REFUSED), DNS_RCODE_REFUSED);
	assert_int_equal(dns_verdict_rcode(DNS_BADVERS), DNS_RCODE_BADVERS);
}

static void records_can_be_of_our_own_making(void **state)
{
	struct dns_question name = question("Db", DNS_A), host = question("h.test", DNS_A);

	(void)state;
	dns_records_init(&records, name.name, DNS_TYPE_A, 30);
	ask(0x0100, "dB", DNS_A, false);
	assert_string_equal(read_again(dns_answer_build(&query, &records, young, 512, out)), "");
	assert_int_equal(records.ttl_s, 30);
	assert_true(dns_records_add_addr(&records, (uint8_t[]){ 127, 0, 0, 1 }, 4, 60));
	assert_false(dns_records_add_addr(&records, (uint8_t[]){ 127, 0, 0, 1 }, 4, 60));
	assert_false(dns_records_add_addr(&records, (uint8_t[16]){ 0 }, 16, 60));
	assert_false(dns_records_add_ptr(&records, host.name, 60));
	assert_string_equal(read_again(dns_answer_build(&query, &records, young, 512, out)),
			    "db 60 A");
	assert_string_equal(dns_addrs_text(&again), "127.0.0.1");
	for (unsigned i = 2; i < 100; i++)
		(void)dns_records_add_addr(&records, (uint8_t[]){ 127, 0, 0, (uint8_t)i }, 4, 9);
	assert_int_equal(records.count, DNS_ADDRS_MAX);
	assert_int_equal(records.ttl_s, 9);

	name = question("1.0.0.127.in-addr.arpa", DNS_TYPE_PTR);
	dns_records_init(&records, name.name, DNS_TYPE_PTR, 30);
	assert_true(dns_records_add_ptr(&records, host.name, 60));
	ask(0x0100, "1.0.0.127.in-addr.arpa", DNS_TYPE_PTR, false);
	assert_string_equal(read_again(dns_answer_build(&query, &records, young, 512, out)),
			    "1.0.0.127.in-addr.arpa 60 PTR");
}

static bool keep_odd(void *context, const struct dns_addr *addr)
{
	(void)context;
	return addr->bytes[3] % 2;
}

static void refused_addresses_are_taken_out(void **state)
{
	(void)state;
	dns_begin(&bytes, 0x8180, "a.test", DNS_A);
	dns_cname(&bytes, "@", 90, "b.test");
	for (unsigned i = 0; i < 6; i++)
		dns_record(&bytes, DNS_ANSWER, "b.test", DNS_A, 9, (uint8_t[]){ 192, 0, 2,
										(uint8_t)i }, 4);
	learn("a.test", DNS_A);
	assert_int_equal(dns_records_vet(&records, keep_odd, NULL), 3);
	assert_int_equal(records.count, 3);
	assert_int_equal(records.left_out, 3);
	ask(0x0100, "a.test", DNS_A, false);
	read_again(dns_answer_build(&query, &records, young, 512, out));
	assert_string_equal(dns_addrs_text(&again), "192.0.2.1 192.0.2.3 192.0.2.5");
	assert_int_equal(again.links, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_the_records_with_the_clients_id_and_spelling),
		cmocka_unit_test(ttls_grow_old_and_have_a_limit),
		cmocka_unit_test(chains_and_negative_answers_are_handed_on_with_the_soa),
		cmocka_unit_test(what_does_not_fit_is_cut_whole),
		cmocka_unit_test(a_servers_failure_is_handed_on_as_such),
		cmocka_unit_test(refusals_tell_why_to_those_who_know_edns),
		cmocka_unit_test(no_such_name_comes_with_a_soa_of_our_own),
		cmocka_unit_test(blocked_addresses_may_be_zero),
		cmocka_unit_test(the_longest_refusal_fits_the_smallest_client),
		cmocka_unit_test(a_query_without_a_question_gets_a_header),
		cmocka_unit_test(records_can_be_of_our_own_making),
		cmocka_unit_test(refused_addresses_are_taken_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
