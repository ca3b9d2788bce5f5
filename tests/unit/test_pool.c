/* test_pool.c - a fixed array with a free list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/pool.h"

static void a_pool_hands_out_each_item_once_and_then_nothing(void **state)
{
	struct pool pool;
	void *items[100];

	(void)state;
	assert_int_equal(pool_init(&pool, 100, 100), 0);
	for (unsigned i = 0; i < 100; i++) {
		items[i] = pool_take(&pool);
		assert_non_null(items[i]);
		for (unsigned j = 0; j < i; j++)
			assert_ptr_not_equal(items[i], items[j]);
	}
	assert_null(pool_take(&pool));
	for (unsigned i = 0; i < 100; i++)
		pool_give(&pool, items[i]);
	assert_int_equal(pool.used, 0);
	pool_finish(&pool);
}

static void the_item_given_back_last_is_taken_first(void **state)
{
	struct pool pool;
	void *a, *b;

	(void)state;
	assert_int_equal(pool_init(&pool, 200, 4), 0);
	a = pool_take(&pool);
	b = pool_take(&pool);
	pool_give(&pool, a);
	pool_give(&pool, b);
	assert_ptr_equal(pool_take(&pool), b);
	assert_ptr_equal(pool_take(&pool), a);
	pool_give(&pool, a);
	pool_give(&pool, b);
	pool_finish(&pool);
}

static void every_item_that_was_ever_taken_can_be_walked(void **state)
{
	struct pool pool;
	void *a, *b;

	(void)state;
	assert_int_equal(pool_init(&pool, 64, 10), 0);
	a = pool_take(&pool);
	b = pool_take(&pool);
	assert_int_equal(pool.fresh, 2);
	assert_ptr_equal(pool_item(&pool, 0), a);
	assert_ptr_equal(pool_item(&pool, 1), b);
	pool_give(&pool, b);
	pool_give(&pool, a);
	assert_int_equal(pool.fresh, 2);
	pool_finish(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pool_hands_out_each_item_once_and_then_nothing),
		cmocka_unit_test(the_item_given_back_last_is_taken_first),
		cmocka_unit_test(every_item_that_was_ever_taken_can_be_walked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
