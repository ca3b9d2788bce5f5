/* test_udp_table.c - flows are found by who speaks to which address and port of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "forward/udp_table.h"

enum { ENTRIES = 20000 };

static union addr addr_of(const char *text)
{
	union addr addr;

	assert_true(addr_parse_with_port(str_of(text), 0, &addr));
	return addr;
}

static struct udp_key key_of(const char *from, const char *to, uint16_t listener)
{
	union addr client = addr_of(from), local = addr_of(to);
	struct udp_local ours = { .interface = 7 };
	struct udp_key key;

	if (local.sa.sa_family == AF_INET)
		ours.v4 = local.v4.sin_addr;
	else
		ours.v6 = local.v6.sin6_addr;
	memset(&key, 0x5a, sizeof(key));        /* what is not used does not count */
	udp_key_make(&key, &client, &ours, listener);
	return key;
}

static void every_part_of_a_key_tells_flows_apart(void **state)
{
	const struct udp_key keys[] = {
		key_of("10.0.0.1:5000", "10.0.0.2:1", 0),
		key_of("10.0.0.1:5001", "10.0.0.2:1", 0),
		key_of("10.0.0.3:5000", "10.0.0.2:1", 0),
		key_of("10.0.0.1:5000", "10.0.0.4:1", 0),
		key_of("10.0.0.1:5000", "10.0.0.2:1", 1),
		key_of("[fd00::1]:5000", "[fd00::2]:1", 0),
		key_of("[fd00::1]:5001", "[fd00::2]:1", 0),
		key_of("[fd00::3]:5000", "[fd00::2]:1", 0),
		key_of("[fd00::1]:5000", "[fd00::4]:1", 0),
		key_of("[fd00::1]:5000", "[fd00::2]:1", 1),
		key_of("[fe80::1]:5000", "[fd00::2]:1", 0),
	};
	union addr near = addr_of("[fe80::1]:5000");
	struct udp_local ours = { .v6 = addr_of("[fd00::2]:1").v6.sin6_addr };
	struct udp_key other_link;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		for (size_t j = 0; j < ARRAY_LEN(keys); j++)
			assert_int_equal(udp_key_equal(&keys[i], &keys[j]), i == j);
	near.v6.sin6_scope_id = 3;
	udp_key_make(&other_link, &near, &ours, 0);
	assert_false(udp_key_equal(&other_link, &keys[ARRAY_LEN(keys) - 1]));
}

static void the_same_client_has_the_same_key(void **state)
{
	struct udp_key one = key_of("10.0.0.1:5000", "10.0.0.2:1", 3);
	struct udp_key two = key_of("10.0.0.1:5000", "10.0.0.2:2", 3);

	(void)state;
	assert_true(udp_key_equal(&one, &two));
}

static void thousands_are_found_until_each_is_removed(void **state)
{
	struct udp_entry *entries = calloc(ENTRIES, sizeof(*entries));
	struct udp_local ours = { .interface = 1 };
	union addr client = addr_of("10.0.0.1:1");
	struct udp_table table;
	uint64_t hash;

	(void)state;
	/* So few slots that they share them. */
	assert_int_equal(udp_table_init(&table, ENTRIES / 4), 0);
	for (uint16_t i = 0; i < ENTRIES; i++) {
		addr_set_port(&client, (uint16_t)(i + 1));
		udp_key_make(&entries[i].key, &client, &ours, 0);
		assert_null(udp_table_find(&table, &entries[i].key, &entries[i].hash));
		udp_table_put(&table, &entries[i]);
	}
	for (unsigned i = 0; i < ENTRIES; i++)
		assert_ptr_equal(udp_table_find(&table, &entries[i].key, &hash), &entries[i]);
	for (unsigned i = 0; i < ENTRIES; i += 2)
		udp_table_remove(&table, &entries[i]);
	for (unsigned i = 0; i < ENTRIES; i++)
		assert_ptr_equal(udp_table_find(&table, &entries[i].key, &hash),
				 i % 2 ? &entries[i] : NULL);
	udp_table_finish(&table);
	free(entries);
}

static void each_table_has_a_secret_of_its_own(void **state)
{
	struct udp_key key = key_of("10.0.0.1:5000", "10.0.0.2:1", 0);
	struct udp_table one, two;
	uint64_t first, second;

	(void)state;
	assert_int_equal(udp_table_init(&one, 100), 0);
	assert_int_equal(udp_table_init(&two, 100), 0);
	assert_null(udp_table_find(&one, &key, &first));
	assert_null(udp_table_find(&two, &key, &second));
	assert_true(first != second);
	udp_table_finish(&one);
	udp_table_finish(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_part_of_a_key_tells_flows_apart),
		cmocka_unit_test(the_same_client_has_the_same_key),
		cmocka_unit_test(thousands_are_found_until_each_is_removed),
		cmocka_unit_test(each_table_has_a_secret_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
