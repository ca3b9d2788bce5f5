/* test_http_body.c - where a request body ends, in reads of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/http.h"
#include "tests/unit/guard.h"

static const uint8_t *bytes(const char *text)
{
	return (const uint8_t *)text;
}

/* Feed in reads of read_size; *taken is how much the body took of it all. */
static enum parsed feed(enum http_framing framing, uint64_t body_len, const uint8_t *data,
			size_t len, size_t read_size, size_t *taken, enum http_bad *bad)
{
	struct http_head head = { .framing = framing, .body_len = body_len };
	enum parsed parsed = PARSED_MORE;
	struct http_body body;

	http_body_start(&body, &head);
	*taken = 0;
	do {
		size_t part = len - *taken < read_size ? len - *taken : read_size, given = part;

		parsed = http_body_feed(&body, guarded(data + *taken, part), &part);
		assert_true(part <= given);
		assert_true(parsed != PARSED_MORE || part == given);
		assert_true(parsed != PARSED_BAD || part == 0);
		*taken += part;
	} while (parsed == PARSED_MORE && *taken < len);
	*bad = body.bad;
	return parsed;
}

static enum parsed feed_chunks(const char *text, size_t *taken)
{
	enum http_bad bad, bad_by_byte;
	size_t len = strlen(text);
	enum parsed parsed = feed(HTTP_BODY_CHUNKED, 0, bytes(text), len, 1, taken, &bad_by_byte);

	assert_int_equal(feed(HTTP_BODY_CHUNKED, 0, bytes(text), len, len, taken, &bad), parsed);
	assert_int_equal(bad, bad_by_byte);
	assert_int_equal(parsed == PARSED_BAD, bad != HTTP_BAD_NONE);
	return parsed;
}

static void http_a_body_ends_where_its_length_says(void **state)
{
	enum http_bad bad;
	size_t taken;

	(void)state;
	assert_int_equal(feed(HTTP_BODY_NONE, 0, bytes("GET"), 3, 3, &taken, &bad), PARSED_OK);
	assert_int_equal(taken, 0);
	assert_int_equal(feed(HTTP_BODY_LENGTH, 0, bytes("GET"), 0, 3, &taken, &bad), PARSED_OK);
	assert_int_equal(taken, 0);
	for (size_t read_size = 1; read_size < 9; read_size++) {
		assert_int_equal(feed(HTTP_BODY_LENGTH, 5, bytes("helloGET"), 8, read_size, &taken,
				      &bad), PARSED_OK);
		assert_int_equal(taken, 5);
	}
	assert_int_equal(feed(HTTP_BODY_LENGTH, 5, bytes("hell"), 4, 4, &taken, &bad), PARSED_MORE);
	assert_int_equal(taken, 4);
}

static void http_every_prefix_of_a_chunked_body_asks_for_more(void **state)
{
	static const char text[] = "5;a=\"b c\"\r\nhello\r\n00a\r\n0123456789\r\n"
				   "000;last\r\nVary: *\r\nX-Y:\t\r\n\r\nGET /";
	size_t len = sizeof(text) - 1 - strlen("GET /"), taken;
	enum http_bad bad;

	(void)state;
	for (size_t have = 1; have < len; have++) {
		assert_int_equal(feed(HTTP_BODY_CHUNKED, 0, bytes(text), have, have, &taken, &bad),
				 PARSED_MORE);
		assert_int_equal(taken, have);
	}
	for (size_t read_size = 1; read_size < sizeof(text); read_size++) {
		assert_int_equal(feed(HTTP_BODY_CHUNKED, 0, bytes(text), sizeof(text) - 1,
				      read_size, &taken, &bad), PARSED_OK);
		assert_int_equal(taken, len);
	}
}

static void http_a_changed_chunk_byte_is_judged_the_same_however_it_arrives(void **state)
{
	static const char text[] = "5;a=b\r\nhello\r\n0\r\nVary: *\r\nHosts: a\r\n\r\n";
	size_t len = sizeof(text) - 1;
	uint8_t copy[sizeof(text)];

	(void)state;
	for (size_t i = 0; i < len * 256; i++) {
		size_t taken, taken_by_byte;
		enum http_bad bad, bad_by_byte;
		enum parsed parsed;

		memcpy(copy, text, len);
		copy[i / 256] = (uint8_t)i;
		parsed = feed(HTTP_BODY_CHUNKED, 0, copy, len, len, &taken, &bad);
		assert_int_equal(feed(HTTP_BODY_CHUNKED, 0, copy, len, 1, &taken_by_byte,
				      &bad_by_byte), parsed);
		assert_int_equal(bad, bad_by_byte);
		assert_true(parsed == PARSED_BAD || taken == taken_by_byte);
	}
}

static void http_chunk_framing_is_never_guessed(void **state)
{
	static const char *const bad[] = {
		"\r\n", ";a\r\n", " 3\r\n", "3 \r\n", "3 ;a\r\n", "3\t\r\n", "0x3\r\n",
		"+3\r\n", "-3\r\n",
		"3_0\r\n", "g\r\n", "3\n", "3\r\r\n", "3;a\n", "3;a\r;b\r\n", "3;\x01\r\n",
		"3\r\nabcX\r\n", "3\r\nabc\n", "3\r\nabc\r0", "3\r\nab\r\n0\r\n\r\n",
		"0\r\n\n", "0\r\n\rX",
		"8000000000000000\r\n", "10000000000000000\r\n", "fffffffffffffffff\r\n",
		"0\r\n a: b\r\n", "0\r\n: b\r\n", "0\r\na : b\r\n", "0\r\na\r\n",
		"0\r\na: \x7f\r\n",
		"0\r\na: b\n", "0\r\na: b\rc", "0\r\na: b\r\n c\r\n",
		"0\r\nHost: a\r\n", "0\r\nhOST:\r\n", "0\r\nContent-Length: 3\r\n",
		"0\r\nUpgrade: h2c\r\n",
		"0\r\na: b\r\nTransfer-Encoding: chunked\r\n", "0\r\nConnection: close\r\n",
	};
	size_t taken;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(feed_chunks(bad[i], &taken), PARSED_BAD);
	assert_int_equal(feed_chunks("7fffffffffffffff\r\nabc", &taken), PARSED_MORE);
	assert_int_equal(feed_chunks("00000000000000000003\r\nabc\r\n0\r\n\r\n", &taken),
			 PARSED_OK);
	assert_int_equal(feed_chunks("0\r\nX-A-Very-Long-Name-That-Is-Not-Kept-Whole: b\r\n\r\n",
				     &taken), PARSED_OK);
}

static void http_chunk_lines_and_trailers_are_bounded(void **state)
{
	static char text[2 * HTTP_TRAILERS_MAX];
	size_t taken;

	(void)state;
	memset(text, '0', HTTP_CHUNK_LINE_MAX + 1);
	assert_int_equal(feed_chunks(text, &taken), PARSED_BAD);
	text[1] = ';';
	assert_int_equal(feed_chunks(text, &taken), PARSED_BAD);
	text[HTTP_CHUNK_LINE_MAX] = '\0';
	assert_int_equal(feed_chunks(text, &taken), PARSED_MORE);

	memcpy(text, "0\r\n", 3);
	for (size_t at = 3; at < 3 + HTTP_TRAILERS_MAX; at += 8)
		memcpy(text + at, "a: bcd\r\n", 9);
	assert_int_equal(feed_chunks(text, &taken), PARSED_BAD);
	text[HTTP_TRAILERS_MAX - 8] = '\0';
	assert_int_equal(feed_chunks(text, &taken), PARSED_MORE);
}

static void http_a_bad_body_stays_bad(void **state)
{
	struct http_head head = { .framing = HTTP_BODY_CHUNKED };
	struct http_body body;
	size_t len = 1;

	(void)state;
	http_body_start(&body, &head);
	assert_int_equal(http_body_feed(&body, bytes("x"), &len), PARSED_BAD);
	len = 5;
	assert_int_equal(http_body_feed(&body, bytes("0\r\n\r\n"), &len), PARSED_BAD);
	assert_int_equal(len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_a_body_ends_where_its_length_says),
		cmocka_unit_test(http_every_prefix_of_a_chunked_body_asks_for_more),
		cmocka_unit_test(http_a_changed_chunk_byte_is_judged_the_same_however_it_arrives),
		cmocka_unit_test(http_chunk_framing_is_never_guessed),
		cmocka_unit_test(http_chunk_lines_and_trailers_are_bounded),
		cmocka_unit_test(http_a_bad_body_stays_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
