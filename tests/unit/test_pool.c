/* test_pool.c - a fixed array with a free list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

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

static bool is_resident(const void *at)
{
	unsigned char pages[1];

	assert_int_equal(mincore((void *)((uintptr_t)at & ~(uintptr_t)4095), 1, pages), 0);
	return pages[0] & 1;
}

static void a_trimmed_pool_holds_no_memory_and_works_as_before(void **state)
{
	enum { COUNT = 64 };
	struct pool pool;
	void *items[COUNT];

	(void)state;
	assert_int_equal(pool_init(&pool, 8192, COUNT), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < COUNT; i++) {
			items[i] = pool_take(&pool);
			memset(items[i], 1, 8192);
		}
		assert_null(pool_take(&pool));
		for (unsigned i = 1; i < COUNT; i++)
			pool_give(&pool, items[i]);
		pool_trim(&pool);                       /* one is still taken */
		assert_int_equal(*(char *)items[0], 1);
		pool_give(&pool, items[0]);
		assert_true(is_resident(pool.memory));
		pool_trim(&pool);
		assert_false(is_resident(pool.memory));
		assert_false(is_resident(pool.memory + 8192 * (COUNT - 1)));
	}
	pool_finish(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pool_hands_out_each_item_once_and_then_nothing),
		cmocka_unit_test(the_item_given_back_last_is_taken_first),
		cmocka_unit_test(every_item_that_was_ever_taken_can_be_walked),
		cmocka_unit_test(a_trimmed_pool_holds_no_memory_and_works_as_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
