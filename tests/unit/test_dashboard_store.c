/* test_dashboard_store.c - events and unblocks in and out of a store in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "dashboard/rfc3339.h"
#include "dashboard/store_events.h"
#include "dashboard/store_unblocks.h"
#include "tests/unit/dashboard_world.h"

static void add(struct store *store, const char *name, const char *action, int count)
{
	struct entry *entries = calloc((size_t)count, sizeof(*entries));
	json_t *item = json_pack("{s:s, s:s, s:s, s:s, s:i}", "msg", "m", "action", action, "https",
				 name, "component", "https", "bytes_up", 3);

	assert_non_null(entries);
	for (int i = 0; i < count; i++)
		assert_true(entry_init(&entries[i], item, "r:1", 1000 + i));
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_add_events(store, entries, (size_t)count), 0);
	assert_int_equal(store_commit(store), 0);
	for (int i = 0; i < count; i++)
		entry_finish(&entries[i]);
	json_decref(item);
	free(entries);
}

struct found {
	int64_t ids[100];
	int count;
};

static int on_entry(void *arg, struct entry *entry)
{
	struct found *found = arg;

	assert_true(found->count < 100);
	found->ids[found->count++] = entry->id;
	return 0;
}

static struct found find(struct store *store, struct event_query query)
{
	struct found found = { .count = 0 };

	if (query.limit == 0)
		query.limit = 100;
	assert_int_equal(store_find_events(store, &query, on_entry, &found), 0);
	return found;
}

static int64_t total(struct store *store, struct event_query query)
{
	int64_t count = -1;

	assert_int_equal(store_count_events(store, &query, &count), 0);
	return count;
}

static void store_gives_ids_in_order_and_finds_by_words(void **state)
{
	struct store *store = *state;
	struct found found;

	add(store, "alpha.example", "BLOCKED", 3);
	add(store, "beta.example", "ALLOWED", 2);
	found = find(store, (struct event_query){ .q = STR("ALPHA") });
	assert_int_equal(found.count, 3);
	assert_int_equal(found.ids[0], 3);
	assert_int_equal(found.ids[2], 1);
	assert_int_equal(total(store, (struct event_query){ .q = STR("example beta") }), 2);
	assert_int_equal(total(store, (struct event_query){ .q = STR("\"example beta\"") }), 0);
	assert_int_equal(total(store, (struct event_query){ .action = STR("allowed") }), 2);
	assert_int_equal(total(store, (struct event_query){ .action = STR("what") }), 0);
	assert_int_equal(total(store, (struct event_query){ .q = STR("al") }), 3 + 2);
	assert_int_equal(total(store, (struct event_query){ .from_ns = 1001, .to_ns = 1002 }), 2);
	found = find(store, (struct event_query){ .since_id = 1, .before_id = 4,
						  .oldest_first = true });
	assert_int_equal(found.count, 2);
	assert_int_equal(found.ids[0], 2);
}

static void store_takes_any_text_for_a_search(void **state)
{
	static const char *const odd[] = {
		"\"", "\"\"", "'", "%%%", "___", "\\\\\\", "a AND b", "NEAR(a b)", "*", "search:x",
		"\xff\xfe\xfd", "^^^", "(((", "\"a\"b\"", "    ",
	};
	struct store *store = *state;

	add(store, "alpha.example", "BLOCKED", 1);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		(void)find(store, (struct event_query){ .q = str_of(odd[i]) });
	assert_int_equal(find(store, (struct event_query){ .q = { "a\0pha", 5 } }).count, 0);
	assert_int_equal(find(store, (struct event_query){ .q = STR("alpha%") }).count, 0);
}

static void store_finds_many_and_few_alike(void **state)
{
	struct store *store = *state;

	/* Above so many events another way is taken. */
	for (int i = 0; i < 21; i++)
		add(store, "common.example", "BLOCKED", 1000);
	add(store, "rare.example", "BLOCKED", 1);
	assert_int_equal(find(store, (struct event_query){ .q = STR("common"),
							   .limit = 7 }).count, 7);
	assert_int_equal(find(store, (struct event_query){ .q = STR("rare") }).ids[0], 21001);
	assert_int_equal(total(store, (struct event_query){ .q = STR("example") }), 21001);
}

static void store_prunes_the_oldest_and_keeps_count(void **state)
{
	struct store *store = *state;
	bool more = true;

	add(store, "old.example", "BLOCKED", 60);
	add(store, "new.example", "BLOCKED", 60);
	while (more)
		assert_int_equal(store_prune(store, 70, &more), 0);
	assert_int_equal(total(store, (struct event_query){ .q = STR("old.") }), 10);
	assert_int_equal(total(store, (struct event_query){ .q = STR("new.") }), 60);
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_clear_events(store), 0);
	assert_int_equal(store_commit(store), 0);
	assert_int_equal(find(store, (struct event_query){ .limit = 9 }).count, 0);
	add(store, "new.example", "BLOCKED", 1);
	assert_int_equal(find(store, (struct event_query){ .q = STR("new.") }).ids[0], 121);
}

static void store_forgets_what_was_rolled_back(void **state)
{
	struct store *store = *state;
	json_t *item = json_pack("{s:s, s:s, s:s}", "msg", "m", "action", "BLOCKED", "https",
				 "gone.example");
	struct entry entry;

	assert_true(entry_init(&entry, item, "r:1", 1));
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_add_events(store, &entry, 1), 0);
	store_rollback(store);
	assert_int_equal(total(store, (struct event_query){ .q = STR("gone") }), 0);
	add(store, "gone.example", "BLOCKED", 2);       /* its subject is made anew */
	assert_int_equal(total(store, (struct event_query){ .q = STR("gone") }), 2);
	entry_finish(&entry);
	json_decref(item);
}

static void unblock_goes_from_pending_to_undone(void **state)
{
	struct store *store = *state;
	const struct unblock wanted = { .type = STR("domain"), .value = STR("a.example"),
					.target = STR("h1"), .who = STR("me"), .reason = STR(""),
					.undoes = STR("") };
	char id[UNBLOCK_ID_MAX], same[UNBLOCK_ID_MAX], undo[UNBLOCK_ID_MAX];
	struct out out;

	assert_int_equal(unblock_add(store, &wanted, id), 0);
	assert_int_equal(unblock_add(store, &wanted, same), 0);
	assert_string_equal(id, same);
	assert_int_equal(unblock_ack(store, &(struct unblock_ack){ .id = STR("nobody") }), -ENOENT);
	assert_int_equal(unblock_ack(store, &(struct unblock_ack){ .id = str_of(id) }), 0);
	assert_int_equal(unblock_ack(store, &(struct unblock_ack){ .id = str_of(id) }), -ENOENT);
	assert_int_equal(unblock_undo(store, str_of(id), STR("me"), undo), 0);
	out_init(&out, 1 << 16);
	assert_int_equal(unblock_pending(store, &(struct unblock_view){
		.hostname = STR("H1"), .plain_only = true }, &out), 0);
	assert_string_equal(out.at, "[]");
	out_finish(&out);
	assert_int_equal(unblock_pending(store, &(struct unblock_view){
		.hostname = STR("H1") }, &out), 0);
	assert_non_null(strstr(out.at, "\"remove\":true"));
	out_finish(&out);
	assert_int_equal(unblock_ack(store, &(struct unblock_ack){ .id = str_of(undo) }), 0);
	assert_int_equal(unblock_completed(store, &out), 0);
	assert_non_null(strstr(out.at, "\"status\":\"undone\""));
	out_finish(&out);
	assert_int_equal(unblock_undo(store, str_of(id), STR("me"), undo), -EALREADY);
}

static bool is_pending(struct store *store, const char *hostname, const char *id)
{
	struct out out;
	bool found;

	out_init(&out, 65536);
	assert_int_equal(unblock_pending(store, &(struct unblock_view){
				.hostname = str_of(hostname) }, &out), 0);
	found = strstr(out.at, id) != NULL;
	out_finish(&out);
	return found;
}

static void saw(struct store *store, const char *id, const char *hostname)
{
	assert_int_equal(store_exec(store, "INSERT INTO instance(id, hostname, last_seen, json)"
				    " VALUES ($1, $2, $3, '{}')", store_text(str_of(id)),
				    store_text(str_of(hostname)), store_int(clock_now_ns())), 0);
}

/* For all hosts, and only one has done it; or one has, and another could not. */
static void undo_takes_away_what_some_host_has_in_force(void **state)
{
	struct store *store = *state;
	const struct unblock wanted = { .type = STR("domain"), .value = STR("a.example"),
					.target = STR(""), .who = STR("me"), .reason = STR(""),
					.undoes = STR("") };
	char id[UNBLOCK_ID_MAX], undo[UNBLOCK_ID_MAX], own[64];

	saw(store, "1", "h1");
	saw(store, "2", "h2");
	for (int failed = 0; failed < 2; failed++) {
		assert_int_equal(unblock_add(store, &wanted, id), 0);
		assert_int_equal(unblock_ack(store, &(struct unblock_ack){
					.id = str_of(id), .hostname = STR("h1") }), 0);
		if (failed)
			assert_int_equal(unblock_ack(store, &(struct unblock_ack){
						.id = str_of(id), .hostname = STR("h2"),
						.error = STR("read-only") }), 0);
		assert_int_equal(unblock_undo(store, str_of(id), STR("me"), undo), 0);
		assert_string_not_equal(undo, "");
		snprintf(own, sizeof(own), "\"id\":\"%s\"", id);
		assert_false(is_pending(store, "h2", own));
		assert_true(is_pending(store, "h1", undo));
		assert_true(is_pending(store, "h2", undo));
		for (int i = 0; i < 2; i++)
			assert_int_equal(unblock_ack(store, &(struct unblock_ack){
						.id = str_of(undo),
						.hostname = i ? STR("h1") : STR("h2") }), 0);
		assert_false(is_pending(store, "h1", undo));
		assert_int_equal(unblock_undo(store, str_of(id), STR("me"), undo), -EALREADY);
	}
}

static void unblocks_of_other_terms_are_not_the_same(void **state)
{
	struct store *store = *state;
	struct unblock wanted = { .type = STR("domain"), .value = STR("a.example"),
				  .target = STR("h1"), .who = STR("me"), .reason = STR(""),
				  .undoes = STR("") };
	char always[UNBLOCK_ID_MAX], hour[UNBLOCK_ID_MAX], once[UNBLOCK_ID_MAX],
	     again[UNBLOCK_ID_MAX];

	assert_int_equal(unblock_add(store, &wanted, always), 0);
	wanted.expires_ns = clock_now_ns() + 3600 * NS_PER_S;
	assert_int_equal(unblock_add(store, &wanted, hour), 0);
	assert_string_not_equal(hour, always);
	wanted.expires_ns = 0;
	wanted.once = true;
	assert_int_equal(unblock_add(store, &wanted, once), 0);
	assert_string_not_equal(once, always);
	wanted.once = false;
	assert_int_equal(unblock_add(store, &wanted, again), 0);
	assert_string_equal(again, always);
}

static void unblock_that_is_over_is_no_longer_pending(void **state)
{
	struct store *store = *state;
	const struct unblock wanted = { .type = STR("ip"), .value = STR("192.0.2.7"),
					.target = STR(""), .who = STR("me"), .reason = STR(""),
					.undoes = STR(""), .expires_ns = 1 };
	char id[UNBLOCK_ID_MAX];
	struct out out;

	assert_int_equal(unblock_add(store, &wanted, id), 0);
	out_init(&out, 1 << 16);
	assert_int_equal(unblock_pending(store, &(struct unblock_view){ .all = true }, &out), 0);
	assert_string_equal(out.at, "[]");
	out_finish(&out);
	assert_int_equal(unblock_expire(store), 0);
	assert_int_equal(unblock_completed(store, &out), 0);
	assert_non_null(strstr(out.at, "\"status\":\"expired\""));
	out_finish(&out);
}

static void once_is_over_when_nobody_fetched_it_in_time(void **state)
{
	struct store *store = *state;
	const struct unblock wanted = { .type = STR("domain"), .value = STR("a.example"),
					.target = STR("h1"), .who = STR("me"), .reason = STR(""),
					.undoes = STR(""), .once = true };
	char id[UNBLOCK_ID_MAX], again[UNBLOCK_ID_MAX];
	int64_t expires = 0, now = clock_now_ns();

	assert_int_equal(unblock_add(store, &wanted, id), 0);
	assert_int_equal(store_number(store, "SELECT expires FROM unblock", &expires), 0);
	assert_true(expires > now && expires <= clock_now_ns() + 600 * NS_PER_S);
	/* Asked for again it waits for longer. */
	assert_int_equal(store_exec(store, "UPDATE unblock SET expires = $1", store_int(now)), 0);
	assert_int_equal(unblock_add(store, &wanted, again), 0);
	assert_string_equal(again, id);
	assert_int_equal(store_number(store, "SELECT expires FROM unblock", &expires), 0);
	assert_true(expires > now);
	assert_true(is_pending(store, "h1", id));
	assert_int_equal(store_exec(store, "UPDATE unblock SET expires = $1", store_int(now)), 0);
	assert_false(is_pending(store, "h1", id));
}

static void put_instance(struct store *store, const char *name, const char *json)
{
	assert_int_equal(store_exec(store, "INSERT INTO instance(id, hostname, last_seen, json)"
				    " VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET"
				    " last_seen = excluded.last_seen, json = excluded.json",
				    store_text(str_of(name)), store_text(str_of(name)),
				    store_int(clock_now_ns()), store_text(str_of(json))), 0);
}

static bool is_applied(struct store *store, const char *id)
{
	int64_t count = 0;

	assert_int_equal(store_number(store, "SELECT COUNT(*) FROM unblock"
				      " WHERE state = 'applied'", &count), 0);
	assert_true(count == 1 || is_pending(store, "nobody", id));
	return count == 1;
}

static void unblock_for_all_waits_only_for_those_that_would_do_it(void **state)
{
	struct store *store = *state;
	const struct unblock wanted = { .type = STR("domain"), .value = STR("a.example"),
					.target = STR(""), .who = STR("me"), .reason = STR(""),
					.undoes = STR("") };
	char id[UNBLOCK_ID_MAX];

	put_instance(store, "on", "{\"unblocks\":\"on\",\"version\":\"1\"}");
	put_instance(store, "old", "{\"version\":\"\\\"unblocks\\\":\\\"off\\\"\"}");
	put_instance(store, "off", "{\"unblocks\":\"off\",\"version\":\"1\"}");
	assert_int_equal(unblock_add(store, &wanted, id), 0);
	assert_int_equal(unblock_ack(store, &(struct unblock_ack){
		.id = str_of(id), .hostname = STR("ON") }), 0);
	assert_false(is_applied(store, id));
	assert_int_equal(unblock_expire(store), 0);
	assert_false(is_applied(store, id));
	assert_int_equal(unblock_ack(store, &(struct unblock_ack){
		.id = str_of(id), .hostname = STR("old") }), 0);
	assert_true(is_applied(store, id));
}

static void unblock_for_all_ends_when_the_last_that_was_missing_goes(void **state)
{
	struct store *store = *state;
	const struct unblock wanted = { .type = STR("domain"), .value = STR("a.example"),
					.target = STR(""), .who = STR("me"), .reason = STR(""),
					.undoes = STR("") };
	char id[UNBLOCK_ID_MAX];

	put_instance(store, "a", "{}");
	put_instance(store, "b", "{}");
	assert_int_equal(unblock_add(store, &wanted, id), 0);
	assert_int_equal(unblock_expire(store), 0);
	assert_false(is_applied(store, id));            /* nobody has done anything yet */
	assert_int_equal(unblock_ack(store, &(struct unblock_ack){
		.id = str_of(id), .hostname = STR("a") }), 0);
	assert_int_equal(unblock_expire(store), 0);
	assert_false(is_applied(store, id));
	assert_int_equal(store_exec(store, "UPDATE instance SET last_seen = $1"
				    " WHERE hostname = 'b'",
				    store_int(clock_now_ns() - 3600 * NS_PER_S)), 0);
	assert_int_equal(unblock_expire(store), 0);
	assert_true(is_applied(store, id));
}

static void unblocks_are_limited_in_number(void **state)
{
	struct store *store = *state;
	char id[UNBLOCK_ID_MAX], value[32];
	int err = 0;

	assert_int_equal(store_begin(store), 0);
	for (int i = 0; i <= UNBLOCK_PENDING_MAX; i++) {
		snprintf(value, sizeof(value), "n%d.example", i);
		err = unblock_add(store, &(struct unblock){
			.type = STR("domain"), .value = str_of(value), .target = STR(""),
			.who = STR(""), .reason = STR(""), .undoes = STR("") }, id);
		assert_int_equal(err, i < UNBLOCK_PENDING_MAX ? 0 : -EAGAIN);
	}
	assert_int_equal(store_commit(store), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_store, close_store)
	const struct CMUnitTest tests[] = {
		TEST(store_gives_ids_in_order_and_finds_by_words),
		TEST(store_takes_any_text_for_a_search),
		TEST(store_finds_many_and_few_alike),
		TEST(store_prunes_the_oldest_and_keeps_count),
		TEST(store_forgets_what_was_rolled_back),
		TEST(unblock_goes_from_pending_to_undone),
		TEST(undo_takes_away_what_some_host_has_in_force),
		TEST(unblocks_of_other_terms_are_not_the_same),
		TEST(unblock_that_is_over_is_no_longer_pending),
		TEST(once_is_over_when_nobody_fetched_it_in_time),
		TEST(unblock_for_all_waits_only_for_those_that_would_do_it),
		TEST(unblock_for_all_ends_when_the_last_that_was_missing_goes),
		TEST(unblocks_are_limited_in_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
