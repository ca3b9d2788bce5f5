/* test_server.c - which servers are asked first, and what a dead one must do to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/server.h"

enum { T0 = 1000000 };

static struct servers servers;

static int begin(void **state)
{
	struct upstreams upstreams;
	char error[UPSTREAMS_ERROR_MAX];

	(void)state;
	assert_int_equal(upstreams_parse(STR("192.0.2.1:53,tls://192.0.2.2,192.0.2.3:53"),
					 &upstreams, error), 0);
	servers_init(&servers, &upstreams, 0);
	return 0;
}

static void expect_order(unsigned a, unsigned b, unsigned c)
{
	uint8_t order[UPSTREAMS_MAX];

	servers_order(&servers, order);
	assert_int_equal(order[0], a);
	assert_int_equal(order[1], b);
	assert_int_equal(order[2], c);
}

static void servers_are_asked_as_configured_and_dead_ones_last(void **state)
{
	(void)state;
	assert_string_equal(servers.all[1].text, "tls://192.0.2.2:853");
	expect_order(0, 1, 2);
	server_refused(&servers.all[0], T0);
	expect_order(1, 2, 0);
	server_refused(&servers.all[1], T0);
	server_refused(&servers.all[2], T0);
	expect_order(0, 1, 2);
	server_heard(&servers.all[1], T0);
	expect_order(1, 0, 2);
}

static void a_server_that_has_answered_others_since_is_not_dead(void **state)
{
	(void)state;
	server_heard(&servers.all[0], T0 + 10);
	server_silent(&servers.all[0], T0 + 5, T0 + 305);
	expect_order(0, 1, 2);
	server_silent(&servers.all[0], T0 + 11, T0 + 311);
	expect_order(1, 2, 0);
	server_heard(&servers.all[0], T0 + 400);
	expect_order(0, 1, 2);
}

static void a_dead_server_is_probed_now_and_then(void **state)
{
	struct server *server = &servers.all[0];

	(void)state;
	assert_false(server_wants_probe(server, T0));
	server_refused(server, T0);
	assert_false(server_wants_probe(server, T0 + SERVER_PROBE_MS - 1));
	assert_true(server_wants_probe(server, T0 + SERVER_PROBE_MS));
	assert_false(server_wants_probe(server, T0 + SERVER_PROBE_MS));
	server_refused(server, T0 + SERVER_PROBE_MS);   /* still: its time does not begin again */
	assert_true(server_wants_probe(server, T0 + 2 * SERVER_PROBE_MS));
	server_heard(server, T0 + 2 * SERVER_PROBE_MS);
	assert_false(server_wants_probe(server, T0 + 10 * SERVER_PROBE_MS));
}

static void case_is_given_up_for_a_server_that_loses_it_and_not_for_forgers(void **state)
{
	struct server *server = &servers.all[0];

	(void)state;
	assert_true(server_takes_case(server));
	for (unsigned i = 0; i < 3; i++) {
		assert_true(server_takes_case(server) && server_may_lose_case(server));
		server_loses_case(server);
	}
	assert_false(server_takes_case(server));
	server_keeps_case(server);
	for (unsigned i = 0; i < 100; i++) {            /* forgeries between good answers */
		assert_false(server_may_lose_case(server));
		server_keeps_case(server);
	}
	for (unsigned i = 0; i < 15; i++)               /* it has been exchanged for another */
		assert_false(server_may_lose_case(server));
	assert_true(server_may_lose_case(server));
	assert_true(server_takes_case(server));
}

static void a_server_that_closes_early_is_asked_one_by_one_for_a_while(void **state)
{
	struct server *server = &servers.all[0];

	(void)state;
	server_closed_early(server, T0);
	server_takes_many(server);                      /* it was started anew */
	server_closed_early(server, T0);
	assert_false(server_wants_one_by_one(server, T0));
	server_closed_early(server, T0);
	assert_true(server_wants_one_by_one(server, T0));
	assert_true(server_wants_one_by_one(server, T0 + 59999));
	assert_false(server_wants_one_by_one(server, T0 + 60000));
	server_closed_early(server, T0 + 60000);        /* still */
	assert_true(server_wants_one_by_one(server, T0 + 60000));
	server_takes_many(server);
	assert_false(server_wants_one_by_one(server, T0 + 60000));
}

static void a_server_that_refuses_edns_is_asked_without_for_a_while(void **state)
{
	struct server *server = &servers.all[0];
	const uint64_t while_ms = 600000;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {             /* names whose own servers do */
		server_answered(server, false, T0);
		server_answered(server, false, T0);
		server_answered(server, true, T0);
	}
	assert_true(server_takes_edns(server, T0));
	for (unsigned i = 0; i < 3; i++) {
		assert_true(server_takes_edns(server, T0));
		server_answered(server, false, T0);
	}
	assert_false(server_takes_edns(server, T0));
	server_answered(server, false, T0 + while_ms - 1);      /* its time is not made longer */
	assert_false(server_takes_edns(server, T0 + while_ms - 1));
	assert_true(server_takes_edns(server, T0 + while_ms));
}

#define server_test(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		server_test(servers_are_asked_as_configured_and_dead_ones_last),
		server_test(a_server_that_has_answered_others_since_is_not_dead),
		server_test(a_dead_server_is_probed_now_and_then),
		server_test(a_server_that_closes_early_is_asked_one_by_one_for_a_while),
		server_test(a_server_that_refuses_edns_is_asked_without_for_a_while),
		server_test(case_is_given_up_for_a_server_that_loses_it_and_not_for_forgers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
