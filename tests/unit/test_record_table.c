/* test_record_table.c - the table of records: how long they are fresh, what stays, what goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "core/record_table.h"

enum { T0 = 1000000 };

static struct record_table *table;
static int reader;

static int begin(void **state)
{
	(void)state;
	assert_int_equal(record_table_init(&table), 0);
	reader = quiet_register();
	quiet_online(reader);
	return 0;
}

static int end(void **state)
{
	(void)state;
	quiet_offline(reader);
	quiet_reclaim();
	quiet_unregister(reader);
	record_table_finish(table);
	return 0;
}

static union addr addr_at(unsigned i)
{
	return (union addr){ .v4 = { .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(0xc0000200 + i) } };
}

static struct record_key key_of(const char *name)
{
	return record_key(record_hash(table, str_of(name)), str_of(name), DNS_TYPE_A);
}

/* For dialling; NULL: unknown, or its time is over. */
static struct record_entry *find(const char *name, uint64_t now_ms)
{
	struct record_key key = key_of(name);
	struct record_entry *entry = record_find(table, &key, now_ms);

	return entry && record_may_be_dialled(entry, now_ms) ? entry : NULL;
}

/* Addresses 192.0.2.first and the `count` - 1 after it. */
static void block_of(struct dns_records *block, const char *name, unsigned first, unsigned count,
		     uint32_t ttl_s)
{
	uint8_t wire[DNS_NAME_MAX];

	assert_true(dns_name_from_text(str_of(name), wire) > 0);
	dns_records_init(block, wire, DNS_TYPE_A, ttl_s);
	for (unsigned i = 0; i < count; i++) {
		union addr addr = addr_at(first + i);

		assert_true(dns_records_add_addr(block, (uint8_t *)&addr.v4.sin_addr, 4, ttl_s));
	}
}

static struct record_entry *put_held(const char *name, unsigned first, unsigned count,
				     uint64_t ttl_ms, uint64_t now_ms)
{
	struct record_key key = key_of(name);
	struct dns_records block;
	struct record_news news = { .block = &block };

	block_of(&block, name, first, count, (uint32_t)(ttl_ms / 1000));
	return record_put(table, &key, &news, now_ms);
}

static void put(const char *name, unsigned first, unsigned count, uint64_t ttl_ms, uint64_t now_ms)
{
	record_release(put_held(name, first, count, ttl_ms, now_ms));
}

static void put_failure(const char *name, uint64_t now_ms)
{
	struct record_key key = key_of(name);
	struct record_news news = { .failed = true, .rcode = DNS_RCODE_SERVFAIL };

	record_release(record_put(table, &key, &news, now_ms));
}

static bool is_recent(const struct record_entry *entry, unsigned i)
{
	union addr addr = addr_at(i);

	for (unsigned at = 0; at < entry->records.recent_count; at++)
		if (addr_equal_ip(&entry->records.recent[at], &addr))
			return true;
	return false;
}

static void an_answer_is_found_while_it_is_fresh(void **state)
{
	(void)state;
	assert_null(find("a.test", T0));
	put("a.test", 1, 2, 60000, T0);
	assert_int_equal(find("a.test", T0)->records.count, 2);
	assert_non_null(find("a.test", T0 + 59999));
	assert_null(find("a.test", T0 + 60000));
	assert_null(find("b.test", T0));
	assert_null(find("a.tes", T0));
}

static uint64_t fresh_for(const char *name)
{
	uint64_t low = 0, high = 1ULL << 40;

	while (high - low > 1) {
		uint64_t middle = (low + high) / 2;

		if (find(name, T0 + middle))
			low = middle;
		else
			high = middle;
	}
	return high;
}

static void times_to_live_are_clamped(void **state)
{
	(void)state;
	put("zero.test", 1, 1, 0, T0);
	assert_int_equal(fresh_for("zero.test"), 5000);
	put("long.test", 1, 1, 1ULL << 39, T0);
	assert_int_equal(fresh_for("long.test"), 3600000);
	put("none.test", 1, 0, 0, T0);
	assert_int_equal(fresh_for("none.test"), 1000);
	put("nolong.test", 1, 0, 86400000, T0);
	assert_int_equal(fresh_for("nolong.test"), 30000);
}

static void failures_are_kept_for_one_to_five_seconds(void **state)
{
	uint64_t least = UINT64_MAX, most = 0;

	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		char name[32];
		uint64_t fresh;

		snprintf(name, sizeof(name), "f%u.test", i);
		put_failure(name, T0);
		assert_true(find(name, T0)->records.failed);
		fresh = fresh_for(name);
		least = fresh < least ? fresh : least;
		most = fresh > most ? fresh : most;
	}
	assert_true(least >= 1000 && most <= 5000);
	assert_true(least != most);             /* jitter: they are not all asked again at once */
}

static void a_failure_does_not_replace_a_fresh_answer(void **state)
{
	(void)state;
	put("a.test", 1, 1, 60000, T0);
	put_failure("a.test", T0 + 50000);
	assert_false(find("a.test", T0 + 50000)->records.failed);
	assert_false(record_wants_refresh(find("a.test", T0 + 50000), T0 + 50000));
	assert_true(record_wants_refresh(find("a.test", T0 + 55000), T0 + 55000));
	put_failure("a.test", T0 + 60000);
	assert_true(find("a.test", T0 + 60000)->records.failed);
	assert_true(is_recent(find("a.test", T0 + 60000), 1));
}

static void one_caller_refreshes_after_four_fifths_of_the_time(void **state)
{
	struct record_entry *entry;

	(void)state;
	put("a.test", 1, 1, 100000, T0);
	entry = find("a.test", T0);
	assert_false(record_wants_refresh(entry, T0 + 79999));
	assert_true(record_wants_refresh(entry, T0 + 80000));
	assert_false(record_wants_refresh(entry, T0 + 80000));
	assert_true(record_wants_refresh(entry, T0 + 80000 + RECORD_REFRESH_RETRY_MS));
	put("none.test", 1, 0, 30000, T0);
	assert_false(record_wants_refresh(find("none.test", T0 + 29999), T0 + 29999));
}

static void rotated_addresses_stay_recent_for_ten_minutes_after_expiry(void **state)
{
	(void)state;
	put("a.test", 1, 1, 5000, T0);
	put("a.test", 2, 1, 5000, T0 + 5000);
	assert_true(is_recent(find("a.test", T0 + 5000), 1));
	put("a.test", 3, 1, 5000, T0 + 604000);
	assert_true(is_recent(find("a.test", T0 + 604000), 1));
	assert_true(is_recent(find("a.test", T0 + 604000), 2));
	put("a.test", 4, 1, 5000, T0 + 605000);         /* 5000 + 600000: the first is over */
	assert_false(is_recent(find("a.test", T0 + 605000), 1));
	assert_true(is_recent(find("a.test", T0 + 605000), 2));
	assert_true(is_recent(find("a.test", T0 + 605000), 3));
	assert_false(is_recent(find("a.test", T0 + 605000), 4));
}

static void recent_addresses_leave_a_long_lived_answer_in_time(void **state)
{
	(void)state;
	put("a.test", 1, 1, 5000, T0);
	put("a.test", 2, 1, 3600000, T0 + 1000);
	assert_true(is_recent(find("a.test", T0 + 604999), 1));
	assert_false(is_recent(find("a.test", T0 + 605000), 1));
	assert_int_equal(find("a.test", T0 + 605000)->records.count, 1);
	assert_int_equal(find("a.test", T0 + 605000)->records.fresh_until_ms, T0 + 1000 + 3600000);
	assert_false(record_wants_refresh(find("a.test", T0 + 605000), T0 + 605000));
}

static void an_address_that_returns_is_not_recent_too(void **state)
{
	(void)state;
	put("a.test", 1, 2, 5000, T0);
	put("a.test", 2, 2, 5000, T0 + 5000);
	assert_int_equal(find("a.test", T0 + 5000)->records.recent_count, 1);
	put("a.test", 1, 2, 5000, T0 + 10000);
	assert_int_equal(find("a.test", T0 + 10000)->records.recent_count, 1);
	assert_true(is_recent(find("a.test", T0 + 10000), 3));
}

static void recent_keeps_the_latest_sixty_four(void **state)
{
	uint64_t now_ms = T0;

	(void)state;
	for (unsigned i = 0; i < 100; i++, now_ms += 5000)
		put("a.test", i, 1, 5000, now_ms);
	now_ms -= 5000;
	assert_int_equal(find("a.test", now_ms)->records.recent_count, RECORD_ADDRS_MAX);
	assert_true(is_recent(find("a.test", now_ms), 98));
	assert_true(is_recent(find("a.test", now_ms), 35));
	assert_false(is_recent(find("a.test", now_ms), 34));
}

static void full_answers_and_full_recents_fit(void **state)
{
	(void)state;
	put("a.test", 0, RECORD_ADDRS_MAX, 5000, T0);
	put("a.test", 100, RECORD_ADDRS_MAX, 5000, T0 + 5000);
	assert_int_equal(find("a.test", T0 + 5000)->records.count, RECORD_ADDRS_MAX);
	assert_int_equal(find("a.test", T0 + 5000)->records.recent_count, RECORD_ADDRS_MAX);
	assert_true(is_recent(find("a.test", T0 + 5000), 63));
}

static void a_flood_of_names_never_grows_the_table_and_spares_names_in_use(void **state)
{
	size_t bytes;

	(void)state;
	put("busy.test", 1, 1, 3600000, T0);
	for (unsigned i = 0; i < 50000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "flood%u.test", i);
		put(name, 1, 1, 3600000, T0 + i * 10);
		assert_non_null(find("busy.test", T0 + i * 10));
	}
	assert_int_equal(record_count(table, &bytes), RECORD_SETS * RECORD_WAYS);
	assert_non_null(find("flood49999.test", T0 + 500000));
	assert_null(find("flood0.test", T0 + 500000));
}

static void names_that_exist_outlive_a_flood_of_names_that_do_not(void **state)
{
	(void)state;
	put("good.test", 1, 1, 3600000, T0);    /* and nobody asks for it meanwhile */
	for (unsigned i = 0; i < 50000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "flood%u.test", i);
		put(name, 1, 0, 30000, T0 + i);
	}
	assert_non_null(find("good.test", T0 + 50000));
}

static void large_answers_are_bounded_in_bytes(void **state)
{
	size_t bytes;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "large%u.test", i);
		put(name, 0, RECORD_ADDRS_MAX, 3600000, T0);
		(void)record_count(table, &bytes);
		assert_true(bytes <= RECORD_BYTES_MAX);
		assert_non_null(find(name, T0));
	}
	assert_true(bytes > RECORD_BYTES_MAX / 2);
}

static void clients_are_given_a_short_lived_answer_for_a_second_only(void **state)
{
	struct record_entry *entry;

	(void)state;
	put("zero.test", 1, 1, 0, T0);
	entry = find("zero.test", T0);
	assert_true(record_is_fresh(entry, T0 + 999));
	assert_false(record_is_fresh(entry, T0 + 1000));
	assert_true(record_may_be_dialled(entry, T0 + 4999));
	put("ten.test", 1, 1, 10000, T0);
	assert_true(record_is_fresh(find("ten.test", T0), T0 + 9999));
	assert_int_equal(records_age(&find("ten.test", T0)->records, T0 + 3500).age_s, 3);
	assert_int_equal(records_age(&find("ten.test", T0)->records, T0).max_s, 3600);
	/* Asked by a worker whose clock is behind that of the one who learned it. */
	assert_int_equal(records_age(&find("ten.test", T0)->records, T0 - 3).age_s, 0);
	assert_int_equal(records_age_ms(&find("ten.test", T0)->records, T0 - 3), 0);
	put("none.test", 1, 0, 90000, T0);
	assert_int_equal(records_age(&find("none.test", T0)->records, T0).max_s, 30);
}

static void types_of_a_name_are_kept_apart(void **state)
{
	struct record_key a = key_of("a.test");
	struct record_key aaaa = record_key(record_hash(table, STR("a.test")), STR("a.test"),
					    DNS_TYPE_AAAA);

	(void)state;
	put("a.test", 1, 1, 60000, T0);
	assert_non_null(record_find(table, &a, T0));
	assert_null(record_find(table, &aaaa, T0));
}

static void an_entry_outlives_its_place_for_those_who_hold_it(void **state)
{
	union addr addr = addr_at(1);
	struct record_entry *held = put_held("a.test", 1, 1, 5000, T0);

	(void)state;
	put("a.test", 2, 1, 5000, T0);
	quiet_pass(reader);
	quiet_reclaim();
	assert_true(addr_equal_ip(&held->records.addrs[0], &addr));
	record_release(held);
}

/* Readers and a writer at once: every hit is a whole entry of the name asked for. */
static atomic_bool stop;

static void *read_all_the_time(void *arg)
{
	int id = quiet_register();

	(void)arg;
	while (!atomic_load(&stop)) {
		quiet_online(id);
		for (unsigned i = 0; i < 16; i++) {
			char name[16];
			struct record_entry *entry;

			snprintf(name, sizeof(name), "n%u.test", i);
			entry = find(name, T0 + 1);
			if (!entry)
				continue;
			if (entry->records.count != i + 1 || entry->name_len != strlen(name) ||
			    memcmp(entry->name, name, strlen(name)) != 0)
				abort();
			for (unsigned at = 0; at < entry->records.count; at++)
				if (entry->records.addrs[at].sa.sa_family != AF_INET)
					abort();
		}
		quiet_offline(id);
	}
	quiet_unregister(id);
	return NULL;
}

static void readers_see_whole_entries_while_they_are_replaced(void **state)
{
	pthread_t threads[2];

	(void)state;
	atomic_store(&stop, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_all_the_time, NULL), 0);
	for (unsigned i = 0; i < 20000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u.test", i % 16);
		put(name, i % 64, i % 16 + 1, 60000, T0);
		if (i % 100 == 0) {
			quiet_pass(reader);
			quiet_reclaim();
		}
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

#define table_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		table_test(an_answer_is_found_while_it_is_fresh),
		table_test(times_to_live_are_clamped),
		table_test(failures_are_kept_for_one_to_five_seconds),
		table_test(a_failure_does_not_replace_a_fresh_answer),
		table_test(one_caller_refreshes_after_four_fifths_of_the_time),
		table_test(rotated_addresses_stay_recent_for_ten_minutes_after_expiry),
		table_test(recent_addresses_leave_a_long_lived_answer_in_time),
		table_test(an_address_that_returns_is_not_recent_too),
		table_test(recent_keeps_the_latest_sixty_four),
		table_test(full_answers_and_full_recents_fit),
		table_test(a_flood_of_names_never_grows_the_table_and_spares_names_in_use),
		table_test(names_that_exist_outlive_a_flood_of_names_that_do_not),
		table_test(large_answers_are_bounded_in_bytes),
		table_test(clients_are_given_a_short_lived_answer_for_a_second_only),
		table_test(types_of_a_name_are_kept_apart),
		table_test(an_entry_outlives_its_place_for_those_who_hold_it),
		table_test(readers_see_whole_entries_while_they_are_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
