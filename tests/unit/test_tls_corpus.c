/* test_tls_corpus.c - the shared hellos, honest and hostile, in reads of several sizes.
 * The folder is $RINGFENCE_CORPUS, by default ../shared/corpus; what is missing is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "proto/tls.h"
#include "tests/unit/corpus.h"
#include "tests/unit/guard.h"

struct vector {
	const char *id, *verdict, *name, *ech;
	const json_t *alpn, *bytes_after, *segments, *lenient_ok;
	uint8_t data[1 << 17];
	size_t len;
};

static size_t from_hex(uint8_t *out, size_t size, const char *hex)
{
	size_t len = strlen(hex) / 2;

	assert_true(len <= size);
	for (size_t i = 0; i < len; i++) {
		unsigned byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
	return len;
}

static void load(struct vector *vector, const json_t *line)
{
	const json_t *expect = json_object_get(line, "expect");

	vector->id = json_string_value(json_object_get(line, "id"));
	vector->verdict = json_string_value(json_object_get(expect, "verdict"));
	vector->name = json_string_value(json_object_get(expect, "name"));
	vector->ech = json_string_value(json_object_get(expect, "ech"));
	vector->alpn = json_object_get(expect, "alpn");
	vector->bytes_after = json_object_get(expect, "bytes_after");
	vector->lenient_ok = json_object_get(expect, "lenient_ok");
	vector->segments = json_object_get(line, "segments");
	vector->len = from_hex(vector->data, sizeof(vector->data),
			       json_string_value(json_object_get(line, "hex")));
	assert_non_null(vector->id);
	assert_non_null(vector->verdict);
}

/* In reads of read_size bytes, or as the vector's segments say when it is 0. */
static enum parsed parse(const struct vector *vector, size_t read_size, struct tls_hello *hello)
{
	enum parsed parsed = PARSED_MORE;
	size_t len = 0;

	memset(hello, 0, sizeof(*hello));
	for (size_t i = 0; parsed == PARSED_MORE && len < vector->len; i++) {
		json_int_t segment = json_integer_value(json_array_get(vector->segments, i));
		size_t n = read_size > 0 ? read_size : (size_t)segment;

		len = n == 0 || vector->len - len < n ? vector->len : len + n;
		parsed = tls_client_hello(hello, vector->data, len);
	}
	return parsed;
}

static bool alpn_is(const json_t *alpn, const char *text)
{
	char joined[2048] = "";

	for (size_t i = 0; i < json_array_size(alpn); i++) {
		size_t len = strlen(joined);

		snprintf(joined + len, sizeof(joined) - len, "%s%s", i > 0 ? "," : "",
			 json_string_value(json_array_get(alpn, i)));
	}
	if (strlen(joined) < TLS_ALPN_TEXT_MAX)
		return strcmp(joined, text) == 0;
	return strncmp(joined, text, TLS_ALPN_TEXT_MAX - 4) == 0;
}

static bool is_expected(const struct vector *vector, enum parsed parsed,
			const struct tls_hello *hello)
{
	if (vector->lenient_ok && parsed == PARSED_BAD)
		return true;
	if (strcmp(vector->verdict, "wait-then-block") == 0)
		return parsed == PARSED_MORE;
	if (strcmp(vector->verdict, "block") == 0)
		return parsed == PARSED_BAD;

	size_t after = (size_t)json_integer_value(vector->bytes_after);

	return strcmp(vector->verdict, "name") == 0 && parsed == PARSED_OK &&
	       strcmp(hello->name, vector->name) == 0 && hello->ech == (vector->ech != NULL) &&
	       (!vector->alpn || alpn_is(vector->alpn, hello->alpn)) &&
	       hello->wire_len + after == vector->len;
}

static unsigned check(json_t *line)
{
	static const size_t read_sizes[] = { 1, 2, 3, 5, 7, 1460, 16384, 0 };
	static struct vector vector;
	struct tls_hello hello = { 0 }, other;
	unsigned wrong = 0;

	load(&vector, line);
	enum parsed parsed = tls_client_hello(&hello, guarded(vector.data, vector.len), vector.len);

	if (!is_expected(&vector, parsed, &hello)) {
		wrong++;
		print_error("%s: expected %s %s, got %d %s (%s)\n", vector.id, vector.verdict,
			    vector.name ? vector.name : "", (int)parsed, hello.name,
			    tls_bad_text(hello.bad));
	}
	for (size_t i = 0; i < ARRAY_LEN(read_sizes); i++) {
		enum parsed other_parsed = parse(&vector, read_sizes[i], &other);

		if (other_parsed == parsed && memcmp(&other, &hello, sizeof(hello)) == 0)
			continue;
		wrong++;
		print_error("%s: another verdict in reads of %zu\n", vector.id, read_sizes[i]);
	}
	return wrong;
}

static void tls_hellos_of_real_clients_get_their_verdict(void **state)
{
	(void)state;
	corpus_run("tls.jsonl", check);
}

static void tls_attacks_get_their_verdict(void **state)
{
	(void)state;
	corpus_run("tls_attacks.jsonl", check);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_hellos_of_real_clients_get_their_verdict),
		cmocka_unit_test(tls_attacks_get_their_verdict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
