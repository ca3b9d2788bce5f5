/* test_ask.c - what becomes of a question upstream: good servers, bad ones, none. */
#include "core/ask_udp.h"
#include "core/resolver_inside.h"
#include "tests/unit/resolver_world.h"

static bool always_good(const struct dns_asked *asked, struct dns_bytes *reply)
{
	good_answer(asked, reply);
	return true;
}

static bool silent_for_once(const struct dns_asked *asked, struct dns_bytes *reply)
{
	good_answer(asked, reply);
	return !begins(asked->name, "once");
}

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
	assert_int_equal(resolver_count(RESOLVER_FORGED), forged + 10);
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

/* Tell each try that is under way how its send ended, before the kernel does. */
static void end_sends(struct world *world, int res)
{
	struct pool *tries = &world->resolver->tries;

	for (uint32_t i = 0, count = tries->fresh; i < count; i++) {
		struct try *try = pool_item(tries, i);

		if (try->taken && try->ask && try->send.done)
			try->send.done(&try->send, res, 0);
	}
}

static void a_server_is_dead_when_the_way_to_it_is_not_when_we_have_no_room(void **state)
{
	static const struct { int res; bool dead; } ends[] = {
		{ -EAGAIN, false }, { -ENOBUFS, false }, { -ENOMEM, false },
		{ -ENETUNREACH, true }, { -EPERM, true },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
		struct world world;
		struct waiter waiter;
		char name[32];

		configure("127.0.0.1:%u", server->port, 0);
		world_begin(&world, 0);
		waiter_begin(&world, &waiter);
		snprintf(name, sizeof(name), "ok%u.test", i);
		assert_false(ask(&world, &waiter, name));
		end_sends(&world, ends[i].res);
		assert_int_equal(resolver_shared.dotted.all[0].dead, ends[i].dead);
		run_until_told(&world, &waiter, 1);
		assert_int_equal(waiter.failed, ends[i].dead);
		if (!ends[i].dead)
			assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
		waiter_end(&waiter);
		world_end(&world);
	}
}

static void a_server_that_fails_or_refuses_is_passed_over_at_once(void **state)
{
	static const char *const names[] = { "fail.test", "refused.test" };
	struct dns_server *second = dns_server_start(always_good);
	uint64_t timeouts = resolver_count(RESOLVER_TIMEOUTS);
	struct world world;
	struct waiter waiter;

	(void)state;
	configure("127.0.0.1:%u,127.0.0.1:%u", server->port, second->port);
	world_begin(&world, 0);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		assert_false(lookup(&world, names[i], &waiter));
		assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
		assert_int_equal(asked(names[i]), 1);
	}
	assert_false(lookup(&world, "ok.test", &waiter));
	assert_int_equal(asked("ok.test"), 1);  /* it answers, so it is asked first all the same */
	assert_int_equal(resolver_count(RESOLVER_TIMEOUTS), timeouts);
	world_end(&world);
	dns_server_stop(second);
}

static void a_dead_server_is_probed_beside_the_others_and_found_alive(void **state)
{
	struct dns_server *first = dns_server_start(silent_for_once);
	struct world world;
	struct waiter waiter;

	(void)state;
	configure("127.0.0.1:%u,127.0.0.1:%u", first->port, server->port);
	world_begin(&world, 0);
	assert_false(lookup(&world, "once.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	assert_int_equal(asked("once.test"), 1);
	world.loop.now_ms += SERVER_PROBE_MS;
	assert_false(lookup(&world, "ok.test", &waiter));
	assert_int_equal(asked("ok.test"), 1);  /* nobody waited for the dead one */
	/* Until its answer to the probe is in. */
	for (unsigned i = 0; asked("later.test") == i; i++) {
		world.loop.now_ms += 3600 * 1000;
		assert_false(lookup(&world, "later.test", &waiter));
	}
	assert_true(dns_server_count(first, "later.test", DNS_A) > 0);
	world_end(&world);
	dns_server_stop(first);
}

static void a_server_that_loses_the_case_of_names_is_asked_without(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	server->forgets_case = true;
	world_begin(&world, 0);
	for (unsigned i = 0; i < 10; i++) {
		char name[48];

		snprintf(name, sizeof(name), "ok%u.a-name-with-many-letters.test", i);
		assert_false(lookup(&world, name, &waiter));
		assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	}
	assert_in_range(dns_server_mixed(server), 3, 6);        /* it has had its chances */
	world_end(&world);
}

static void names_are_sent_in_random_case(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "ok.a-name-with-many-letters.test", &waiter));
	assert_int_equal(dns_server_mixed(server), dns_server_total(server));
	world_end(&world);
}

static void a_server_without_edns_is_asked_without(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "noedns.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	assert_int_equal(asked("noedns.test"), 2);
	world_end(&world);
}

static void connections_are_shared_and_opened_anew_when_they_were_closed(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "cut1.test", &waiter));
	assert_false(lookup(&world, "cut2.test", &waiter));
	assert_int_equal(waiter.count, RESOLVER_ADDRS_MAX);
	assert_int_equal(server->conn_count, 1);
	server->close_conns = true;
	for (unsigned i = 3; i < 8; i++) {
		char name[32];

		snprintf(name, sizeof(name), "cut%u.test", i);
		assert_false(lookup(&world, name, &waiter));
		assert_int_equal(waiter.count, RESOLVER_ADDRS_MAX);
	}
	assert_true(server->conn_count > 1);
	world_end(&world);
}

/* What a forger must guess: security.md, row D26. */

enum { BUCKETS = 16 };

static double chi_square(const unsigned counts[BUCKETS], unsigned total)
{
	double expected = (double)total / BUCKETS, sum = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		sum += (counts[i] - expected) * (counts[i] - expected) / expected;
	return sum;
}

/* Of the first `count` questions: ids are even in their upper and their lower bits, and ports lie
 * over a range of at least 2^14.  Returns how many ports there were. */
static unsigned check_ports_and_ids(unsigned count)
{
	unsigned high[BUCKETS] = { 0 }, low[BUCKETS] = { 0 }, ports = 0;
	uint16_t least = UINT16_MAX, most = 0;
	static bool seen[1 << 16];

	memset(seen, 0, sizeof(seen));
	pthread_mutex_lock(&server->lock);
	for (unsigned i = 0; i < count; i++) {
		const struct dns_asked *one = &server->log[i];

		high[one->id >> 12]++;
		low[one->id & 15]++;
		ports += !seen[one->port];
		seen[one->port] = true;
		least = one->port < least ? one->port : least;
		most = one->port > most ? one->port : most;
	}
	pthread_mutex_unlock(&server->lock);
	/* 15 degrees of freedom: chance is above that once in ten million runs. */
	assert_true(chi_square(high, count) < 65);
	assert_true(chi_square(low, count) < 65);
	assert_true(most - least >= 1 << 14);
	return ports;
}

static void ask_many(struct world *world, unsigned names)
{
	for (unsigned i = 0; i < names; i++) {
		struct waiter waiter;
		char name[32];

		snprintf(name, sizeof(name), "ok%u.test", i);
		assert_false(lookup(world, name, &waiter));
	}
}

static void few_questions_have_a_port_each(void **state)
{
	enum { NAMES = 100 };
	struct world world;

	(void)state;
	world_begin(&world, 0);
	ask_many(&world, NAMES);
	/* The kernel may pick one twice. */
	assert_true(check_ports_and_ids(2 * NAMES) > 2 * NAMES * 9 / 10);
	world_end(&world);
}

static void many_questions_share_ports_that_are_renewed(void **state)
{
	enum { NAMES = 4000 };
	struct world world;

	(void)state;
	world_begin(&world, 0);
	ask_many(&world, NAMES);
	assert_true(check_ports_and_ids(2 * NAMES) > UDP_OPENS_BURST);
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
		resolver_test(a_server_is_dead_when_the_way_to_it_is_not_when_we_have_no_room),
		resolver_test(a_server_that_fails_or_refuses_is_passed_over_at_once),
		resolver_test(a_dead_server_is_probed_beside_the_others_and_found_alive),
		resolver_test(names_are_sent_in_random_case),
		resolver_test(a_server_that_loses_the_case_of_names_is_asked_without),
		resolver_test(a_server_without_edns_is_asked_without),
		resolver_test(connections_are_shared_and_opened_anew_when_they_were_closed),
		resolver_test(few_questions_have_a_port_each),
		resolver_test(many_questions_share_ports_that_are_renewed),
		resolver_test(without_its_mark_no_socket_is_used),
		resolver_test(the_environment_has_no_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
