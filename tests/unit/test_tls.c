/* test_tls.c - the server name of a ClientHello, whole, cut, damaged and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/tls.h"
#include "tests/unit/guard.h"
#include "tests/unit/tls_bytes.h"

static const size_t read_sizes[] = { 1, 2, 3, 7, 1460, 16384 };

static struct tls_hello hello;                  /* of the last parse */

static enum parsed parse(const struct bytes *wire)
{
	memset(&hello, 0, sizeof(hello));
	return tls_client_hello(&hello, guarded(wire->at, wire->len), wire->len);
}

/* As parse(), with step more bytes each time until there is a verdict. */
static enum parsed parse_in_steps(const struct bytes *wire, size_t step)
{
	enum parsed parsed = PARSED_MORE;

	memset(&hello, 0, sizeof(hello));
	for (size_t len = 0; parsed == PARSED_MORE && len < wire->len; ) {
		len = len + step < wire->len ? len + step : wire->len;
		parsed = tls_client_hello(&hello, wire->at, len);
	}
	return parsed;
}

/* Whole and in steps of all sizes: the same verdict and results. */
static enum parsed parse_all_ways(const struct bytes *wire)
{
	enum parsed parsed = parse(wire);
	struct tls_hello whole = hello;

	for (size_t i = 0; i < ARRAY_LEN(read_sizes); i++) {
		assert_int_equal(parse_in_steps(wire, read_sizes[i]), parsed);
		assert_memory_equal(&hello, &whole, sizeof(whole));
	}
	return parsed;
}

static void assert_bad(const struct bytes *wire, enum tls_bad bad)
{
	assert_int_equal(parse_all_ways(wire), PARSED_BAD);
	assert_int_equal(hello.bad, bad);
	assert_int_equal(hello.name_len, 0);
	assert_int_equal(hello.wire_len, 0);
}

static struct bytes with_server_name(const void *data, size_t len)
{
	struct bytes extensions = { .len = 0 };

	put_extension(&extensions, 0, data, len);
	return with_extensions(&extensions);
}

static void tls_name_is_found_and_normalised(void **state)
{
	struct bytes wire = { .len = 0 };

	(void)state;
	put_hello_for(&wire, "Allowed.TEST.");
	assert_int_equal(parse_all_ways(&wire), PARSED_OK);
	assert_string_equal(hello.name, "allowed.test");
	assert_int_equal(hello.name_len, 12);
	assert_int_equal(hello.wire_len, wire.len);
	assert_int_equal(hello.bad, TLS_BAD_NONE);
	assert_false(hello.ech);
	assert_string_equal(hello.alpn, "");
}

static void tls_every_prefix_of_a_hello_asks_for_more(void **state)
{
	struct bytes extensions = { .len = 0 }, message = { .len = 0 };

	(void)state;
	put_server_name(&extensions, "allowed.test", 12);
	put_hello(&message, &extensions);
	for (size_t record_len = 1; record_len <= message.len; record_len++) {
		struct bytes wire = { .len = 0 };

		put_records(&wire, &message, record_len);
		size_t whole = wire.len;

		for (wire.len = 0; wire.len < whole; wire.len++)
			assert_int_equal(parse(&wire), PARSED_MORE);
		assert_int_equal(parse_all_ways(&wire), PARSED_OK);
		assert_string_equal(hello.name, "allowed.test");
		assert_int_equal(hello.wire_len, wire.len);
	}
}

static void tls_any_one_byte_may_change_without_an_overrun(void **state)
{
	struct bytes wire = plain_hello();
	size_t verdicts[3] = { 0 };

	(void)state;
	for (size_t i = 0; i < wire.len; i++) {
		uint8_t was = wire.at[i];

		for (int value = 0; value < 256; value++) {
			wire.at[i] = (uint8_t)value;
			verdicts[parse(&wire)]++;
			if (hello.name_len > 0)
				assert_int_equal(strlen(hello.name), hello.name_len);
		}
		wire.at[i] = was;
	}
	assert_true(verdicts[PARSED_OK] > 0);
	assert_true(verdicts[PARSED_MORE] > 0);
	assert_true(verdicts[PARSED_BAD] > 0);
}

static void tls_bytes_in_later_records_change_nothing(void **state)
{
	struct bytes wire = plain_hello();
	size_t len = wire.len;

	(void)state;
	put(&wire, "\x16\x03\x03\0\0GET /", 10);
	assert_int_equal(parse_all_ways(&wire), PARSED_OK);
	assert_int_equal(hello.wire_len, len);
}

static void tls_bytes_behind_the_hello_in_its_record_are_bad(void **state)
{
	struct bytes extensions = { .len = 0 }, message = { .len = 0 }, wire = { .len = 0 };

	(void)state;
	put_server_name(&extensions, "allowed.test", 12);
	put_hello(&message, &extensions);
	put_zeros(&message, 1);
	put_records(&wire, &message, 16384);
	assert_bad(&wire, TLS_BAD_MESSAGE);
	wire.len--;
	assert_int_equal(parse_all_ways(&wire), PARSED_MORE);
	wire.len = 0;
	put_records(&wire, &message, message.len - 2);  /* the second record has one byte of each */
	assert_bad(&wire, TLS_BAD_MESSAGE);
	wire.len = 0;
	put_records(&wire, &message, message.len - 1);  /* a record of its own: not of this hello */
	assert_int_equal(parse_all_ways(&wire), PARSED_OK);
	assert_int_equal(hello.wire_len, wire.len - 6);
}

static void tls_wrong_headers_are_bad_at_the_first_wrong_byte(void **state)
{
	static const struct {
		const char *data;
		size_t len;             /* with the wrong byte */
		enum tls_bad bad;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n", 1, TLS_BAD_RECORD },
		{ "SSH-2.0-OpenSSH\r\n", 1, TLS_BAD_RECORD },
		{ "\x80\x2e\x01\x03\x01", 1, TLS_BAD_RECORD },          /* SSL 2.0 */
		{ "\x15\x03\x01\x00\x02", 1, TLS_BAD_RECORD },          /* alert */
		{ "\x14\x03\x01\x00\x01", 1, TLS_BAD_RECORD },          /* change_cipher_spec */
		{ "\x17\x03\x01\x00\x01", 1, TLS_BAD_RECORD },          /* early data */
		{ "\x16\x02\x01\x00\x40", 2, TLS_BAD_RECORD },          /* version 2.1 */
		{ "\x16\x04\x01\x00\x40", 2, TLS_BAD_RECORD },
		{ "\x16\xfe\xff\x00\x00", 2, TLS_BAD_RECORD },          /* DTLS */
		{ "\x16\x03\x01\x41\x00", 4, TLS_BAD_RECORD },          /* over 2^14 */
		{ "\x16\x03\x01\x40\x01", 5, TLS_BAD_RECORD },
		{ "\x16\x03\x01\x00\x00", 5, TLS_BAD_RECORD },          /* empty */
		{ "\x16\x03\x01\x00\x40\x02", 6, TLS_BAD_MESSAGE },     /* ServerHello */
		{ "\x16\x03\x01\x00\x40\x00", 6, TLS_BAD_MESSAGE },     /* HelloRequest */
		{ "\x16\x03\x01\x00\x40\x01\x02", 7, TLS_BAD_TOO_LARGE },
		{ "\x16\x03\x01\x00\x40\x01\x01\x00\x01", 9, TLS_BAD_TOO_LARGE },
		{ "\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x00", 11, TLS_BAD_RECORD },
		{ "\x16\x03\x01\x00\x01\x01\x14\x03\x03\x00\x01\x01", 7, TLS_BAD_RECORD },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes wire = { .len = 0 };

		put(&wire, cases[i].data, cases[i].len - 1);
		assert_int_equal(parse_all_ways(&wire), PARSED_MORE);
		put(&wire, cases[i].data + wire.len, 1);
		assert_bad(&wire, cases[i].bad);
	}
}

static void tls_record_version_may_be_any_3(void **state)
{
	struct bytes wire = plain_hello();

	(void)state;
	for (unsigned minor = 0; minor < 256; minor++) {
		wire.at[2] = (uint8_t)minor;
		assert_int_equal(parse(&wire), PARSED_OK);
	}
}

static void tls_fields_before_the_extensions_are_checked(void **state)
{
	enum { VERSION = 0, RANDOM = 2, SESSION_ID = 34 };
	static const struct {
		const char *fields;     /* after the random */
		size_t len;
		enum parsed parsed;
	} cases[] = {
		{ "\0" "\0\2\x13\1" "\1\0", 7, PARSED_OK },
		{ "\4abcd" "\0\4\x13\1\x13\2" "\2\1\0", 14, PARSED_OK },
		{ "\x20" "0123456789abcdef0123456789abcdef" "\0\2\x13\1" "\1\0", 39, PARSED_OK },
		{ "\x21" "0123456789abcdef0123456789abcdefX" "\0\2\x13\1" "\1\0", 40, PARSED_BAD },
		{ "\0" "\0\0" "\1\0", 5, PARSED_BAD },                  /* no cipher suite */
		{ "\0" "\0\3\x13\1\x13" "\1\0", 8, PARSED_BAD },        /* one and a half */
		{ "\0" "\0\2\x13\1" "\0", 6, PARSED_BAD },              /* no compression */
		{ "\0" "\xff\xfe\x13\1" "\1\0", 7, PARSED_BAD },
		{ "\xff" "\0\2\x13\1" "\1\0", 7, PARSED_BAD },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes extensions = { .len = 0 }, message = { .len = 0 }, wire = { .len = 0 };

		put_server_name(&extensions, "a.test", 6);
		put_number(&message, 1, 1);
		put_number(&message, SESSION_ID + cases[i].len + 2 + extensions.len, 3);
		put_number(&message, 0x0301, 2);
		put_zeros(&message, SESSION_ID - RANDOM);
		put(&message, cases[i].fields, cases[i].len);
		put_vector(&message, 2, extensions.at, extensions.len);
		put_records(&wire, &message, 16384);
		assert_int_equal(parse_all_ways(&wire), cases[i].parsed);

		wire.at[9 + VERSION] = 2;
		assert_bad(&wire, TLS_BAD_MESSAGE);
	}
}

static void tls_extensions_fill_the_message_exactly(void **state)
{
	struct bytes wire = plain_hello();
	size_t extensions_len_at = 9 + 2 + 32 + 1 + 4 + 2;

	(void)state;
	wire.at[extensions_len_at + 1]--;       /* the block ends inside an extension */
	assert_bad(&wire, TLS_BAD_MESSAGE);
	wire.at[extensions_len_at + 1] += 2;    /* the block overruns the message */
	assert_bad(&wire, TLS_BAD_MESSAGE);
	wire.at[extensions_len_at + 1]--;
	put_zeros(&wire, 4);                    /* the message goes on behind the block */
	wire.at[4] += 4;
	wire.at[8] += 4;
	assert_bad(&wire, TLS_BAD_MESSAGE);
	wire = plain_hello();
	wire.at[extensions_len_at + 5]++;       /* an extension overruns the block */
	assert_bad(&wire, TLS_BAD_MESSAGE);
	wire.at[extensions_len_at + 5]--;
	assert_int_equal(parse(&wire), PARSED_OK);

	struct bytes extensions = { .len = 0 };

	put_server_name(&extensions, "a.test", 6);
	put_number(&extensions, 0, 3);          /* three quarters of an extension header */
	wire = with_extensions(&extensions);
	assert_bad(&wire, TLS_BAD_MESSAGE);
}

static void tls_hello_without_a_name_is_bad(void **state)
{
	struct bytes extensions = { .len = 0 }, wire;

	(void)state;
	wire = with_extensions(&extensions);            /* an empty block */
	assert_bad(&wire, TLS_BAD_NO_NAME);
	put_extension(&extensions, 0xffce, "draft ESNI", 10);
	put_extension(&extensions, 0xfe0d, "ECH", 3);
	wire = with_extensions(&extensions);
	assert_bad(&wire, TLS_BAD_NO_NAME);

	wire = with_extensions(&(struct bytes){ .len = 0 });
	wire.len -= 2;                                  /* not even a block */
	wire.at[4] -= 2;
	wire.at[8] -= 2;
	assert_bad(&wire, TLS_BAD_NO_NAME);
}

static void tls_server_name_holds_exactly_one_host_name(void **state)
{
	static const struct str bodies[] = {
		STR(""), STR("\0"), STR("\0\0"), STR("\0\1\0"), STR("\0\3\0\0\0"),
		STR("\0\7\1\0\4test"),                          /* type 1 */
		STR("\0\x0e\0\0\4test\0\0\4evil"),              /* two names */
		STR("\0\x0e\1\0\4test\0\0\4evil"),
		STR("\0\7\0\0\4test\0"), STR("\0\6\0\0\4test"), /* longer than its lists say */
		STR("\0\x08\0\0\4test"), STR("\0\7\0\0\5test"), /* shorter */
		STR("\0\7\0\0\3test"), STR("\0\x08\0\0\4testX"),
		STR("\0\7\0\0\4te\0t"), STR("\0\7\0\0\4te t"), STR("\0\x0a\0\0\7" "1.2.3.4"),
	};
	struct bytes wire;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		wire = with_server_name(bodies[i].at, bodies[i].len);
		assert_bad(&wire, TLS_BAD_NAME);
	}
	wire = with_server_name("\0\7\0\0\4test", 9);
	assert_int_equal(parse(&wire), PARSED_OK);
}

static void tls_extension_may_not_come_twice(void **state)
{
	static const unsigned types[] = { 0, 1, 16, 63, 64, 0x0a0a, 0xfe0d, 0xffff };
	struct bytes wire;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct bytes extensions = { .len = 0 };

		for (int copies = 0; copies < 2; copies++)
			put_extension(&extensions, types[i],
				      types[i] == 0 ? "\0\7\0\0\4test" : "\0\3\2h2",
				      types[i] == 0 ? 9 : 5);
		if (types[i] != 0)
			put_server_name(&extensions, "a.test", 6);
		wire = with_extensions(&extensions);
		assert_bad(&wire, TLS_BAD_MESSAGE);
	}
}

static void tls_hello_may_have_thousands_of_extensions(void **state)
{
	struct bytes extensions = { .len = 0 }, message = { .len = 0 }, wire = { .len = 0 };

	(void)state;
	for (unsigned type = 1000; type < 10000; type++)
		put_extension(&extensions, type, "", 0);
	put_server_name(&extensions, "a.test", 6);
	put_hello(&message, &extensions);
	put_records(&wire, &message, 16384);
	assert_int_equal(parse_all_ways(&wire), PARSED_OK);
	assert_string_equal(hello.name, "a.test");
}

static void tls_ech_is_reported(void **state)
{
	struct bytes extensions = { .len = 0 }, wire;

	(void)state;
	put_extension(&extensions, 0xfe0d, "\0", 1);
	put_server_name(&extensions, "outer.test", 10);
	wire = with_extensions(&extensions);
	assert_int_equal(parse_all_ways(&wire), PARSED_OK);
	assert_string_equal(hello.name, "outer.test");
	assert_true(hello.ech);
}

static enum parsed parse_alpn(struct str body)
{
	struct bytes extensions = { .len = 0 }, wire;

	put_extension(&extensions, 16, body.at, body.len);
	put_server_name(&extensions, "a.test", 6);
	wire = with_extensions(&extensions);
	return parse_all_ways(&wire);
}

static void tls_alpn_is_told_as_printable_text(void **state)
{
	char list[3 + 255] = { 1, 0, (char)255 };

	(void)state;
	assert_int_equal(parse_alpn(STR("\0\x0c\2h2\x08http/1.1")), PARSED_OK);
	assert_string_equal(hello.alpn, "h2,http/1.1");
	assert_int_equal(parse_alpn(STR("\0\x0c\x0b" "a\0b\x1b" "c,d\n \xff~")), PARSED_OK);
	assert_string_equal(hello.alpn, "a?b?c?d??" "?~");

	memset(list + 3, 'x', 255);
	assert_int_equal(parse_alpn((struct str){ list, sizeof(list) }), PARSED_OK);
	assert_int_equal(strlen(hello.alpn), TLS_ALPN_TEXT_MAX - 1);
	assert_string_equal(hello.alpn + TLS_ALPN_TEXT_MAX - 5, "x...");

	list[1] = 1 + TLS_ALPN_TEXT_MAX - 1;            /* just fits */
	list[0] = 0;
	list[2] = TLS_ALPN_TEXT_MAX - 1;
	assert_int_equal(parse_alpn((struct str){ list, TLS_ALPN_TEXT_MAX + 2 }), PARSED_OK);
	assert_string_equal(hello.alpn + TLS_ALPN_TEXT_MAX - 5, "xxxx");
}

static void tls_alpn_must_be_well_formed(void **state)
{
	static const struct str bodies[] = {
		STR(""), STR("\0"), STR("\0\0"), STR("\0\1\0"), STR("\0\3\2h"), STR("\0\3\3h2"),
		STR("\0\3\1h2"), STR("\0\3\2h2\0"), STR("\0\4\2h2\0"), STR("\0\4\2h2"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		assert_int_equal(parse_alpn(bodies[i]), PARSED_BAD);
		assert_int_equal(hello.bad, TLS_BAD_MESSAGE);
	}
}

static void tls_hello_may_be_64_kib_and_no_larger(void **state)
{
	struct bytes wire = sized_hello(TLS_HELLO_MAX, 16384);

	(void)state;
	assert_int_equal(parse(&wire), PARSED_OK);
	assert_string_equal(hello.name, "a.test");
	assert_int_equal(parse_in_steps(&wire, 1), PARSED_OK);
	assert_int_equal(hello.wire_len, wire.len);

	wire.len = 9;                                   /* one byte more: known from the header */
	wire.at[8]++;
	assert_bad(&wire, TLS_BAD_TOO_LARGE);
}

static void tls_hello_fits_a_buffer_of_wire_max_or_is_bad(void **state)
{
	static const size_t record_lens[] = { 1, 2, 7, 9, 10, 11, 13 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(record_lens); i++) {
		size_t body_len = 26200;                /* 1: 157k on the wire, 13: 36k */
		struct bytes wire = sized_hello(body_len, record_lens[i]);
		bool fits = wire.len <= TLS_HELLO_WIRE_MAX;

		assert_int_equal(parse_all_ways(&wire), fits ? PARSED_OK : PARSED_BAD);
		assert_int_equal(hello.bad, fits ? TLS_BAD_NONE : TLS_BAD_TOO_LARGE);
		if (wire.len > TLS_HELLO_WIRE_MAX)
			wire.len = TLS_HELLO_WIRE_MAX;
		assert_int_not_equal(parse(&wire), PARSED_MORE);
	}
}

static void tls_record_that_ends_behind_wire_max_is_bad(void **state)
{
	struct bytes wire = sized_hello(20000, 1);

	(void)state;
	wire.len = 16300 * 6;                           /* 97800: 504 bytes of room */
	put_number(&wire, 0x16030301f4, 5);
	assert_bad(&wire, TLS_BAD_TOO_LARGE);           /* 505 with its header */
	wire.at[wire.len - 1]--;
	assert_int_equal(parse_all_ways(&wire), PARSED_MORE);
}

static void tls_verdict_stays(void **state)
{
	struct bytes wire = plain_hello();

	(void)state;
	assert_int_equal(parse(&wire), PARSED_OK);
	put(&wire, "GET /", 5);
	assert_int_equal(tls_client_hello(&hello, wire.at, wire.len), PARSED_OK);
	assert_string_equal(hello.name, "allowed.test");

	wire.len = 0;
	put_hello_for(&wire, "not a name");
	assert_int_equal(parse(&wire), PARSED_BAD);
	assert_int_equal(tls_client_hello(&hello, wire.at, wire.len), PARSED_BAD);
	assert_int_equal(hello.bad, TLS_BAD_NAME);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_name_is_found_and_normalised),
		cmocka_unit_test(tls_every_prefix_of_a_hello_asks_for_more),
		cmocka_unit_test(tls_any_one_byte_may_change_without_an_overrun),
		cmocka_unit_test(tls_bytes_in_later_records_change_nothing),
		cmocka_unit_test(tls_bytes_behind_the_hello_in_its_record_are_bad),
		cmocka_unit_test(tls_wrong_headers_are_bad_at_the_first_wrong_byte),
		cmocka_unit_test(tls_record_version_may_be_any_3),
		cmocka_unit_test(tls_fields_before_the_extensions_are_checked),
		cmocka_unit_test(tls_extensions_fill_the_message_exactly),
		cmocka_unit_test(tls_hello_without_a_name_is_bad),
		cmocka_unit_test(tls_server_name_holds_exactly_one_host_name),
		cmocka_unit_test(tls_extension_may_not_come_twice),
		cmocka_unit_test(tls_hello_may_have_thousands_of_extensions),
		cmocka_unit_test(tls_ech_is_reported),
		cmocka_unit_test(tls_alpn_is_told_as_printable_text),
		cmocka_unit_test(tls_alpn_must_be_well_formed),
		cmocka_unit_test(tls_hello_may_be_64_kib_and_no_larger),
		cmocka_unit_test(tls_hello_fits_a_buffer_of_wire_max_or_is_bad),
		cmocka_unit_test(tls_record_that_ends_behind_wire_max_is_bad),
		cmocka_unit_test(tls_verdict_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
