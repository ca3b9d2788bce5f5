/* test_learned.c - what names hold open: found again, in chains that nobody can choose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "netfilter/learned.h"

enum { NOW_MS = 1000000, MINUTE_MS = 60000 };

static struct learned_table table, other;

static int setup(void **state)
{
	(void)state;
	return learned_init(&table) < 0 || learned_init(&other) < 0;
}

static int teardown(void **state)
{
	(void)state;
	learned_finish(&table);
	learned_finish(&other);
	return 0;
}

/* 11.0.0.0, 11.0.0.1, ... with every port. */
static struct opened numbered(uint32_t number)
{
	struct opened key = { .addr.v4.sin_family = AF_INET };

	key.addr.v4.sin_addr.s_addr = htonl(0x0b000000 + number);
	return key;
}

static void claim(struct learned_table *of, const char *name, uint32_t number, uint64_t until_ms)
{
	struct opened key = numbered(number);

	learned_claim(of, str_of(name), &key, until_ms);
}

static void what_is_claimed_is_open_until_its_end(void **state)
{
	struct opened key = numbered(1), ports = key, v6 = { .addr.v6.sin6_family = AF_INET6 };

	(void)state;
	ports.ports = (struct learned_ports){ IPPROTO_TCP, { 22, 22 } };
	memcpy(&v6.addr.v6.sin6_addr, &key.addr.v4.sin_addr, 4);
	claim(&table, "a.test", 1, NOW_MS);
	claim(&table, "b.test", 1, NOW_MS + MINUTE_MS);
	assert_int_equal(learned_until(&table, &key), NOW_MS + MINUTE_MS);
	assert_int_equal(learned_until(&table, &ports), 0);
	assert_int_equal(learned_until(&table, &v6), 0);
}

/* Who knows which addresses meet in one chain could make it as long as the table. */
static void addresses_that_share_a_chain_in_one_table_do_not_in_another(void **state)
{
	unsigned shared = 0, again = 0;

	(void)state;
	for (uint32_t number = 0; number < LEARNED_MAX; number++) {
		claim(&table, "a.test", number, NOW_MS);
		claim(&other, "a.test", number, NOW_MS);
	}
	for (uint32_t number = 0; number < LEARNED_MAX; number++) {
		uint32_t place = table.claims[number].next;
		const struct claim *also = &other.claims[number];

		if (!place)
			continue;
		shared++;
		while (also->next && also->next != place)
			also = &other.claims[also->next - 1];
		again += also->next == place;
	}
	assert_true(shared > LEARNED_MAX / 16);         /* about a fifth of them */
	assert_true(again < shared / 100);
}

static void a_name_has_its_share_and_loses_what_ends_first(void **state)
{
	struct opened dropped[3], key;

	(void)state;
	for (uint32_t number = 0; number < LEARNED_EACH_MAX; number++)
		claim(&table, "a.test", number, NOW_MS + 2 * MINUTE_MS - number);
	claim(&table, "b.test", LEARNED_EACH_MAX - 1, NOW_MS + MINUTE_MS);
	assert_int_equal(learned_beyond(&table, STR("a.test"), 0), 0);
	assert_int_equal(learned_beyond(&table, STR("a.test"), 3), 3);
	assert_int_equal(learned_beyond(&table, STR("b.test"), 3), 0);
	assert_int_equal(learned_evict(&table, STR("a.test"), 3, NOW_MS, dropped), 3);
	for (uint32_t i = 0; i < 3; i++) {
		key = numbered(LEARNED_EACH_MAX - 1 - i);
		assert_true(addr_equal_ip(&dropped[i].addr, &key.addr));
		assert_int_equal(learned_until(&table, &key), i == 0 ? NOW_MS + MINUTE_MS : 0);
	}
	assert_int_equal(learned_beyond(&table, STR("a.test"), 3), 0);
	key = numbered(0);
	assert_true(learned_has(&table, STR("a.test"), &key, NOW_MS));
	assert_false(learned_has(&table, STR("b.test"), &key, NOW_MS));
	assert_false(learned_has(&table, STR("a.test"), &key, NOW_MS + 2 * MINUTE_MS));
	assert_int_equal(learned_keep(&table, NOW_MS + 2 * MINUTE_MS, NULL, NULL), 0);
	assert_int_equal(learned_beyond(&table, STR("a.test"), LEARNED_EACH_MAX), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_claimed_is_open_until_its_end, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			addresses_that_share_a_chain_in_one_table_do_not_in_another, setup,
			teardown),
		cmocka_unit_test_setup_teardown(a_name_has_its_share_and_loses_what_ends_first,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
