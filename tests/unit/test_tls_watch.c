/* test_tls_watch.c - no second ClientHello passes unseen (RFC 8446 4.1.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/tls.h"
#include "tests/unit/guard.h"
#include "tests/unit/tls_bytes.h"

static const char retry_random[] =
	"\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91"
	"\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c";
static const char other_random[] = "0123456789abcdef0123456789abcdef";
#define CCS "\x14\3\3\0\1\1"
#define ALERT "\x15\3\3\0\2\1\x70"              /* warning, unrecognized_name */
#define DATA "\x17\3\3\0\3abc"

/* A ServerHello message with this random and a few extensions' bytes. */
static struct bytes server_hello(const char *random)
{
	struct bytes message = { .len = 0 };

	put_number(&message, 2, 1);
	put_number(&message, 2 + 32 + 1 + 2 + 1 + 2 + 6, 3);
	put_number(&message, 0x0303, 2);
	put(&message, random, 32);
	put(&message, "\0\x13\1\0", 4);
	put_vector(&message, 2, "\0\x2b\0\2\3\4", 6);
	return message;
}

/* The same in records. */
static struct bytes server_records(const char *random, size_t record_len)
{
	struct bytes message = server_hello(random), wire = { .len = 0 };

	put_records(&wire, &message, record_len);
	return wire;
}

typedef enum tls_passes watch_fn(struct tls_watch *, const uint8_t *, size_t *);

/* Feed data in steps; *passed is how many bytes may be sent on.  Ends at the first answer that is
 * not TLS_PASS. */
static enum tls_passes feed_in(watch_fn *fn, struct tls_watch *watch, const void *data, size_t len,
			       size_t step, size_t *passed)
{
	*passed = 0;
	for (size_t at = 0; at < len; at += step) {
		size_t n = len - at < step ? len - at : step, offered = n;
		enum tls_passes passes = fn(watch, guarded((const uint8_t *)data + at, n), &n);

		*passed += n;
		if (passes != TLS_PASS)
			return passes;
		assert_int_equal(n, offered);
	}
	return TLS_PASS;
}

static enum tls_passes feed(watch_fn *fn, struct tls_watch *watch, struct str text, size_t step)
{
	size_t passed;

	return feed_in(fn, watch, text.at, text.len, step, &passed);
}

static struct str text_of(const struct bytes *bytes)
{
	return (struct str){ (const char *)bytes->at, bytes->len };
}

/* A watch in the state, as a conversation gets there. */
static struct tls_watch watch_in(enum tls_watch_state state)
{
	static struct bytes retry, hello;
	struct tls_watch watch = { 0 };

	if (retry.len == 0) {
		retry = server_records(retry_random, 16384);
		hello = server_records(other_random, 16384);
	}
	if (state == TLS_WATCH_RETRY || state == TLS_WATCH_SERVER_AGAIN)
		feed(tls_watch_server, &watch, text_of(&retry), 16384);
	if (state == TLS_WATCH_SERVER_AGAIN)
		tls_watch_hello_passed(&watch);
	if (state == TLS_WATCH_BLIND)
		feed(tls_watch_server, &watch, text_of(&hello), 16384);
	assert_int_equal(watch.state, state);
	return watch;
}

/* What comes of the bytes in this state, the same for every cut. */
static enum tls_passes outcome(watch_fn *fn, enum tls_watch_state state, struct str text,
			       enum tls_watch_state *after)
{
	static const size_t steps[] = { 1, 2, 3, 7, 1460, 16384 };
	struct tls_watch whole = watch_in(state);
	enum tls_passes passes = feed(fn, &whole, text, text.len);

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct tls_watch watch = watch_in(state);

		assert_int_equal(feed(fn, &watch, text, steps[i]), passes);
		if (passes != TLS_VIOLATION)
			assert_int_equal(watch.state, whole.state);
	}
	*after = whole.state;
	return passes;
}

static void assert_client(enum tls_watch_state state, struct str text, enum tls_passes passes)
{
	enum tls_watch_state after;

	assert_int_equal(outcome(tls_watch_client, state, text, &after), passes);
	assert_int_equal(after, state);
}

static void assert_server(enum tls_watch_state state, struct str text, enum tls_watch_state after)
{
	enum tls_watch_state state_after;

	assert_int_equal(outcome(tls_watch_server, state, text, &state_after), TLS_PASS);
	assert_int_equal(state_after, after);
}

static void assert_server_violates(enum tls_watch_state state, struct str text)
{
	enum tls_watch_state after;

	assert_int_equal(outcome(tls_watch_server, state, text, &after), TLS_VIOLATION);
}

static void watch_server_hello_ends_the_watch(void **state)
{
	struct bytes wire = server_records(other_random, 16384);

	(void)state;
	put(&wire, CCS DATA "whatever is encrypted", sizeof(CCS DATA "whatever is encrypted"));
	assert_server(TLS_WATCH_SERVER, text_of(&wire), TLS_WATCH_BLIND);
	assert_server(TLS_WATCH_SERVER_AGAIN, text_of(&wire), TLS_WATCH_BLIND);
	assert_client(TLS_WATCH_BLIND, STR("\x16\3\1 and whatever"), TLS_PASS);
	assert_server(TLS_WATCH_BLIND, STR("\x16\3\1 and whatever"), TLS_WATCH_BLIND);
}

static void watch_server_message_may_be_cut_into_records(void **state)
{
	struct bytes message = server_hello(retry_random);

	(void)state;
	for (size_t record_len = 1; record_len <= message.len; record_len++) {
		struct bytes retry = server_records(retry_random, record_len);
		struct bytes hello = server_records(other_random, record_len);

		assert_server(TLS_WATCH_SERVER, text_of(&retry), TLS_WATCH_RETRY);
		assert_server(TLS_WATCH_SERVER, text_of(&hello), TLS_WATCH_BLIND);
		assert_server(TLS_WATCH_SERVER_AGAIN, text_of(&hello), TLS_WATCH_BLIND);
		assert_server_violates(TLS_WATCH_SERVER_AGAIN, text_of(&retry));

		for (retry.len--; retry.len > 0; retry.len--)
			assert_server(TLS_WATCH_SERVER, text_of(&retry), TLS_WATCH_SERVER);
	}
}

static void watch_any_random_but_one_is_a_server_hello(void **state)
{
	(void)state;
	for (size_t i = 0; i < 32; i++) {
		char random[32];

		memcpy(random, retry_random, sizeof(random));
		random[i] ^= 1;
		struct bytes wire = server_records(random, 16384);

		assert_server(TLS_WATCH_SERVER, text_of(&wire), TLS_WATCH_BLIND);
	}
}

static void watch_server_says_nothing_but_alerts_before_its_hello(void **state)
{
	static const struct str bad[] = {
		STR("HTTP/1.1 400 Bad Request"), STR(CCS), STR(DATA), STR("\x18\3\3\0\1x"),
		STR("\x16\2\3\0\1"), STR("\x16\3\3\0\0"), STR("\x16\3\3\x40\1"),
		STR("\x16\3\3\0\4\1\0\0\0"),                    /* a ClientHello */
		STR("\x16\3\3\0\4\x0b\0\0\0"),                  /* a Certificate */
		STR("\x15\3\3\0\1\1"), STR("\x15\3\3\0\3\1\0\0"), STR("\0"),
		STR("\x16\3\3\0\1\2" ALERT),                    /* inside a message */
	};

	(void)state;
	assert_server(TLS_WATCH_SERVER, STR(ALERT), TLS_WATCH_SERVER);
	assert_server(TLS_WATCH_SERVER, STR(ALERT ALERT), TLS_WATCH_SERVER);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_server_violates(TLS_WATCH_SERVER, bad[i]);
		if (bad[i].at[0] != TLS_RECORD_CCS)
			assert_server_violates(TLS_WATCH_SERVER_AGAIN, bad[i]);
	}
}

static void watch_server_hello_has_a_possible_length_and_version(void **state)
{
	struct bytes wire = server_records(other_random, 16384);

	(void)state;
	wire.at[8] = 37;                                /* too short for its fields */
	assert_server_violates(TLS_WATCH_SERVER, text_of(&wire));
	wire.at[8] = 38;
	assert_server(TLS_WATCH_SERVER, text_of(&wire), TLS_WATCH_BLIND);
	wire.at[6] = 2;                                 /* 128 KiB */
	assert_server_violates(TLS_WATCH_SERVER, text_of(&wire));
	wire.at[6] = 0;
	wire.at[9] = 4;
	assert_server_violates(TLS_WATCH_SERVER, text_of(&wire));
}

static void watch_nothing_follows_a_retry_but_ccs_and_alerts(void **state)
{
	struct bytes message = server_hello(retry_random), wire = { .len = 0 };
	struct bytes hello = server_records(other_random, 16384);

	(void)state;
	assert_server(TLS_WATCH_RETRY, STR(CCS), TLS_WATCH_RETRY);
	assert_server(TLS_WATCH_RETRY, STR(ALERT), TLS_WATCH_RETRY);
	assert_server_violates(TLS_WATCH_RETRY, STR(DATA));
	assert_server_violates(TLS_WATCH_RETRY, STR("\x16"));
	assert_server_violates(TLS_WATCH_RETRY, text_of(&hello));

	put(&message, "\x0b", 1);                       /* in the same record */
	put_records(&wire, &message, 16384);
	assert_server_violates(TLS_WATCH_SERVER, text_of(&wire));
	wire.len--;                                     /* announced, not there yet */
	assert_server_violates(TLS_WATCH_SERVER, text_of(&wire));
}

static void watch_client_says_no_hello_before_a_retry(void **state)
{
	struct bytes hello = { .len = 0 };

	(void)state;
	put(&hello, CCS, 6);
	put_hello_for(&hello, "evil.test");
	assert_client(TLS_WATCH_SERVER, text_of(&hello), TLS_VIOLATION);
	assert_client(TLS_WATCH_SERVER_AGAIN, text_of(&hello), TLS_VIOLATION);
	assert_client(TLS_WATCH_SERVER, STR("\x16"), TLS_VIOLATION);
}

static void watch_client_may_send_ccs_alerts_and_early_data(void **state)
{
	static const struct str bad[] = {
		STR("GET / HTTP/1.1"), STR("\x80"), STR("\x18\3\3\0\1x"), STR("\x17\2"),
		STR("\x17\3\3\0\0"), STR("\x17\3\3\x41\1"), STR("\x14\3\3\0\0"),
		STR("\x14\3\3\0\2\1\1"), STR("\x15\3\3\0\4\1\0\1\0"), STR(DATA "\x19"),
	};
	struct bytes data = { .len = 0 };

	(void)state;
	put(&data, CCS DATA DATA ALERT, sizeof(CCS DATA DATA ALERT) - 1);
	put_number(&data, 0x1703034100, 5);             /* the largest ciphertext, 2^14 + 256 */
	for (size_t i = 0; i < 16640; i++)
		put_number(&data, 22, 1);
	put(&data, DATA, 8);
	for (int i = TLS_WATCH_SERVER; i <= TLS_WATCH_SERVER_AGAIN; i++) {
		assert_client((enum tls_watch_state)i, text_of(&data), TLS_PASS);
		for (size_t j = 0; j < ARRAY_LEN(bad); j++)
			assert_client((enum tls_watch_state)i, bad[j], TLS_VIOLATION);
	}
}

static void watch_tells_where_the_second_hello_starts(void **state)
{
	struct bytes wire = { .len = 0 };
	size_t passed;

	(void)state;
	put(&wire, CCS DATA, 14);
	put_hello_for(&wire, "allowed.test");
	for (size_t step = 1; step <= wire.len; step++) {
		struct tls_watch watch = watch_in(TLS_WATCH_RETRY);

		assert_int_equal(feed_in(tls_watch_client, &watch, wire.at, wire.len, step,
					 &passed), TLS_HELLO_NEXT);
		assert_int_equal(passed, 14);
		passed = wire.len - 14;                 /* asked again, it says the same */
		assert_int_equal(tls_watch_client(&watch, wire.at + 14, &passed), TLS_HELLO_NEXT);
		assert_int_equal(passed, 0);
	}
}

/* Both directions byte by byte, the way a relay does it. */
static void watch_follows_a_retry_conversation_in_one_byte_reads(void **state)
{
	struct bytes retry = server_records(retry_random, 11), client = { .len = 0 };
	struct bytes again = server_records(other_random, 5);
	struct tls_watch watch = { 0 };
	struct tls_hello hello = { 0 };
	enum parsed parsed = PARSED_MORE;
	size_t passed, len = 0;

	(void)state;
	put(&retry, CCS, 6);
	put(&client, CCS, 6);
	put_hello_for(&client, "second.test");
	put(&client, DATA, 8);

	assert_int_equal(feed(tls_watch_client, &watch, STR(DATA), 1), TLS_PASS);
	assert_int_equal(feed(tls_watch_server, &watch, text_of(&retry), 1), TLS_PASS);
	assert_int_equal(watch.state, TLS_WATCH_RETRY);
	assert_int_equal(feed_in(tls_watch_client, &watch, client.at, client.len, 1, &passed),
			 TLS_HELLO_NEXT);
	while (parsed == PARSED_MORE)
		parsed = tls_client_hello(&hello, client.at + passed, ++len);
	assert_int_equal(parsed, PARSED_OK);
	assert_string_equal(hello.name, "second.test");
	assert_int_equal(passed + hello.wire_len, client.len - 8);

	tls_watch_hello_passed(&watch);
	assert_int_equal(feed(tls_watch_client, &watch, STR(DATA), 1), TLS_PASS);
	assert_int_equal(feed(tls_watch_server, &watch, text_of(&again), 1), TLS_PASS);
	assert_int_equal(watch.state, TLS_WATCH_BLIND);
}

static void watch_any_one_byte_of_the_server_may_change(void **state)
{
	struct bytes wire = server_records(retry_random, 20);
	size_t counts[3] = { 0 };
	enum tls_watch_state after;

	(void)state;
	put(&wire, CCS, 6);
	for (size_t i = 0; i < wire.len; i++) {
		uint8_t was = wire.at[i];

		for (int value = 0; value < 256; value++) {
			wire.at[i] = (uint8_t)value;
			enum tls_passes passes = outcome(tls_watch_server, TLS_WATCH_SERVER,
							 text_of(&wire), &after);

			counts[passes]++;
		}
		wire.at[i] = was;
	}
	assert_true(counts[TLS_PASS] > 0);
	assert_true(counts[TLS_VIOLATION] > 0);
	assert_int_equal(counts[TLS_HELLO_NEXT], 0);
}

static void alert_for_a_blocked_hello_is_a_fatal_one(void **state)
{
	(void)state;
	assert_memory_equal(tls_alert_access_denied, "\x15\3\3\0\2\2\x31", 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watch_server_hello_ends_the_watch),
		cmocka_unit_test(watch_server_message_may_be_cut_into_records),
		cmocka_unit_test(watch_any_random_but_one_is_a_server_hello),
		cmocka_unit_test(watch_server_says_nothing_but_alerts_before_its_hello),
		cmocka_unit_test(watch_server_hello_has_a_possible_length_and_version),
		cmocka_unit_test(watch_nothing_follows_a_retry_but_ccs_and_alerts),
		cmocka_unit_test(watch_client_says_no_hello_before_a_retry),
		cmocka_unit_test(watch_client_may_send_ccs_alerts_and_early_data),
		cmocka_unit_test(watch_tells_where_the_second_hello_starts),
		cmocka_unit_test(watch_follows_a_retry_conversation_in_one_byte_reads),
		cmocka_unit_test(watch_any_one_byte_of_the_server_may_change),
		cmocka_unit_test(alert_for_a_blocked_hello_is_a_fatal_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
