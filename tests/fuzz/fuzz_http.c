/* fuzz_http.c - a connection of requests: one read and many small ones must agree.
 * The first byte of the input is the size of the small reads. */
#include <assert.h>
#include <stdlib.h>

#include "proto/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What a connection came to: the sum of everything that was decided. */
struct outcome {
	uint64_t digest;
	enum http_bad bad;
	bool in_body;
};

static void mix(struct outcome *out, uint64_t value)
{
	out->digest = (out->digest ^ value) * 0x100000001b3;
}

static void check_host(struct outcome *out, const struct http_head *head)
{
	assert(head->host_len > 0 && head->host_len <= HOSTNAME_MAX);
	assert(strlen(head->host) == head->host_len);
	for (size_t i = 0; i < head->host_len; i++) {
		char c = head->host[i];

		assert((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
		       (head->host_is_address ? c == ':' : c == '_'));
		mix(out, (uint8_t)c);
	}
}

/* One head or one part of a body from data[*at..have); false when there is no more to say. */
static bool step(struct outcome *out, struct http_head *head, struct http_body *body,
		 const uint8_t *data, size_t *at, size_t have)
{
	size_t len = have - *at;
	enum parsed parsed;

	if (out->in_body) {
		parsed = http_body_feed(body, data + *at, &len);
		out->bad = body->bad;
		assert(len <= have - *at && (parsed != PARSED_BAD || len == 0));
		assert(parsed != PARSED_MORE || len == have - *at);
	} else {
		parsed = http_request_head(head, data + *at, len);
		out->bad = head->bad;
		len = parsed == PARSED_OK ? head->len : 0;
	}
	assert((parsed == PARSED_BAD) == (out->bad != HTTP_BAD_NONE));
	*at += len;
	assert(*at <= have);
	if (parsed != PARSED_OK)
		return false;
	if (!out->in_body) {
		check_host(out, head);
		mix(out, head->framing);
		mix(out, head->body_len);
		mix(out, head->upgrade_websocket);
		http_body_start(body, head);
	}
	out->in_body = !out->in_body;
	mix(out, *at);
	if (!out->in_body)
		*head = (struct http_head){ 0 };
	return true;
}

static struct outcome run(const uint8_t *data, size_t len, size_t read_size)
{
	struct http_head head = { 0 };
	struct http_body body = { 0 };
	struct outcome out = { .digest = 0xcbf29ce484222325 };
	size_t at = 0, have = 0;

	do {
		have = len - have < read_size ? len : have + read_size;
		while (step(&out, &head, &body, data, &at, have))
			;
	} while (out.bad == HTTP_BAD_NONE && have < len);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct outcome whole, small;
	char page[768];
	unsigned status;

	if (len == 0)
		return 0;
	whole = run(data + 1, len - 1, SIZE_MAX);
	small = run(data + 1, len - 1, 1 + data[0] % 64);
	assert(whole.digest == small.digest);
	assert(whole.bad == small.bad);
	assert(whole.in_body == small.in_body);

	if (http_response_status(data + 1, len - 1, &status) == PARSED_OK)
		assert(status >= 100 && status <= 599);
	assert(http_forbidden(page, sizeof(page), str_of("a.test"),
			      str_of(http_bad_text(whole.bad))) > 0);
	return 0;
}
