/* test_ask.c - what becomes of a question upstream: good servers, bad ones, none. */
#include "tests/unit/resolver_world.h"

static bool silence(const struct dns_asked *asked, struct dns_bytes *reply)
{
	(void)asked;
	(void)reply;
	return false;
}

static void no_such_name_is_remembered_and_recovers(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "heal.test", &waiter));
	assert_int_equal(waiter.count, 0);
	assert_false(waiter.failed);
	assert_true(lookup(&world, "heal.test", &waiter));
	assert_int_equal(waiter.count, 0);
	while (!records_peek(world.resolver, STR("heal.test"), DNS_TYPE_AAAA))
		assert_int_equal(loop_step(&world.loop), 0);    /* one family spoke for both */
	world.loop.now_ms += 4000;              /* the SOA said three seconds */
	assert_false(lookup(&world, "heal.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	world_end(&world);
}

static void names_without_addresses_are_no_failure(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "nodata.test", &waiter));
	assert_int_equal(waiter.count, 0);
	assert_false(waiter.failed);
	world_end(&world);
}

static void a_failing_server_is_a_failure(void **state)
{
	struct world world;
	struct waiter waiter;
	uint64_t failures = resolver_count(RESOLVER_FAILURES);

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "fail.test", &waiter));
	assert_true(waiter.failed);
	assert_int_equal(waiter.count, 0);
	assert_true(lookup(&world, "fail.test", &waiter));
	assert_int_equal(resolver_count(RESOLVER_FAILURES), failures + 2); /* A, AAAA */
	world.loop.now_ms += 6000;
	assert_false(lookup(&world, "fail.test", &waiter));
	world_end(&world);
}

static void a_chain_that_goes_round_is_a_failure(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "round.test", &waiter));
	assert_true(waiter.failed);
	world_end(&world);
}

static void silence_is_a_failure_within_the_budget(void **state)
{
	struct world world;
	struct waiter waiter;
	uint64_t timeouts = resolver_count(RESOLVER_TIMEOUTS);

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "mute.test", &waiter));
	assert_true(waiter.failed);
	assert_true(asked("mute.test") >= 2);
	assert_int_equal(resolver_count(RESOLVER_TIMEOUTS), timeouts + 2);
	world_end(&world);
}

static void one_family_failing_does_not_spoil_the_other(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "half.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1");
	assert_false(waiter.failed);
	assert_false(lookup(&world, "onlya.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1");
	assert_false(waiter.failed);
	/* It is given up after a retry, not after all the tries of the budget. */
	assert_true(dns_server_count(server, "onlya.test", DNS_AAAA) < 4);
	world.loop.now_ms += 31000;             /* not for its 300 s: the rest may come back */
	assert_false(lookup(&world, "half.test", &waiter));
	world_end(&world);
}

static void only_the_chains_own_addresses_are_learned(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "mixed.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.7");
	world_end(&world);
}

static void forged_datagrams_are_ignored_and_the_wait_goes_on(void **state)
{
	struct world world;
	struct waiter waiter;
	uint64_t forged = resolver_count(RESOLVER_FORGED);

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "forged.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	assert_int_equal(resolver_count(RESOLVER_FORGED), forged + 6);
	assert_int_equal(asked("forged.test"), 1);
	world_end(&world);
}

static void a_cut_answer_is_asked_for_over_tcp(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "cut.test", &waiter));
	assert_int_equal(waiter.count, RESOLVER_ADDRS_MAX);
	assert_int_equal(asked("cut.test"), 2);
	world_end(&world);
}

static void a_dead_first_server_is_passed_over_and_then_avoided(void **state)
{
	struct dns_server *second = dns_server_start(silence);
	struct world world;
	struct waiter waiter;

	(void)state;
	configure("127.0.0.1:%u,127.0.0.1:%u", second->port, server->port);
	world_begin(&world, 0);
	assert_false(lookup(&world, "ok.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	assert_int_equal(dns_server_count(second, "ok.test", DNS_A), 1);
	assert_int_equal(asked("ok.test"), 1);
	assert_false(lookup(&world, "ok2.test", &waiter));
	assert_int_equal(dns_server_count(second, "ok2.test", DNS_A), 0);
	world_end(&world);
	dns_server_stop(second);
}

static void a_closed_first_server_is_passed_over_at_once(void **state)
{
	struct world world;
	struct waiter waiter;
	uint16_t port = 0;
	int fd = dns_server_bind(SOCK_STREAM, &port);   /* nothing on UDP there */

	(void)state;
	configure("127.0.0.1:%u,127.0.0.1:%u", port, server->port);
	world_begin(&world, 0);
	assert_false(lookup(&world, "ok.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	world_end(&world);
	close(fd);
}

static void every_question_has_a_port_of_its_own(void **state)
{
	enum { NAMES = 200 };
	struct world world;
	struct waiter waiter;
	unsigned distinct = 0;

	(void)state;
	world_begin(&world, 0);
	for (unsigned i = 0; i < NAMES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "ok%u.test", i);
		assert_false(lookup(&world, name, &waiter));
	}
	pthread_mutex_lock(&server->lock);
	for (unsigned i = 0; i < server->asked_count; i++) {
		bool seen = false;

		for (unsigned j = 0; j < i; j++)
			seen |= server->log[i].port == server->log[j].port;
		distinct += !seen;
	}
	pthread_mutex_unlock(&server->lock);
	assert_true(distinct > NAMES / 2);      /* the kernel may pick one twice */
	world_end(&world);
}

static void without_its_mark_no_socket_is_used(void **state)
{
	struct world world;
	struct waiter waiter;
	uint64_t refused = resolver_count(RESOLVER_SOCKETS_REFUSED);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), mark = 1;
	bool may_mark = setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0;

	(void)state;
	close(fd);
	world_begin(&world, 1);
	assert_false(lookup(&world, "ok.test", &waiter));
	assert_int_equal(waiter.failed, !may_mark);
	assert_int_equal(asked("ok.test"), may_mark);
	assert_int_equal(resolver_count(RESOLVER_SOCKETS_REFUSED) > refused, !may_mark);
	world_end(&world);
}

static void the_environment_has_no_say(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	setenv("RES_OPTIONS", "ndots:15 timeout:1 attempts:1 rotate", 1);
	setenv("LOCALDOMAIN", "search.test", 1);
	setenv("HOSTALIASES", "/dev/null", 1);
	world_begin(&world, 0);
	assert_false(lookup(&world, "none", &waiter));
	assert_false(lookup(&world, "localhost", &waiter));
	assert_int_equal(asked("none"), 1);
	assert_int_equal(asked("localhost"), 1);
	assert_int_equal(dns_server_total(server), 4);  /* and nothing else */
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	world_end(&world);
	unsetenv("RES_OPTIONS");
	unsetenv("LOCALDOMAIN");
	unsetenv("HOSTALIASES");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		resolver_test(no_such_name_is_remembered_and_recovers),
		resolver_test(names_without_addresses_are_no_failure),
		resolver_test(a_failing_server_is_a_failure),
		resolver_test(a_chain_that_goes_round_is_a_failure),
		resolver_test(silence_is_a_failure_within_the_budget),
		resolver_test(one_family_failing_does_not_spoil_the_other),
		resolver_test(only_the_chains_own_addresses_are_learned),
		resolver_test(forged_datagrams_are_ignored_and_the_wait_goes_on),
		resolver_test(a_cut_answer_is_asked_for_over_tcp),
		resolver_test(a_dead_first_server_is_passed_over_and_then_avoided),
		resolver_test(a_closed_first_server_is_passed_over_at_once),
		resolver_test(every_question_has_a_port_of_its_own),
		resolver_test(without_its_mark_no_socket_is_used),
		resolver_test(the_environment_has_no_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
