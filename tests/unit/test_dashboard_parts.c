/* test_dashboard_parts.c - the hub, the limits, the suffixes, the table of routes, and
 * who waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "dashboard/hub.h"
#include "dashboard/json_arena.h"
#include "dashboard/limits.h"
#include "dashboard/route.h"
#include "dashboard/server.h"
#include "dashboard/suffix.h"
#include "dashboard/waiters.h"
#include "dashboard/work.h"

static void on_wake(void *arg)
{
	++*(unsigned *)arg;
}

static void publish(struct hub *hub, int64_t id, const char *text)
{
	hub_publish(hub, id, strdup(text), strlen(text));
}

static void hub_gives_every_reader_all_from_where_it_began(void **state)
{
	unsigned wakes = 0;
	struct hub *hub = hub_open(10, on_wake, &wakes);
	struct hub_reader early = { 0 }, late = { 0 }, after = { 0 };
	char buf[64];

	(void)state;
	hub_begin(hub, &early);
	publish(hub, 11, "one;");
	hub_begin(hub, &late);
	publish(hub, 0, "word;");
	publish(hub, 12, "two;");
	assert_int_equal(wakes, 3);
	assert_int_equal(hub_read(hub, &early, buf, sizeof(buf)), 13);
	assert_memory_equal(buf, "one;word;two;", 13);
	assert_int_equal(early.last_id, 12);
	assert_int_equal(hub_read(hub, &late, buf, sizeof(buf)), 9);
	assert_int_equal(hub_read(hub, &late, buf, sizeof(buf)), 0);
	assert_true(hub_begin_after(hub, &after, 11));
	assert_int_equal(hub_read(hub, &after, buf, sizeof(buf)), 4);
	assert_false(hub_begin_after(hub, &after, 9));          /* 10 was before its time */
	assert_true(hub_begin_after(hub, &after, 10));
	assert_true(hub_begin_after(hub, &after, 99));          /* of another store */
	assert_int_equal(hub_read(hub, &after, buf, sizeof(buf)), 0);
	publish(hub, 13, "three;");
	assert_int_equal(hub_read(hub, &after, buf, sizeof(buf)), 6);
	hub_close(hub);
}

static void hub_that_lags_gives_nobody_what_he_has_already(void **state)
{
	unsigned wakes = 0;
	struct hub *hub = hub_open(10, on_wake, &wakes);
	struct hub_reader after = { 0 };
	char buf[64];

	(void)state;
	hub_may_lag(hub);
	assert_true(hub_begin_after(hub, &after, 12));
	publish(hub, 11, "one;");
	publish(hub, 0, "word;");
	publish(hub, 12, "two;");
	assert_int_equal(hub_read(hub, &after, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "word;", 5);
	assert_int_equal(after.last_id, 12);
	publish(hub, 13, "three;");
	assert_int_equal(hub_read(hub, &after, buf, sizeof(buf)), 6);
	assert_int_equal(after.last_id, 13);
	hub_close(hub);
}

static void hub_gives_a_message_in_pieces_and_keeps_it_until_then(void **state)
{
	unsigned wakes = 0;
	struct hub *hub = hub_open(0, on_wake, &wakes);
	struct hub_reader reader = { 0 };
	char all[16] = "";

	(void)state;
	hub_begin(hub, &reader);
	publish(hub, 1, "abcdefg");
	assert_int_equal(hub_read(hub, &reader, all, 3), 3);
	for (int i = 0; i < HUB_MESSAGES; i++)
		publish(hub, 2 + i, "x");
	assert_int_equal(hub_read(hub, &reader, all + 3, 3), 3);
	assert_int_equal(hub_read(hub, &reader, all + 6, 1), 1);
	assert_string_equal(all, "abcdefg");
	hub_end(hub, &reader);
	hub_close(hub);
}

static void hub_counts_what_a_slow_reader_lost(void **state)
{
	unsigned wakes = 0;
	struct hub *hub = hub_open(0, on_wake, &wakes);
	struct hub_reader reader = { 0 };
	char buf[8];

	(void)state;
	hub_begin(hub, &reader);
	for (int i = 0; i < HUB_MESSAGES + 7; i++)
		publish(hub, 1 + i, "x");
	assert_int_equal(hub_read(hub, &reader, buf, sizeof(buf)), 0);  /* told before the rest */
	assert_int_equal(reader.lost, 7);
	assert_int_equal(hub_counts(hub).lost, 7);
	reader.lost = 0;
	assert_int_equal(hub_read(hub, &reader, buf, sizeof(buf)), 8);
	assert_int_equal(reader.last_id, 15);
	hub_close(hub);
}

static void limits_give_each_source_its_own(void **state)
{
	struct limits *limits = limits_open(0.0001, 3);
	bool empty_now = false;
	char source[16];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(limits_take(limits, "a", &empty_now));
	assert_true(empty_now);
	assert_false(limits_take(limits, "a", &empty_now));
	assert_false(empty_now);
	assert_false(limits_left(limits, "a"));
	assert_true(limits_left(limits, "b"));
	/* Any number of others does not make it forget who is empty. */
	for (int i = 0; i < 3000; i++) {
		snprintf(source, sizeof(source), "s%d", i);
		assert_true(limits_take(limits, source, NULL));
	}
	assert_false(limits_left(limits, "a"));
	limits_close(limits);
}

static void suffix_says_what_opens_too_much(void **state)
{
	static const char *const good[] = {
		"example.com", "*.example.com", "a.b.co.uk", "*.example.co.uk", "db",
		"_dmarc.x.org", "user.github.io", "github.io", "xn--bcher-kva.example",
	};
	static const char *const bad[] = {
		"*", "com", "co.uk", "*.com", "*.co.uk", "*.github.io", "*.local", "/.*/",
		"1.2.3.4", "::1", "a..b", ".a", "a.", "-a.com", "a-.com", "a b", "*.*.com",
		"a.*.com", "", "1.2.3", "*.s3.amazonaws.com",
	};
	char normal[SUFFIX_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_null(suffix_refusal(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_non_null(suffix_refusal(bad[i]));
	assert_true(suffix_normal(STR("API.Example.COM."), normal));
	assert_string_equal(normal, "api.example.com");
}

static void route_is_found_by_its_own_words_first(void **state)
{
	char id[REQUEST_ID_MAX], allow[ROUTE_ALLOW_MAX];

	(void)state;
	assert_ptr_equal(route_find("GET", STR("/api/v1/unblocks/status"), id, allow)->handle,
			 api_unblocks_status);
	assert_ptr_equal(route_find("DELETE", STR("/api/v1/unblocks/x1"), id, allow)->handle,
			 api_unblocks_undo);
	assert_string_equal(id, "x1");
	assert_ptr_equal(route_find("HEAD", STR("/health"), id, allow)->handle, api_health);
	assert_null(route_find("PATCH", STR("/api/v1/unblocks/x1"), id, allow));
	assert_string_equal(allow, "DELETE");
	assert_null(route_find("GET", STR("/api/v1/unblocks/x/y"), id, allow));
	assert_string_equal(allow, "");
	assert_null(route_find("GET", STR("/api/v1/logs/"), id, allow));
}

/* The description has every route with its methods and summary, and nothing else. */
static void route_table_and_description_are_the_same(void **state)
{
	json_t *described = json_load_file("dashboard/openapi.json", 0, NULL);
	json_t *paths = json_object_get(described, "paths"), *methods, *one;
	const char *path, *method;
	size_t count = 0;

	(void)state;
	assert_non_null(paths);
	for (size_t i = 0; i < route_table_len; i++) {
		const struct route *route = &route_table[i];
		char lower[16] = "";

		for (size_t k = 0; route->method[k]; k++)
			lower[k] = ascii_lower(route->method[k]);
		one = json_object_get(json_object_get(paths, route->path), lower);
		assert_non_null(one);
		assert_non_null(strstr(json_string_value(json_object_get(one, "summary")),
				       route->summary));
		assert_int_equal(json_array_size(json_object_get(one, "security")) == 0,
				 route->may == 0);
	}
	json_object_foreach(paths, path, methods)
		json_object_foreach(methods, method, one)
			count++;
	assert_int_equal(count, route_table_len);
	json_decref(described);
}

/* More than the block has, and a value of before and behind. */
static void json_arena_takes_what_fits_and_leaves_others_alone(void **state)
{
	static char text[1 << 20];
	json_t *before, *all;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	json_arena_open();
	before = json_pack("{s:s}", "a", "before");
	for (int turn = 0; turn < 3; turn++) {
		json_arena_begin();
		all = json_array();
		for (int i = 0; i < 100; i++) {
			assert_int_equal(json_array_append_new(all, json_string(text)), 0);
			assert_int_equal(json_array_append_new(all, json_integer(i)), 0);
		}
		for (size_t i = 0; i < 100; i++) {
			assert_string_equal(json_string_value(json_array_get(all, 2 * i)), text);
			assert_int_equal(json_integer_value(json_array_get(all, 2 * i + 1)), i);
		}
		json_decref(all);
		json_arena_end();
		assert_string_equal(json_string_value(json_object_get(before, "a")), "before");
	}
	json_decref(before);
}

static bool is_parked(struct request *request)
{
	waiters_run(request->server);
	return request->parked;
}

static void park(struct request *request)
{
	request->parked = true;
	waiters_park(request);
}

static void waiters_miss_nothing_that_comes_while_they_look(void **state)
{
	char error[STORE_ERROR_MAX];
	struct server server = { .wake_fd = -1, .waiters = waiters_open() };
	struct request first = { .server = &server, .park_until_ns = INT64_MAX }, second = first;

	(void)state;
	assert_non_null(server.waiters);
	/* Nobody works: what is due is taken, and stays in the queue. */
	assert_int_equal(work_open(&(struct store_config){ "", "" }, 0, 8, SIZE_MAX, NULL, NULL,
				   &server.readers, error), 0);
	waiters_look(&first);
	park(&first);
	assert_true(is_parked(&first));
	waiters_look(&second);
	waiters_wake(&server);
	assert_false(is_parked(&first));
	park(&second);
	assert_false(is_parked(&second));
	waiters_look(&second);
	park(&second);
	assert_true(is_parked(&second));
	waiters_wake(&server);
	assert_false(is_parked(&second));
	work_close(server.readers);
	waiters_close(server.waiters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiters_miss_nothing_that_comes_while_they_look),
		cmocka_unit_test(hub_gives_every_reader_all_from_where_it_began),
		cmocka_unit_test(hub_that_lags_gives_nobody_what_he_has_already),
		cmocka_unit_test(hub_gives_a_message_in_pieces_and_keeps_it_until_then),
		cmocka_unit_test(hub_counts_what_a_slow_reader_lost),
		cmocka_unit_test(limits_give_each_source_its_own),
		cmocka_unit_test(suffix_says_what_opens_too_much),
		cmocka_unit_test(route_is_found_by_its_own_words_first),
		cmocka_unit_test(json_arena_takes_what_fits_and_leaves_others_alone),
		cmocka_unit_test(route_table_and_description_are_the_same),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
