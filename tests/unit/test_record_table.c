/* test_answers.c - the table of answers: how long they are fresh, what stays, what goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "core/answers.h"

enum { T0 = 1000000 };

static struct answers *answers;
static int reader;

static int begin(void **state)
{
	(void)state;
	assert_int_equal(answers_init(&answers), 0);
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
	answers_finish(answers);
	return 0;
}

static union addr addr_at(unsigned i)
{
	return (union addr){ .v4 = { .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(0xc0000200 + i) } };
}

static struct answer_entry *find(const char *name, uint64_t now_ms)
{
	struct str text = str_of(name);

	return answers_find(answers, answers_hash(answers, text), text, now_ms);
}

/* Put addresses 192.0.2.first and the `count` - 1 after it. */
static void put(const char *name, unsigned first, unsigned count, uint64_t ttl_ms, uint64_t now_ms)
{
	struct str text = str_of(name);
	union addr addrs[RESOLVER_ADDRS_MAX];
	struct answer_news news = { .count = count, .addrs = addrs, .ttl_ms = ttl_ms };

	for (unsigned i = 0; i < count; i++)
		addrs[i] = addr_at(first + i);
	answers_release(answers_put(answers, answers_hash(answers, text), text, &news, now_ms));
}

static void put_failure(const char *name, uint64_t now_ms)
{
	struct str text = str_of(name);
	struct answer_news news = { .failed = true };

	answers_release(answers_put(answers, answers_hash(answers, text), text, &news, now_ms));
}

static bool is_recent(const struct answer_entry *entry, unsigned i)
{
	union addr addr = addr_at(i);

	for (unsigned at = 0; at < entry->answer.recent_count; at++)
		if (addr_equal_ip(&entry->answer.recent[at], &addr))
			return true;
	return false;
}

static void an_answer_is_found_while_it_is_fresh(void **state)
{
	(void)state;
	assert_null(find("a.test", T0));
	put("a.test", 1, 2, 60000, T0);
	assert_int_equal(find("a.test", T0)->answer.count, 2);
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
		assert_true(find(name, T0)->answer.failed);
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
	assert_false(find("a.test", T0 + 50000)->answer.failed);
	assert_false(answers_refresh(find("a.test", T0 + 50000), T0 + 50000));
	assert_true(answers_refresh(find("a.test", T0 + 55000), T0 + 55000));
	put_failure("a.test", T0 + 60000);
	assert_true(find("a.test", T0 + 60000)->answer.failed);
	assert_true(is_recent(find("a.test", T0 + 60000), 1));
}

static void one_caller_refreshes_after_four_fifths_of_the_time(void **state)
{
	struct answer_entry *entry;

	(void)state;
	put("a.test", 1, 1, 100000, T0);
	entry = find("a.test", T0);
	assert_false(answers_refresh(entry, T0 + 79999));
	assert_true(answers_refresh(entry, T0 + 80000));
	assert_false(answers_refresh(entry, T0 + 80000));
	assert_true(answers_refresh(entry, T0 + 80000 + ANSWER_REFRESH_RETRY_MS));
	put("none.test", 1, 0, 30000, T0);
	assert_false(answers_refresh(find("none.test", T0 + 29999), T0 + 29999));
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
	assert_int_equal(find("a.test", T0 + 605000)->answer.count, 1);
	assert_int_equal(find("a.test", T0 + 605000)->fresh_until_ms, T0 + 1000 + 3600000);
	assert_false(answers_refresh(find("a.test", T0 + 605000), T0 + 605000));
}

static void an_address_that_returns_is_not_recent_too(void **state)
{
	(void)state;
	put("a.test", 1, 2, 5000, T0);
	put("a.test", 2, 2, 5000, T0 + 5000);
	assert_int_equal(find("a.test", T0 + 5000)->answer.recent_count, 1);
	put("a.test", 1, 2, 5000, T0 + 10000);
	assert_int_equal(find("a.test", T0 + 10000)->answer.recent_count, 1);
	assert_true(is_recent(find("a.test", T0 + 10000), 3));
}

static void recent_keeps_the_latest_sixty_four(void **state)
{
	uint64_t now_ms = T0;

	(void)state;
	for (unsigned i = 0; i < 100; i++, now_ms += 5000)
		put("a.test", i, 1, 5000, now_ms);
	now_ms -= 5000;
	assert_int_equal(find("a.test", now_ms)->answer.recent_count, RESOLVER_ADDRS_MAX);
	assert_true(is_recent(find("a.test", now_ms), 98));
	assert_true(is_recent(find("a.test", now_ms), 35));
	assert_false(is_recent(find("a.test", now_ms), 34));
}

static void full_answers_and_full_recents_fit(void **state)
{
	(void)state;
	put("a.test", 0, RESOLVER_ADDRS_MAX, 5000, T0);
	put("a.test", 100, RESOLVER_ADDRS_MAX, 5000, T0 + 5000);
	assert_int_equal(find("a.test", T0 + 5000)->answer.count, RESOLVER_ADDRS_MAX);
	assert_int_equal(find("a.test", T0 + 5000)->answer.recent_count, RESOLVER_ADDRS_MAX);
	assert_true(is_recent(find("a.test", T0 + 5000), 63));
}

static void a_flood_of_names_never_grows_the_table_and_spares_names_in_use(void **state)
{
	(void)state;
	put("busy.test", 1, 1, 3600000, T0);
	for (unsigned i = 0; i < 50000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "flood%u.test", i);
		put(name, 1, 1, 3600000, T0 + i * 10);
		assert_non_null(find("busy.test", T0 + i * 10));
	}
	assert_int_equal(answers_count(answers), ANSWERS_SETS * ANSWERS_WAYS);
	assert_non_null(find("flood49999.test", T0 + 500000));
	assert_null(find("flood0.test", T0 + 500000));
}

static void an_entry_outlives_its_place_for_those_who_hold_it(void **state)
{
	struct str name = STR("a.test");
	union addr addr = addr_at(1);
	struct answer_news news = { .count = 1, .addrs = &addr, .ttl_ms = 5000 };
	struct answer_entry *held = answers_put(answers, answers_hash(answers, name), name, &news,
						T0);

	(void)state;
	put("a.test", 2, 1, 5000, T0);
	quiet_pass(reader);
	quiet_reclaim();
	assert_true(addr_equal_ip(&held->answer.addrs[0], &addr));
	answers_release(held);
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
			struct answer_entry *entry;

			snprintf(name, sizeof(name), "n%u.test", i);
			entry = find(name, T0 + 1);
			if (!entry)
				continue;
			if (entry->answer.count != i + 1 || strcmp(entry->name, name) != 0)
				abort();
			for (unsigned at = 0; at < entry->answer.count; at++)
				if (entry->answer.addrs[at].sa.sa_family != AF_INET)
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

#define answers_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		answers_test(an_answer_is_found_while_it_is_fresh),
		answers_test(times_to_live_are_clamped),
		answers_test(failures_are_kept_for_one_to_five_seconds),
		answers_test(a_failure_does_not_replace_a_fresh_answer),
		answers_test(one_caller_refreshes_after_four_fifths_of_the_time),
		answers_test(rotated_addresses_stay_recent_for_ten_minutes_after_expiry),
		answers_test(recent_addresses_leave_a_long_lived_answer_in_time),
		answers_test(an_address_that_returns_is_not_recent_too),
		answers_test(recent_keeps_the_latest_sixty_four),
		answers_test(full_answers_and_full_recents_fit),
		answers_test(a_flood_of_names_never_grows_the_table_and_spares_names_in_use),
		answers_test(an_entry_outlives_its_place_for_those_who_hold_it),
		answers_test(readers_see_whole_entries_while_they_are_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
