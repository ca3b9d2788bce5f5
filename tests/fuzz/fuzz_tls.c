/* fuzz_tls.c - the input as a client's first flight, and as either side under the watch.
 * One read and many small ones must agree; so must a hello and its own prefixes. */
#include <assert.h>

#include "proto/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_name(const struct tls_hello *hello)
{
	char again[HOSTNAME_MAX + 1];
	size_t len = hostname_normalise(str_of(hello->name), again);

	assert(len == hello->name_len && memcmp(again, hello->name, len + 1) == 0);
}

static void check_alpn(const char *text)
{
	assert(memchr(text, '\0', TLS_ALPN_TEXT_MAX));
	for (; *text; text++)
		assert(*text > ' ' && *text <= '~');
}

static void check_hello(const uint8_t *data, size_t len, size_t step)
{
	struct tls_hello whole = { 0 }, small = { 0 };
	enum parsed parsed = tls_client_hello(&whole, data, len), again = PARSED_MORE;

	for (size_t have = 0; again == PARSED_MORE && have < len; ) {
		have = len - have < step ? len : have + step;
		again = tls_client_hello(&small, data, have);
	}
	assert(again == parsed);
	assert(memcmp(&whole, &small, sizeof(whole)) == 0);
	assert((parsed == PARSED_BAD) == (whole.bad != TLS_BAD_NONE));
	assert(tls_bad_text(whole.bad));
	assert(parsed != PARSED_MORE || len < TLS_HELLO_WIRE_MAX);
	if (parsed != PARSED_OK)
		return;

	check_name(&whole);
	check_alpn(whole.alpn);
	assert(whole.wire_len <= len);
	small = (struct tls_hello){ 0 };
	assert(tls_client_hello(&small, data, whole.wire_len - 1) == PARSED_MORE);
	assert(tls_client_hello(&small, data, whole.wire_len) == PARSED_OK);
}

typedef enum tls_passes watch_fn(struct tls_watch *, const uint8_t *, size_t *);

/* Feed data in steps; *passed counts what may be sent on when it was not cut. */
static enum tls_passes feed(watch_fn *fn, struct tls_watch *watch, const uint8_t *data, size_t len,
			    size_t step, size_t *passed)
{
	*passed = 0;
	for (size_t at = 0; at < len; at += step) {
		size_t n = len - at < step ? len - at : step, offered = n;
		enum tls_passes passes = fn(watch, data + at, &n);

		assert(n <= offered);
		assert(passes != TLS_PASS || n == offered);
		assert(passes != TLS_VIOLATION || n == 0);
		*passed += n;
		if (passes != TLS_PASS)
			return passes;
	}
	return TLS_PASS;
}

static void check_watch(watch_fn *fn, enum tls_watch_state state, const uint8_t *data, size_t len,
			size_t step)
{
	struct tls_watch whole = { .state = state }, small = whole;
	size_t whole_passed, small_passed;
	enum tls_passes passes = feed(fn, &whole, data, len, len + 1, &whole_passed);

	assert(feed(fn, &small, data, len, step, &small_passed) == passes);
	if (passes == TLS_HELLO_NEXT) {
		assert(fn == tls_watch_client && state == TLS_WATCH_RETRY);
		assert(data[whole_passed] == TLS_RECORD_HANDSHAKE);
		tls_watch_hello_passed(&small);
	}
	if (passes != TLS_VIOLATION) {
		assert(whole_passed == small_passed);
		assert(passes == TLS_HELLO_NEXT || whole.state == small.state);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t step = 1 + len % 13;

	check_hello(data, len, step);
	for (int state = TLS_WATCH_SERVER; state <= TLS_WATCH_BLIND; state++) {
		check_watch(tls_watch_client, (enum tls_watch_state)state, data, len, step);
		check_watch(tls_watch_server, (enum tls_watch_state)state, data, len, step);
	}
	return 0;
}
