/* test_http.c - request heads, and the little we need of responses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/http.h"
#include "tests/unit/guard.h"

#define HOST "Host: a.test\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST / HTTP/1.1\r\n" HOST

static const uint8_t *bytes(const char *text)
{
	return (const uint8_t *)text;
}

static struct http_head parse_at_once(const uint8_t *data, size_t len, enum parsed *parsed)
{
	struct http_head head = { 0 };

	*parsed = http_request_head(&head, guarded(data, len), len);
	return head;
}

static struct http_head parse_by_byte(const uint8_t *data, size_t len, enum parsed *parsed)
{
	struct http_head head = { 0 };
	size_t have = 0;

	do
		*parsed = http_request_head(&head, data, ++have);
	while (*parsed == PARSED_MORE && have < len);
	return head;
}

/* PARSED_OK gives HTTP_BAD_NONE; a head that wants more fails the test. */
static enum http_bad fault_of(const char *text, struct http_head *head)
{
	enum parsed parsed;

	*head = parse_at_once(bytes(text), strlen(text), &parsed);
	assert_int_not_equal(parsed, PARSED_MORE);
	assert_int_equal(parsed == PARSED_BAD, head->bad != HTTP_BAD_NONE);
	return head->bad;
}

static void http_every_prefix_of_a_head_asks_for_more(void **state)
{
	static const char text[] = "POST http://A.test/x HTTP/1.1\r\nHost: a.TEST\r\n"
				   "Content-Length: 5\r\nX-Tab:\ta\tb\r\nConnection: close\r\n\r\n";
	size_t len = sizeof(text) - 1;
	struct http_head resumed = { 0 };
	enum parsed parsed;

	(void)state;
	for (size_t have = 0; have < len; have++) {
		parse_at_once(bytes(text), have, &parsed);
		assert_int_equal(parsed, PARSED_MORE);
		assert_int_equal(http_request_head(&resumed, guarded(bytes(text), have), have),
				 PARSED_MORE);
	}
	assert_int_equal(http_request_head(&resumed, bytes(text), len), PARSED_OK);
	assert_int_equal(resumed.len, len);
	assert_string_equal(resumed.host, "a.test");
	assert_int_equal(resumed.host_len, 6);
	assert_int_equal(resumed.framing, HTTP_BODY_LENGTH);
	assert_int_equal(resumed.body_len, 5);
	assert_false(resumed.http10 || resumed.upgrade_websocket || resumed.host_is_address);
}

static void http_bytes_after_a_head_are_not_looked_at(void **state)
{
	static const char text[] = GET "\r\n\0\x80\n";
	struct http_head head;
	enum parsed parsed;

	(void)state;
	head = parse_at_once(bytes(text), sizeof(text) - 1, &parsed);
	assert_int_equal(parsed, PARSED_OK);
	assert_int_equal(head.len, strlen(GET "\r\n"));
	assert_int_equal(head.framing, HTTP_BODY_NONE);
}

static void http_a_changed_byte_is_judged_the_same_however_it_arrives(void **state)
{
	static const char text[] = "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n"
				   "Transfer-Encoding: chunked\r\nUpgrade: websocket\r\n\r\n";
	size_t len = sizeof(text) - 1;
	uint8_t copy[sizeof(text)];

	(void)state;
	for (size_t i = 0; i < len * 256; i++) {
		struct http_head once, by_byte;
		enum parsed parsed, parsed_by_byte;

		memcpy(copy, text, len);
		copy[i / 256] = (uint8_t)i;
		once = parse_at_once(copy, len, &parsed);
		by_byte = parse_by_byte(copy, len, &parsed_by_byte);
		assert_int_equal(parsed, parsed_by_byte);
		assert_int_equal(once.bad, by_byte.bad);
		assert_int_equal(once.len, by_byte.len);
		assert_string_equal(once.host, by_byte.host);
	}
}

static void http_other_protocols_are_refused_at_the_first_wrong_byte(void **state)
{
	static const struct { const char *text; size_t len; } starts[] = {
#define START(text) { text, sizeof(text) - 1 }
		START("\x16"), START("{"), START(" "), START("\n"), START("\r\n"), START("GET\t"),
		START("\x80"), START("GET:"), START("CONNECT "), START("connect "), START("PRI "),
		START("OPTIONS r"), START("GET  "), START("EHLO a"),
		START("GET\r\n"), START("SSH-2.0-OpenSSH_9.2\r\n"), START("GET /\n"),
		START("GET / HTTP/1.1\n"), START("GET / HTTP/1.1\rX"), START("GET / HTTP/1.1\r\n "),
		START("GET / HTTP/1.1\r\n\t"), START("GET / HTTP/1.1\r\n:"),
		START("GET / HTTP/1.1\r\nHost: a\0"), START("GET / HTTP/1.1\r\nHost: a\x7f"),
		START("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"),     /* 33 bytes of method */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		enum parsed parsed;

		parse_at_once(bytes(starts[i].text), starts[i].len, &parsed);
		assert_int_equal(parsed, PARSED_BAD);
		parse_at_once(bytes(starts[i].text), starts[i].len - 1, &parsed);
		assert_int_equal(parsed, PARSED_MORE);
	}
}

static void http_no_control_byte_passes_anywhere_in_a_line(void **state)
{
	char text[] = GET "X-Name: 0123456789abcdefghijklmnopqrs\r\n\r\n";
	size_t from = strlen(GET "X-Name: "), to = sizeof(text) - 5;
	struct http_head head;
	enum parsed parsed;

	(void)state;
	for (size_t i = from; i < to; i++) {
		char kept = text[i];

		for (unsigned c = 0; c < 256; c++) {
			bool good = (c >= 0x20 && c != 0x7f) || c == '\t';

			text[i] = (char)c;
			head = parse_at_once(bytes(text), sizeof(text) - 1, &parsed);
			assert_int_equal(parsed, good ? PARSED_OK : PARSED_BAD);
			assert_int_equal(head.bad, good ? HTTP_BAD_NONE : HTTP_BAD_HEADER);
		}
		text[i] = kept;
	}
}

static void http_each_fault_has_its_reason(void **state)
{
	static const struct { const char *text; enum http_bad bad; } heads[] = {
		{ "GET /\r\n", HTTP_BAD_REQUEST_LINE },
		{ "GET / a HTTP/1.1\r\n", HTTP_BAD_VERSION },
		{ "GET / HTTP/1.2\r\n", HTTP_BAD_VERSION },
		{ "GET / http/1.1\r\n", HTTP_BAD_VERSION },
		{ "GET / HTTP/1.1 \r\n", HTTP_BAD_VERSION },
		{ "GET /\t HTTP/1.1\r\n", HTTP_BAD_TARGET },
		{ "GET * HTTP/1.1\r\n", HTTP_BAD_TARGET },
		{ "OPTIONS ** HTTP/1.1\r\n", HTTP_BAD_TARGET },
		{ "GET https://a.test/ HTTP/1.1\r\n", HTTP_BAD_TARGET },
		{ "GET http:///x HTTP/1.1\r\n", HTTP_BAD_TARGET },
		{ "GET http:// HTTP/1.1\r\n", HTTP_BAD_TARGET },
		{ "GET / HTTP/1.1\r\nHost : a.test\r\n", HTTP_BAD_HEADER },
		{ "GET / HTTP/1.1\r\nHost\r\n", HTTP_BAD_HEADER },
		{ "GET / HTTP/1.0\r\n\r\n", HTTP_BAD_NO_HOST },
		{ GET HOST, HTTP_BAD_HOST },
		{ "GET http://b.test/ HTTP/1.1\r\n" HOST, HTTP_BAD_HOST },
		{ "GET http://a.test:80/ HTTP/1.1\r\n" HOST, HTTP_BAD_HOST },
		{ "GET http://u@a.test/ HTTP/1.1\r\nHost: u@a.test\r\n", HTTP_BAD_HOST },
		{ "GET http://a.test#@b.test/ HTTP/1.1\r\n" HOST, HTTP_BAD_HOST },
		{ GET "Upgrade: h2c\r\n", HTTP_BAD_UPGRADE },
		{ POST "Transfer-Encoding: gzip, chunked\r\n", HTTP_BAD_FRAMING },
		{ POST "Transfer-Encoding:\r\n", HTTP_BAD_FRAMING },
		{ POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		  HTTP_BAD_FRAMING },
		{ POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", HTTP_BAD_FRAMING },
		{ POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", HTTP_BAD_FRAMING },
		{ POST "Content-Length: 0\r\nContent-Length: 0\r\n", HTTP_BAD_FRAMING },
		{ "GET / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n", HTTP_BAD_FRAMING },
	};
	struct http_head head;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		assert_int_equal(fault_of(heads[i].text, &head), heads[i].bad);
}

static void http_a_bad_head_stays_bad(void **state)
{
	struct http_head head = { 0 };

	(void)state;
	assert_int_equal(http_request_head(&head, bytes("\x16\x03"), 2), PARSED_BAD);
	assert_int_equal(http_request_head(&head, bytes(GET "\r\n"), strlen(GET "\r\n")),
			 PARSED_BAD);
	assert_int_equal(head.bad, HTTP_BAD_REQUEST_LINE);
}

static void http_all_target_forms_are_known(void **state)
{
	static const char *const lines[] = {
		"GET / HTTP/1.1", "GET //b.test/ HTTP/1.1", "GET /a?b#c HTTP/1.1",
		"GET /\xc3 HTTP/1.1", "OPTIONS * HTTP/1.1", "GET http://a.test HTTP/1.1",
		"GET HTTP://A.Test/ HTTP/1.1",
		"GET http://a.test?q HTTP/1.1", "M-SEARCH /\" HTTP/1.0",
	};
	struct http_head head;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char text[128];

		snprintf(text, sizeof(text), "%s\r\n" HOST "\r\n", lines[i]);
		assert_int_equal(fault_of(text, &head), HTTP_BAD_NONE);
		assert_int_equal(head.http10, strstr(text, "HTTP/1.0") != NULL);
	}
}

static void http_host_is_a_name_or_an_address(void **state)
{
	static const struct { const char *value, *host; bool address; } hosts[] = {
		{ "a.test", "a.test", false },          { "\t A.TEST. \t", "a.test", false },
		{ "a.test:", "a.test", false },         { "a.test:65535", "a.test", false },
		{ "a_b", "a_b", false },                { "192.0.2.1:80", "192.0.2.1", true },
		{ "[2001:DB8::1]", "2001:db8::1", true }, { "[::1]:1", "::1", true },
		{ "[::ffff:192.0.2.1]:", "::ffff:192.0.2.1", true },
		{ "", NULL, false },                    { ":80", NULL, false },
		{ "a.test:0", NULL, false },            { "a.test:080", NULL, false },
		{ "a.test:65536", NULL, false },        { "a.test:8x", NULL, false },
		{ "a.test:80:80", NULL, false },        { "a.test,b.test", NULL, false },
		{ "a.test b.test", NULL, false },       { "u@a.test", NULL, false },
		{ "a.test/", NULL, false },             { "a%2etest", NULL, false },
		{ "3221225985", NULL, false },          { "0xc0000201", NULL, false },
		{ "192.0.2", NULL, false },             { "192.0.2.01", NULL, false },
		{ "192.0.2.1.", NULL, false },          { "::1", NULL, false },
		{ "[]", NULL, false },                  { "[::1", NULL, false },
		{ "[::1]x", NULL, false },              { "[::1]80", NULL, false },
		{ "[fe80::1%1]", NULL, false },         { "[192.0.2.1]", NULL, false },
		{ "[a.test]", NULL, false },            { "a[::1]", NULL, false },
		{ "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]", NULL, false },
	};
	struct http_head head;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		char text[128];

		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nhOST:%s\r\n\r\n", hosts[i].value);
		assert_int_equal(fault_of(text, &head),
				 hosts[i].host ? HTTP_BAD_NONE : HTTP_BAD_HOST);
		if (!hosts[i].host)
			continue;
		assert_string_equal(head.host, hosts[i].host);
		assert_int_equal(head.host_len, strlen(hosts[i].host));
		assert_int_equal(head.host_is_address, hosts[i].address);
	}
}

static void http_content_length_is_digits_below_2_to_63(void **state)
{
	static const struct { const char *value; bool good; uint64_t len; } lengths[] = {
		{ "0", true, 0 },       { "05", true, 5 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "9223372036854775808", false, 0 }, { "18446744073709551621", false, 0 },
		{ "", false, 0 },       { "+5", false, 0 },     { "-0", false, 0 },
		{ "5 5", false, 0 },    { "5,5", false, 0 },    { "0x5", false, 0 },
		{ "5\xb2", false, 0 },
	};
	struct http_head head;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		char text[128];

		snprintf(text, sizeof(text), POST "CONTENT-length: %s\r\n\r\n", lengths[i].value);
		assert_int_equal(fault_of(text, &head),
				 lengths[i].good ? HTTP_BAD_NONE : HTTP_BAD_FRAMING);
		if (lengths[i].good)
			assert_true(head.body_len == lengths[i].len);
	}
}

static void http_upgrade_is_for_websocket_that_is_properly_asked_for(void **state)
{
	static const char *const bad[] = {
		GET "Upgrade: websocket\r\n\r\n",
		GET "Connection: upgrades, x-upgrade\r\nUpgrade: websocket\r\n\r\n",
		GET "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
		GET "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n\r\n",
		GET "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n",
		GET "Connection: upgrade\r\nUpgrade: websocket\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.0\r\n" HOST "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	};
	struct http_head head;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(fault_of(bad[i], &head), HTTP_BAD_UPGRADE);
	assert_int_equal(fault_of(GET "Upgrade: WebSocket\r\nConnection: close\r\n"
				  "Connection: keep-alive,\t Upgrade ,\r\n\r\n", &head),
			 HTTP_BAD_NONE);
	assert_true(head.upgrade_websocket);
	assert_int_equal(fault_of(GET "Connection: upgrade\r\n\r\n", &head), HTTP_BAD_NONE);
	assert_false(head.upgrade_websocket);
}

static void http_a_head_may_have_64_kib_and_no_more(void **state)
{
	static uint8_t data[HTTP_HEAD_MAX + 1];
	struct http_head head;
	enum parsed parsed;
	size_t at;

	(void)state;
	memcpy(data, GET, at = strlen(GET));
	for (; at < HTTP_HEAD_MAX - 6; at += 4)         /* as many lines as fit */
		memcpy(data + at, "x:\r\n", 4);
	memset(data + at, 'x', HTTP_HEAD_MAX + 1 - at);
	data[at + 1] = ':';
	memcpy(data + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
	head = parse_at_once(data, HTTP_HEAD_MAX - 1, &parsed);
	assert_int_equal(parsed, PARSED_MORE);
	head = parse_at_once(data, HTTP_HEAD_MAX, &parsed);
	assert_int_equal(parsed, PARSED_OK);
	assert_int_equal(head.len, HTTP_HEAD_MAX);

	memcpy(data + HTTP_HEAD_MAX - 4, "x\r\n\r\n", 5);
	head = parse_at_once(data, HTTP_HEAD_MAX + 1, &parsed);
	assert_int_equal(parsed, PARSED_BAD);
	assert_int_equal(head.bad, HTTP_BAD_TOO_LARGE);
	head = parse_by_byte(data, HTTP_HEAD_MAX + 1, &parsed);
	assert_int_equal(parsed, PARSED_BAD);
	assert_int_equal(head.bad, HTTP_BAD_TOO_LARGE);
}

static void http_response_status_is_read_from_twelve_bytes(void **state)
{
	static const char *const bad[] = {
		"h", "HTTP/2", "HTTP/1.1  ", "HTTP/1.1 1O1", "HTTP/1.1 099", "HTTP/1.1 600",
		"ICY 200 OK",
	};
	static const char good[] = "HTTP/1.1 101 Switching Protocols\r\n";
	unsigned status = 7;

	(void)state;
	for (size_t len = 0; len < 12; len++)
		assert_int_equal(http_response_status(guarded(bytes(good), len), len, &status),
				 PARSED_MORE);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(http_response_status(bytes(bad[i]), strlen(bad[i]), &status),
				 PARSED_BAD);
	assert_int_equal(status, 7);
	assert_int_equal(http_response_status(bytes(good), 12, &status), PARSED_OK);
	assert_int_equal(status, 101);
	assert_int_equal(http_response_status(bytes("HTTP/1.0 599\r\n"), 14, &status), PARSED_OK);
	assert_int_equal(status, 599);
}

static void http_forbidden_is_a_whole_response_or_nothing(void **state)
{
	struct str host = STR("evil.test"), reason = STR("not allowed");
	char out[768], *body;
	size_t len = http_forbidden(out, sizeof(out), host, reason);
	unsigned status;

	(void)state;
	assert_int_equal(len, strlen(out));
	assert_int_equal(http_response_status(bytes(out), len, &status), PARSED_OK);
	assert_int_equal(status, 403);
	assert_non_null(strstr(out, "\r\nConnection: close\r\n"));
	body = strstr(out, "\r\n\r\n") + 4;
	assert_non_null(strstr(body, "evil.test"));
	assert_non_null(strstr(body, "not allowed"));
	assert_int_equal(atoi(strstr(out, "Content-Length: ") + 16), strlen(body));
	assert_int_equal(http_forbidden(out, len + 1, host, reason), len);
	assert_int_equal(http_forbidden(out, len, host, reason), 0);
	assert_int_equal(http_forbidden(out, 0, host, reason), 0);
}

static void http_every_fault_has_a_text_of_its_own(void **state)
{
	(void)state;
	assert_string_equal(http_bad_text(HTTP_BAD_NONE), "");
	for (int bad = HTTP_BAD_NONE; bad <= HTTP_BAD_TOO_LARGE; bad++)
		for (int other = HTTP_BAD_NONE; other < bad; other++)
			assert_string_not_equal(http_bad_text((enum http_bad)bad),
						http_bad_text((enum http_bad)other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_every_prefix_of_a_head_asks_for_more),
		cmocka_unit_test(http_bytes_after_a_head_are_not_looked_at),
		cmocka_unit_test(http_a_changed_byte_is_judged_the_same_however_it_arrives),
		cmocka_unit_test(http_other_protocols_are_refused_at_the_first_wrong_byte),
		cmocka_unit_test(http_no_control_byte_passes_anywhere_in_a_line),
		cmocka_unit_test(http_each_fault_has_its_reason),
		cmocka_unit_test(http_a_bad_head_stays_bad),
		cmocka_unit_test(http_all_target_forms_are_known),
		cmocka_unit_test(http_host_is_a_name_or_an_address),
		cmocka_unit_test(http_content_length_is_digits_below_2_to_63),
		cmocka_unit_test(http_upgrade_is_for_websocket_that_is_properly_asked_for),
		cmocka_unit_test(http_a_head_may_have_64_kib_and_no_more),
		cmocka_unit_test(http_response_status_is_read_from_twelve_bytes),
		cmocka_unit_test(http_forbidden_is_a_whole_response_or_nothing),
		cmocka_unit_test(http_every_fault_has_a_text_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
