/* test_dashboard_ends.c - which row an end of a connection completes, and with what. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "dashboard/store_ends.h"
#include "tests/unit/dashboard_world.h"

static json_t *facts_of(const char *hostname, int conn, const char *flow)
{
	return json_pack("{s:s, s:s, s:s, s:i, s:s}", "component", "https", "https", "a.example",
			 "hostname", hostname, "conn", conn, "flow_id", flow);
}

static struct entry row_of(const char *action, const char *hostname, int conn, const char *flow)
{
	json_t *item = facts_of(hostname, conn, flow);
	struct entry row;

	json_object_set_new(item, "msg", json_string("https.decided"));
	json_object_set_new(item, "action", json_string(action));
	assert_true(entry_init(&row, item, "r:1", 1000));
	json_decref(item);
	return row;
}

static json_t *end_item(const char *hostname, int conn, const char *flow)
{
	json_t *item = facts_of(hostname, conn, flow);

	json_object_update_new(item, json_pack("{s:s, s:i, s:i, s:i, s:s}", "msg", "https.closed",
					       "bytes_up", 700, "bytes_down", 9000, "duration_ms",
					       42, "reason", "done"));
	return item;
}

static struct end end_of(const char *hostname, int conn, const char *flow)
{
	json_t *item = end_item(hostname, conn, flow);
	struct end end;

	assert_true(end_init(&end, item));
	json_decref(item);
	return end;
}

static int64_t number_at(const struct entry *row, const char *key)
{
	return json_integer_value(json_object_get(row->fields, key));
}

static bool is_complete(const struct entry *row)
{
	return number_at(row, "bytes_up") == 700 && number_at(row, "bytes_down") == 9000 &&
	       number_at(row, "duration_ms") == 42;
}

static void an_end_completes_the_row_of_its_connection_only(void **state)
{
	static const struct {
		const char *hostname;
		int conn;
		const char *flow;
	} others[] = { { "b", 7, "f0" }, { "a", 8, "f0" }, { "a", 7, "f1" } };
	struct end end = end_of("a", 7, "f0");
	struct entry row = row_of("ALLOWED", "a", 7, "f0");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct entry other = row_of("ALLOWED", others[i].hostname, others[i].conn,
					    others[i].flow);

		assert_false(end_complete(&end, &other));
		/* Nor when by chance both are found by the same number. */
		other.link = end.link;
		assert_false(end_complete(&end, &other));
		assert_false(is_complete(&other));
		entry_finish(&other);
	}
	assert_false(end.used);
	assert_true(end_complete(&end, &row));
	assert_true(is_complete(&row) && end.used);
	assert_true(str_equal(entry_text(&row, "end_reason"), STR("done")));
	assert_int_equal(entry_text(&row, "reason").len, 0);
	assert_false(end_complete(&end, &row));         /* it has ended */
	entry_finish(&row);
	end_finish(&end);
}

static void what_lacks_something_is_no_end(void **state)
{
	static const char *const needed[] = { "msg", "hostname", "conn", "flow_id" };
	static const char *const wrong[] = { "https.allowed", ".closed", "closed", "" };
	struct end end;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		json_t *item = end_item("a", 7, "f0");

		json_object_del(item, needed[i]);
		assert_false(end_init(&end, item));
		end_finish(&end);
		json_decref(item);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		json_t *item = end_item("a", 7, "f0");

		json_object_set_new(item, "msg", json_string(wrong[i]));
		assert_false(end_init(&end, item));
		end_finish(&end);
		json_decref(item);
	}
}

static void what_is_no_number_of_bytes_is_left_out(void **state)
{
	json_t *item = end_item("a", 7, "f0");
	struct entry row = row_of("ALLOWED", "a", 7, "f0");
	struct end end;

	(void)state;
	json_object_set_new(item, "bytes_up", json_integer(-1));
	json_object_set_new(item, "bytes_down", json_pack("[i]", 5));
	assert_true(end_init(&end, item));
	assert_true(end_complete(&end, &row));
	assert_null(json_object_get(row.fields, "bytes_up"));
	assert_null(json_object_get(row.fields, "bytes_down"));
	assert_int_equal(number_at(&row, "duration_ms"), 42);
	entry_finish(&row);
	end_finish(&end);
	json_decref(item);
}

static void a_blocked_row_has_no_end(void **state)
{
	struct entry row = row_of("BLOCKED", "a", 7, "f0"), audit = row_of("AUDIT", "a", 7, "f0");

	(void)state;
	assert_int_equal(row.link, 0);
	assert_true(audit.link != 0);
	entry_finish(&row);
	entry_finish(&audit);
}

static void of_rows_that_came_together_the_newest_is_completed(void **state)
{
	struct entry rows[] = {
		row_of("ALLOWED", "a", 7, "f0"), row_of("ALLOWED", "a", 9, "f0"),
		row_of("ALLOWED", "a", 7, "f0"), row_of("ALLOWED", "b", 7, "f0"),
	};
	struct end ends[] = { end_of("a", 7, "f0"), end_of("a", 7, "f0"), end_of("c", 1, "f0") };

	(void)state;
	ends_match(ends, ARRAY_LEN(ends), rows, ARRAY_LEN(rows));
	assert_true(ends[0].used && !ends[1].used && !ends[2].used);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(is_complete(&rows[i]), i == 2);
		assert_int_equal(rows[i].link == 0, i == 0 || i == 2);
		entry_finish(&rows[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		end_finish(&ends[i]);
}

static void add(struct store *store, struct entry *rows, size_t count)
{
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_add_events(store, rows, count), 0);
	assert_int_equal(store_commit(store), 0);
}

struct completed {
	int64_t ids[8];
	size_t count;
};

static int on_row(void *arg, struct entry *row)
{
	struct completed *completed = arg;

	assert_true(is_complete(row));
	completed->ids[completed->count++] = row->id;
	return 0;
}

static struct completed complete(struct store *store, struct end *ends, size_t count)
{
	struct completed completed = { .count = 0 };

	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_complete_events(store, ends, count, on_row, &completed), 0);
	assert_int_equal(store_commit(store), 0);
	return completed;
}

static int on_check(void *arg, struct entry *row)
{
	*(bool *)arg = is_complete(row);
	return 0;
}

static bool stored_complete(struct store *store, int64_t id)
{
	bool complete = false;

	assert_int_equal(store_find_event(store, id, on_check, &complete), 0);
	return complete;
}

static int64_t number_of(struct store *store, const char *sql)
{
	int64_t number = -1;

	assert_int_equal(store_number(store, sql, &number), 0);
	return number;
}

static void a_stored_row_is_completed_once_and_counted(void **state)
{
	struct store *store = *state;
	struct entry rows[] = { row_of("ALLOWED", "a", 7, "f0"), row_of("ALLOWED", "a", 7, "f0"),
				row_of("ALLOWED", "a", 8, "f0") };
	struct end ends[] = { end_of("a", 7, "f0"), end_of("a", 7, "f0"), end_of("z", 7, "f0") };
	struct completed completed;

	add(store, rows, ARRAY_LEN(rows));
	completed = complete(store, ends, ARRAY_LEN(ends));
	assert_int_equal(completed.count, 1);
	assert_int_equal(completed.ids[0], rows[1].id);
	assert_true(ends[0].used && !ends[1].used && !ends[2].used);
	assert_false(stored_complete(store, rows[0].id));
	assert_true(stored_complete(store, rows[1].id));
	assert_false(stored_complete(store, rows[2].id));
	assert_int_equal(number_of(store, "SELECT SUM(bytes) FROM event"), 9700);
	assert_int_equal(number_of(store, "SELECT SUM(duration) FROM event"), 42);
	assert_int_equal(number_of(store, "SELECT COUNT(*) FROM event"), 3);
	/* What can still end is in the index, and nothing else. */
	assert_int_equal(number_of(store, "SELECT COUNT(*) FROM event WHERE link IS NOT NULL"), 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		entry_finish(&rows[i]);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		end_finish(&ends[i]);
}

static void the_end_of_a_pruned_row_makes_none(void **state)
{
	struct store *store = *state;
	struct entry rows[] = { row_of("ALLOWED", "a", 7, "f0"), row_of("ALLOWED", "a", 8, "f0") };
	struct end end = end_of("a", 7, "f0");
	bool more;

	add(store, rows, ARRAY_LEN(rows));
	assert_int_equal(store_prune(store, 1, &more), 0);
	assert_int_equal(complete(store, &end, 1).count, 0);
	assert_false(end.used);
	assert_int_equal(number_of(store, "SELECT COUNT(*) FROM event"), 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		entry_finish(&rows[i]);
	end_finish(&end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_completes_the_row_of_its_connection_only),
		cmocka_unit_test(what_lacks_something_is_no_end),
		cmocka_unit_test(what_is_no_number_of_bytes_is_left_out),
		cmocka_unit_test(a_blocked_row_has_no_end),
		cmocka_unit_test(of_rows_that_came_together_the_newest_is_completed),
		cmocka_unit_test_setup_teardown(a_stored_row_is_completed_once_and_counted,
						open_store, close_store),
		cmocka_unit_test_setup_teardown(the_end_of_a_pruned_row_makes_none, open_store,
						close_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
