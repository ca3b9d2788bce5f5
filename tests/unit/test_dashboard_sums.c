/* test_dashboard_sums.c - sums by key, in every order, of a store in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "dashboard/store_sums.h"
#include "tests/unit/dashboard_world.h"

/* One event of the verdict at the time. */
static void add(struct store *store, const char *name, const char *action, int bytes, int64_t at)
{
	json_t *item = json_pack("{s:s, s:s, s:s, s:s, s:i}", "msg", "m", "action", action, "https",
				 name, "hostname", "host-1", "bytes_up", bytes);
	struct entry entry;

	assert_non_null(item);
	assert_true(entry_init(&entry, item, "r:1", at));
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_add_events(store, &entry, 1), 0);
	assert_int_equal(store_commit(store), 0);
	entry_finish(&entry);
	json_decref(item);
}

struct keys {
	struct out out;
	int64_t sums[SUMS_COLUMN_COUNT];        /* of the first row */
};

static int on_row(void *arg, const struct store_value *columns)
{
	struct keys *keys = arg;

	for (int i = 0; i < SUMS_COLUMN_COUNT && keys->out.len == 0; i++)
		keys->sums[i] = columns[i].number;
	if (keys->out.len > 0)
		out_text(&keys->out, " ");
	out_put(&keys->out, columns[SUMS_KEY].text.at, columns[SUMS_KEY].text.len);
	return 0;
}

static struct keys ask(struct store *store, struct sums_query query)
{
	struct keys keys = { .sums = { 0 } };

	out_init(&keys.out, 4096);
	if (query.limit == 0)
		query.limit = 100;
	assert_int_equal(store_sum_by_key(store, &query, on_row, &keys), 0);
	assert_false(keys.out.failed);
	return keys;
}

static void assert_keys(struct store *store, struct sums_query query, const char *wanted)
{
	struct keys keys = ask(store, query);

	assert_string_equal(keys.out.len > 0 ? keys.out.at : "", wanted);
	out_finish(&keys.out);
}

/* Each is the first one of another order. */
static void add_some(struct store *store)
{
	for (int i = 0; i < 4; i++)
		add(store, "many", "ALLOWED", 1, 100 + i);
	for (int i = 0; i < 3; i++)
		add(store, "stopped", "BLOCKED", 0, 10 + i);
	for (int i = 0; i < 2; i++)
		add(store, "told", "AUDIT", 2, 50 + i);
	add(store, "large", "ALLOWED", 1000, 20);
	add(store, "newest", "BLOCKED", 3, 900);
}

static void sums_come_in_the_order_that_was_asked_for(void **state)
{
	static const struct {
		enum sums_column order;
		const char *down, *up;
	} wanted[] = {
		{ SUMS_KEY, "told stopped newest many large", "large many newest stopped told" },
		{ SUMS_TOTAL, "many stopped told newest large", "newest large told stopped many" },
		{ SUMS_ALLOWED, "many large stopped told newest",
		  "stopped told newest large many" },
		{ SUMS_BLOCKED, "stopped newest many told large",
		  "many told large newest stopped" },
		{ SUMS_AUDIT, "told many stopped newest large", "many stopped newest large told" },
		{ SUMS_BYTES, "large many told newest stopped", "stopped newest many told large" },
		{ SUMS_LAST_SEEN, "newest many told large stopped",
		  "stopped large told many newest" },
	};
	struct store *store = *state;

	add_some(store);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		assert_keys(store, (struct sums_query){ .order = wanted[i].order },
			    wanted[i].down);
		assert_keys(store, (struct sums_query){ .order = wanted[i].order,
							.ascending = true }, wanted[i].up);
	}
}

static void sums_that_are_cut_off_keep_the_foremost(void **state)
{
	struct store *store = *state;
	struct keys keys;

	add_some(store);
	assert_keys(store, (struct sums_query){ .order = SUMS_BYTES, .limit = 1 }, "large");
	assert_keys(store, (struct sums_query){ .order = SUMS_BLOCKED, .limit = 2 },
		    "stopped newest");
	assert_keys(store, (struct sums_query){ .order = SUMS_TOTAL, .limit = 2 },
		    "many stopped");
	keys = ask(store, (struct sums_query){ .order = SUMS_ALLOWED, .limit = 1 });
	assert_int_equal(keys.sums[SUMS_TOTAL], 4);
	assert_int_equal(keys.sums[SUMS_ALLOWED], 4);
	assert_int_equal(keys.sums[SUMS_BLOCKED], 0);
	assert_int_equal(keys.sums[SUMS_AUDIT], 0);
	assert_int_equal(keys.sums[SUMS_BYTES], 4);
	assert_int_equal(keys.sums[SUMS_LAST_SEEN], 103);
	out_finish(&keys.out);
}

static void sums_that_are_equal_come_by_time_then_by_key(void **state)
{
	static const char *const names[] = { "c", "a", "B", "d" };
	struct store *store = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		add(store, names[i], "ALLOWED", 7, 50);
	add(store, "later", "ALLOWED", 7, 51);
	for (int order = SUMS_TOTAL; order < SUMS_LAST_SEEN; order++)
		for (int up = 0; up < 2; up++)
			assert_keys(store, (struct sums_query){ .order = order,
				    .ascending = up == 1 }, "later B a c d");
	assert_keys(store, (struct sums_query){ .order = SUMS_LAST_SEEN, .ascending = true },
		    "B a c d later");
}

static void sums_are_of_what_the_query_lets_through(void **state)
{
	struct store *store = *state;

	add_some(store);
	assert_keys(store, (struct sums_query){ .events = { .action = STR("ALLOWED") },
						.order = SUMS_BYTES }, "large many");
	assert_keys(store, (struct sums_query){ .events = { .from_ns = 50, .to_ns = 101 },
						.order = SUMS_TOTAL }, "told many");
	assert_keys(store, (struct sums_query){ .events = { .q = STR("stopped") },
						.order = SUMS_KEY }, "stopped");
	assert_keys(store, (struct sums_query){ .by = SUMS_BY_CLIENT, .order = SUMS_KEY },
		    "host-1");
}

static void every_column_is_found_by_its_word(void **state)
{
	enum sums_column column = SUMS_COLUMN_COUNT;

	(void)state;
	for (int i = 0; i < SUMS_COLUMN_COUNT; i++) {
		assert_true(sums_column_parse(str_of(sums_column_word(i)), &column));
		assert_int_equal(column, i);
	}
	assert_false(sums_column_parse(STR("moon"), &column));
	assert_false(sums_column_parse(STR(""), &column));
	assert_false(sums_column_parse(STR("byte"), &column));
	assert_int_equal(column, SUMS_COLUMN_COUNT - 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_store, close_store)
	const struct CMUnitTest tests[] = {
		TEST(sums_come_in_the_order_that_was_asked_for),
		TEST(sums_that_are_cut_off_keep_the_foremost),
		TEST(sums_that_are_equal_come_by_time_then_by_key),
		TEST(sums_are_of_what_the_query_lets_through),
		cmocka_unit_test(every_column_is_found_by_its_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
