/* test_event_json.c - an event as a dashboard and a collector get it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>

#include "dashboard/event_json.h"

/* 2026-07-05T00:25:09.123456789Z */
#define NOON UINT64_C(1783211109123456789)

static const struct event_origin origin = { "host-01", "0.6.0" };
static struct event event;
static char text[EVENT_JSON_MAX + 1];

static int begin(void **state)
{
	(void)state;
	event = (struct event){ .time_ns = NOON, .kind = EVENT_HTTPS_BLOCKED,
				.reason = CLOSE_NO_SNI };
	return addr_parse_with_port(STR("172.18.0.2:51822"), 0, &event.src) &&
	       addr_parse_with_port(STR("93.184.216.34:443"), 0, &event.dst) ? 0 : -1;
}

static void set_name(const char *name, size_t len)
{
	event.name_len = (uint16_t)len;
	memcpy(event.name, name, len);
	event.name[len] = '\0';
}

static const char *json(void)
{
	text[event_json(&event, &origin, text)] = '\0';
	return text;
}

static void a_block_is_the_specifications_example(void **state)
{
	(void)state;
	set_name("example.com", 11);
	assert_string_equal(json(),
		"{\"action\":\"BLOCKED\",\"component\":\"https\","
		"\"destination_ip\":\"93.184.216.34\",\"destination_port\":443,"
		"\"dst\":\"93.184.216.34:443\",\"flow_id\":\"66e815141dfed7b8\","
		"\"hostname\":\"host-01\",\"https\":\"example.com\",\"msg\":\"https.blocked\","
		"\"producer_time\":\"2026-07-05T00:25:09.123456789Z\",\"reason\":\"no-sni\","
		"\"source_ip\":\"172.18.0.2\",\"source_port\":51822,"
		"\"time\":\"2026-07-05T00:25:09.123456789Z\",\"version\":\"0.6.0\"}");
}

static void http_has_its_host_twice_and_ours_is_there_too(void **state)
{
	json_t *object;

	(void)state;
	event.kind = EVENT_HTTP_ALLOWED;
	event.reason = CLOSE_DONE;
	event.conn = 77;
	snprintf(event.rule, sizeof(event.rule), "*.example.com");
	set_name("a.example.com", 13);
	object = json_loads(json(), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "host")), "a.example.com");
	assert_string_equal(json_string_value(json_object_get(object, "http_host")),
			    "a.example.com");
	assert_string_equal(json_string_value(json_object_get(object, "rule")), "*.example.com");
	assert_int_equal(json_integer_value(json_object_get(object, "conn")), 77);
	json_decref(object);
}

/* The longest, all of it escaped: no room may be too small for it. */
static void worst_texts_fit_and_stay_json(void **state)
{
	char name[HOSTNAME_MAX], host[256];
	json_t *object;

	(void)state;
	memset(name, 0x01, sizeof(name));
	memset(host, 0x02, sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	event.kind = EVENT_HTTP_BLOCKED;
	event.reason = CLOSE_NOT_ALLOWLISTED;
	event.error = 104;
	event.count = 1000000;
	set_name(name, sizeof(name));
	memset(event.rule, '"', sizeof(event.rule));
	memset(event.detail, '\x7f', sizeof(event.detail));
	for (int i = 0; i < EVENT_KIND_COUNT; i++) {
		const struct event_origin worst = { host, "0.1.0" };

		event.kind = (enum event_kind)i;
		text[event_json(&event, &worst, text)] = '\0';
		object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(object);
		json_decref(object);
		text[event_otlp(&event, text)] = '\0';
		object = json_loads(text, 0, NULL);
		assert_non_null(object);
		json_decref(object);
	}
}

static void what_is_shipped_is_decisions_and_ends_that_went_somewhere(void **state)
{
	(void)state;
	assert_true(event_is_shipped(&event));
	event.kind = EVENT_NFLOG_BLOCKED;
	assert_true(event_is_shipped(&event));
	event.kind = EVENT_NFLOG_ALLOWED;
	assert_false(event_is_shipped(&event));
	event.kind = EVENT_NFLOG_REDIRECTED;
	assert_false(event_is_shipped(&event));
	event.kind = EVENT_HTTPS_CLOSED;
	assert_false(event_is_shipped(&event));
	event.dialled = event.dst;
	assert_true(event_is_shipped(&event));
	event.kind = EVENT_HTTPS_DIAL;
	assert_false(event_is_shipped(&event));
}

static void a_batch_of_records_is_a_request(void **state)
{
	static char all[3 * EVENT_JSON_MAX];
	size_t len;
	json_t *object;

	(void)state;
	set_name("example.com", 11);
	len = event_otlp_head(&origin, "egress \"1\"", all);
	len += event_otlp(&event, all + len);
	all[len++] = ',';
	len += event_otlp(&event, all + len);
	snprintf(all + len, sizeof(all) - len, "%s", EVENT_OTLP_TAIL);
	object = json_loads(all, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(object);
	json_decref(object);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
		test(a_block_is_the_specifications_example),
		test(http_has_its_host_twice_and_ours_is_there_too),
		test(worst_texts_fit_and_stay_json),
		test(what_is_shipped_is_decisions_and_ends_that_went_somewhere),
		test(a_batch_of_records_is_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
