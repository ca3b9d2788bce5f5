/* test_quiet.c - nothing is freed while a reader may hold it.
 * The first tests play readers one step at a time; the last run threads, for the sanitizers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/op.h"
#include "core/policy.h"
#include "core/quiet.h"

struct thing {
	struct quiet_item item;
	int value;
};

static int freed;

static void count_freed(struct quiet_item *item)
{
	free(container_of(item, struct thing, item));
	freed++;
}

static void throw_away_a_thing(void)
{
	struct thing *thing = calloc(1, sizeof(*thing));

	assert_non_null(thing);
	quiet_free(&thing->item, count_freed);
}

static int start(void **state)
{
	(void)state;
	freed = 0;
	return 0;
}

static void without_readers_things_are_freed_at_the_next_reclaim(void **state)
{
	(void)state;
	throw_away_a_thing();
	throw_away_a_thing();
	assert_int_equal(freed, 0);
	quiet_reclaim();
	assert_int_equal(freed, 2);
	quiet_reclaim();
	assert_int_equal(freed, 2);
}

static void what_is_not_light_is_left_to_the_control_thread(void **state)
{
	struct thing *thing = calloc(1, sizeof(*thing));

	(void)state;
	assert_non_null(thing);
	throw_away_a_thing();
	quiet_free_light(&thing->item, count_freed);
	throw_away_a_thing();
	quiet_reclaim_light();
	assert_int_equal(freed, 1);
	quiet_reclaim();
	assert_int_equal(freed, 3);
}

static void what_is_light_is_freed_with_the_rest_too(void **state)
{
	struct thing *thing = calloc(1, sizeof(*thing));

	(void)state;
	assert_non_null(thing);
	quiet_free_light(&thing->item, count_freed);
	quiet_reclaim();
	assert_int_equal(freed, 1);
}

static void a_thing_waits_for_every_online_reader_to_pass(void **state)
{
	int a = quiet_register(), b = quiet_register();

	(void)state;
	assert_true(a >= 0 && b >= 0 && a != b);
	quiet_online(a);
	quiet_online(b);
	throw_away_a_thing();
	quiet_reclaim();
	assert_int_equal(freed, 0);
	quiet_pass(a);
	quiet_pass(a);
	quiet_reclaim();
	assert_int_equal(freed, 0);
	quiet_pass(b);
	quiet_reclaim();
	assert_int_equal(freed, 1);
	quiet_unregister(a);
	quiet_unregister(b);
}

static void a_pass_frees_what_was_before_it_and_nothing_after(void **state)
{
	int reader = quiet_register();

	(void)state;
	quiet_online(reader);
	throw_away_a_thing();
	quiet_pass(reader);
	throw_away_a_thing();
	throw_away_a_thing();
	quiet_reclaim();
	assert_int_equal(freed, 1);
	throw_away_a_thing();
	quiet_pass(reader);
	quiet_reclaim();
	assert_int_equal(freed, 4);
	quiet_unregister(reader);
}

static void a_sleeping_or_gone_reader_holds_nothing(void **state)
{
	int a = quiet_register(), b = quiet_register();

	(void)state;
	quiet_online(a);
	quiet_online(b);
	throw_away_a_thing();
	quiet_offline(a);
	quiet_unregister(b);
	quiet_reclaim();
	assert_int_equal(freed, 1);
	throw_away_a_thing();
	quiet_online(a);        /* after it was thrown away: it cannot be found any more */
	quiet_reclaim();
	assert_int_equal(freed, 2);
	quiet_unregister(a);
}

static void free_again(struct quiet_item *item)
{
	quiet_free(item, count_freed);
}

static void a_thing_may_be_handed_on_while_it_is_freed(void **state)
{
	struct thing *thing = calloc(1, sizeof(*thing));

	(void)state;
	quiet_free(&thing->item, free_again);
	quiet_reclaim();
	assert_int_equal(freed, 0);
	quiet_reclaim();
	assert_int_equal(freed, 1);
}

static void there_are_only_so_many_readers_and_ids_come_back(void **state)
{
	int ids[QUIET_READERS_MAX];

	(void)state;
	for (int i = 0; i < QUIET_READERS_MAX; i++)
		assert_true((ids[i] = quiet_register()) >= 0);
	assert_int_equal(quiet_register(), -ENOSPC);
	quiet_unregister(ids[7]);
	assert_int_equal(quiet_register(), ids[7]);
	for (int i = 0; i < QUIET_READERS_MAX; i++)
		quiet_unregister(ids[i]);
}

/* Threads: readers match names in whatever policy is in force while it is replaced. */
enum { READERS = 2, REPLACEMENTS = 300, TURNS_MIN = 300 };

static atomic_bool over;
static atomic_int misses, turns[READERS];

static void *read_policies(void *arg)
{
	atomic_int *my_turns = arg;
	int reader = quiet_register();

	quiet_online(reader);
	for (unsigned turn = 0; !atomic_load(&over); turn++) {
		const struct policy *policy = policy_current();

		for (int i = 0; i < 20; i++)
			if (!policy_match_name(policy, STR("www.always.test")))
				atomic_fetch_add(&misses, 1);
		atomic_fetch_add(my_turns, 1);
		if (turn % 8 == 7) {
			quiet_offline(reader);
			quiet_online(reader);
		} else {
			quiet_pass(reader);
		}
	}
	quiet_unregister(reader);
	return NULL;
}

static struct policy *numbered_policy(int number)
{
	char domains[64];
	struct policy *policy = NULL;
	struct policy_error error;

	snprintf(domains, sizeof(domains), "*.always.test,host%d.test", number);
	assert_int_equal(policy_from_lists(NULL, domains, &policy, &error), 0);
	return policy;
}

static void a_policy_in_use_is_never_freed_too_early(void **state)
{
	pthread_t threads[READERS];
	bool enough = false;

	(void)state;
	policy_set_current(numbered_policy(0));
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_policies, &turns[i]), 0);
	for (int i = 1; i < REPLACEMENTS || !enough; i++) {
		policy_set_current(numbered_policy(i));
		quiet_reclaim();
		enough = true;
		for (int k = 0; k < READERS; k++)
			enough = enough && atomic_load(&turns[k]) >= TURNS_MIN;
	}
	atomic_store(&over, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&misses), 0);
	policy_set_current(NULL);
	quiet_reclaim();
	assert_null(policy_current());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_readers_things_are_freed_at_the_next_reclaim, start),
		cmocka_unit_test_setup(a_thing_waits_for_every_online_reader_to_pass, start),
		cmocka_unit_test_setup(a_pass_frees_what_was_before_it_and_nothing_after, start),
		cmocka_unit_test_setup(a_sleeping_or_gone_reader_holds_nothing, start),
		cmocka_unit_test_setup(a_thing_may_be_handed_on_while_it_is_freed, start),
		cmocka_unit_test_setup(what_is_not_light_is_left_to_the_control_thread, start),
		cmocka_unit_test_setup(what_is_light_is_freed_with_the_rest_too, start),
		cmocka_unit_test_setup(there_are_only_so_many_readers_and_ids_come_back, start),
		cmocka_unit_test(a_policy_in_use_is_never_freed_too_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
