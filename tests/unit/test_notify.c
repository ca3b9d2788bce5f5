/* test_notify.c - alerts: their words, what is alerted once, what is ignored, whom they go to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "dashboard/notify.h"

static struct event event;
static struct alert alert;
static char key[NOTIFY_KEY_MAX], error[WEB_ERROR_MAX], body[NOTIFY_BODY_MAX];
static struct notify_service services[4];

static int begin(void **state)
{
	(void)state;
	event = (struct event){ .time_ns = 1, .kind = EVENT_HTTPS_BLOCKED,
				.reason = CLOSE_NOT_ALLOWLISTED, .name_len = 9,
				.name = "evil.test" };
	return addr_parse_with_port(STR("172.18.0.2:51822"), 0, &event.src) &&
	       addr_parse_with_port(STR("[2001:db8::1]:443"), 0, &event.dst) ? 0 : -1;
}

static void an_alert_has_exactly_the_seeds_words(void **state)
{
	(void)state;
	assert_true(notify_text(&event, "host-01", &alert, key));
	assert_string_equal(alert.title, "host-01 - HTTPS Connection Blocked");
	assert_string_equal(alert.message, "Blocked https connection from 172.18.0.2:51822 to "
			    "evil.test ([2001:db8::1]:443). Reason: not-allowlisted");
	assert_string_equal(key, "172.18.0.2->[2001:db8::1]:443:https");
}

static void what_is_not_known_is_left_out(void **state)
{
	(void)state;
	event.dst.sa.sa_family = event.src.sa.sa_family = 0;
	assert_true(notify_text(&event, "h", &alert, key));
	assert_string_equal(alert.message, "Blocked https connection from unknown source to "
			    "evil.test. Reason: not-allowlisted");
	event.kind = EVENT_NFLOG_BLOCKED;
	event.name_len = 0;
	event.reason = CLOSE_DONE;
	assert_true(notify_text(&event, "h", &alert, key));
	assert_string_equal(alert.message, "Blocked nflog connection from unknown source to "
			    "unknown destination. Reason: blocked by policy");
}

static void names_of_an_attacker_are_printable(void **state)
{
	(void)state;
	memcpy(event.name, "a\x1b[2J\n\xff", 8);
	event.name_len = 7;
	assert_true(notify_text(&event, "h\n", &alert, key));
	assert_non_null(strstr(alert.message, "a?[2J?? ("));
	assert_string_equal(alert.title, "h? - HTTPS Connection Blocked");
}

static void only_blocks_are_alerted(void **state)
{
	(void)state;
	event.kind = EVENT_HTTPS_ALLOWED;
	assert_false(notify_text(&event, "h", &alert, key));
	event.kind = EVENT_HTTPS_CLOSED;
	assert_false(notify_text(&event, "h", &alert, key));
}

static void a_key_is_taken_once_in_its_time(void **state)
{
	struct notify_keys *keys = notify_keys_make();
	char many[32];

	(void)state;
	assert_true(notify_keys_take(keys, "a", 1000, 60000));
	assert_false(notify_keys_take(keys, "a", 60999, 60000));
	assert_true(notify_keys_take(keys, "b", 1000, 60000));
	assert_true(notify_keys_take(keys, "a", 61000, 60000));
	assert_false(notify_keys_take(keys, "a", 61001, 60000));
	/* However many there are, the room is the same. */
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(many, sizeof(many), "key%u", i);
		assert_true(notify_keys_take(keys, many, 62000 + i, 60000));
		assert_false(notify_keys_take(keys, many, 62000 + i, 60000));
	}
	free(keys);
}

static void a_digest_counts_all_and_names_the_most(void **state)
{
	static struct notify_digest digest;
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "once%u.test", i);
		notify_digest_add(&digest, name, 1000 + i);
	}
	for (unsigned i = 0; i < 5; i++)
		notify_digest_add(&digest, "once3.test", 2000);
	notify_digest_take(&digest, "h", 31000, &alert);
	assert_string_equal(alert.title, "h - 105 more Connections Blocked");
	assert_non_null(strstr(alert.message, "105 connections were blocked in the last 31 s"));
	assert_non_null(strstr(alert.message, ": 6x once3.test, 1x once"));
	assert_non_null(strstr(alert.message, " and 90 others"));
	assert_int_equal(digest.count, 0);
}

static bool ignores(const char *list, const char *name, const char *addr, const char *component)
{
	static struct notify_ignore ignore;
	union addr parsed = { .sa.sa_family = 0 };

	(void)notify_ignore_parse(&ignore, list);
	(void)addr_parse(str_of(addr), &parsed);
	return notify_ignores(&ignore, name, &parsed, component);
}

static void what_is_to_be_ignored_is(void **state)
{
	static struct notify_ignore ignore;

	(void)state;
	assert_true(ignores(" Evil.test ,x", "evil.TEST", "", "https"));
	assert_false(ignores("*.evil.test", "evil.test", "", "https"));
	assert_true(ignores("*.evil.test", "a.b.evil.test", "", "https"));
	assert_true(ignores("10.0.0.0/8", "x", "10.1.2.3", "https"));
	assert_true(ignores("2001:db8::1", "x", "2001:db8::1", "https"));
	assert_false(ignores("10.0.0.0/8", "x", "11.1.2.3", "https"));
	assert_true(ignores("multicast", "", "224.0.0.251", "nflog"));
	assert_true(ignores("multicast", "", "ff02::fb", "nflog"));
	assert_true(ignores("loopback", "", "::1", "nflog"));
	assert_true(ignores("link-local", "", "169.254.169.254", "nflog"));
	assert_true(ignores("private", "", "192.168.1.1", "nflog"));
	assert_false(ignores("private", "", "8.8.8.8", "nflog"));
	assert_true(ignores("public", "", "8.8.8.8", "nflog"));
	assert_true(ignores("local", "", "fd00::1", "nflog"));
	assert_true(ignores("unspecified", "", "0.0.0.0", "nflog"));
	assert_true(ignores("component:nflog", "x", "8.8.8.8", "nflog"));
	assert_false(ignores("component:nflog", "x", "8.8.8.8", "https"));
	assert_true(ignores("ip-only", "", "8.8.8.8", "nflog"));
	assert_false(ignores("ip-only", "x", "8.8.8.8", "nflog"));
	assert_int_equal(notify_ignore_parse(&ignore, "a b,c,,d\te"), 2);
	assert_int_equal(ignore.count, 1);
}

static const struct notify_service *service_of(const char *url)
{
	if (notify_parse(services, ARRAY_LEN(services), str_of(url), error) != 1)
		fail_msg("%s: %s", url, error);
	return &services[0];
}

static void services_are_read_from_their_urls(void **state)
{
	static const struct { const char *url, *base, *path, *header; } rows[] = {
		{ "gotify://gotify.example/token", "https://gotify.example:443", "/message",
		  "X-Gotify-Key: token" },
		{ "gotify://[2001:db8::1]:8443/sub/to%20ken/?priority=1",
		  "https://[2001:db8::1]:8443", "/sub/message", "X-Gotify-Key: to ken" },
		{ "ntfy:///topic", "https://ntfy.sh:443", "/topic", "Priority: high" },
		{ "slack://hook:T0-B0-xY@webhook", "https://hooks.slack.com:443",
		  "/services/T0/B0/xY", "" },
		{ "slack://T0ABC/B0/xY", "https://hooks.slack.com:443", "/services/T0ABC/B0/xY",
		  "" },
		{ "slack://xoxb:1-2-a@c001", "https://slack.com:443", "/api/chat.postMessage",
		  "Authorization: Bearer xoxb-1-2-a" },
		{ "discord://tok@42", "https://discord.com:443", "/api/webhooks/42/tok", "" },
		{ "telegram://1:a@telegram?chats=@x", "https://api.telegram.org:443",
		  "/bot1:a/sendMessage", "" },
		{ "generic://h.example/hook?a=1&template=json&b=%202", "https://h.example:443",
		  "/hook?a=1&b=%202", "Content-Type: application/json" },
		{ "smtp://u:p@mail.example:587/?from=a@b.c&to=d@e.f", "smtp://mail.example:587", "",
		  "" },
		{ "smtp://mail.example:465/?from=a@b.c&to=d@e.f", "smtps://mail.example:465", "",
		  "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct notify_service *service = service_of(rows[i].url);

		assert_string_equal(service->target.base, rows[i].base);
		assert_string_equal(service->path, rows[i].path);
		assert_string_equal(service->headers[0], rows[i].header);
	}
	assert_true(service_of("smtp://u:p@m.example/?from=a@b.c&to=d@e.f")->tls_needed);
	assert_int_equal(notify_parse(services, 4, STR("telegram://1:a@t?chats=1,2,3"), error), 3);
	assert_string_equal(services[2].channel, "3");
}

static void a_bad_url_is_said_without_its_secret(void **state)
{
	static const char *const urls[] = {
		"gotify://host/", "ntfy://host", "slack://x", "discord://42", "smtp://h/?from=x",
		"telegram://1@t?chats=1", "smtp://h/?from=a@b&to=c%0d%0a@d", "xmpp://secret@h",
		"generic+http://8.8.8.8/secret", "gotify://ho st/secret", "generic://", "secret",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		error[0] = '\0';
		if (notify_parse(services, 4, str_of(urls[i]), error) >= 0)
			fail_msg("%s was taken", urls[i]);
		assert_true(error[0] != '\0' && !strstr(error, "secret"));
	}
}

static void bodies_are_escaped_for_their_service(void **state)
{
	json_t *object;

	(void)state;
	snprintf(alert.title, sizeof(alert.title), "t & <b>");
	snprintf(alert.message, sizeof(alert.message), "m=1&\"x\" <!channel>");
	assert_int_equal(notify_gotify(services, "https://g.example", "k", error), 0);
	body[notify_body(services, &alert, 0, body)] = '\0';
	assert_string_equal(body, "message=m%3D1%26%22x%22%20%3C%21channel%3E&priority=8&"
			    "title=t%20%26%20%3Cb%3E");
	body[notify_body(service_of("slack://hook:T0-B0-xY@webhook"), &alert, 0, body)] = '\0';
	object = json_loads(body, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(object, "text")),
			    "*t &amp; &lt;b&gt;*\nm=1&amp;\"x\" &lt;!channel&gt;");
	json_decref(object);
	body[notify_body(service_of("smtp://m.example/?from=a@b.c&to=d@e.f,g@h.i"), &alert, 0,
			 body)] = '\0';
	assert_string_equal(body, "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nFrom: a@b.c\r\n"
			    "To: d@e.f, g@h.i\r\nSubject: t & <b>\r\nMIME-Version: 1.0\r\n"
			    "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
			    "m=1&\"x\" <!channel>\r\n");
}

int main(void)
{
#define test(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
		test(an_alert_has_exactly_the_seeds_words),
		test(what_is_not_known_is_left_out),
		test(names_of_an_attacker_are_printable),
		test(only_blocks_are_alerted),
		test(a_key_is_taken_once_in_its_time),
		test(a_digest_counts_all_and_names_the_most),
		test(what_is_to_be_ignored_is),
		test(services_are_read_from_their_urls),
		test(a_bad_url_is_said_without_its_secret),
		test(bodies_are_escaped_for_their_service),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
