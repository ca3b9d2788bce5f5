/* test_resolver.c - who is told what, and when: the cache, shared questions, closing. */
#include <errno.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "tests/unit/resolver_world.h"

static void a_name_is_asked_once_and_then_cached(void **state)
{
	struct world world;
	struct waiter waiter;
	uint64_t hits = resolver_count(RESOLVER_HITS), began_ms;

	(void)state;
	world_begin(&world, 0);
	began_ms = world.loop.now_ms;
	assert_false(lookup(&world, "ok.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	assert_false(waiter.failed);
	assert_true(lookup(&world, "ok.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	assert_asked_once_since("ok.test", DNS_A, began_ms, &world);
	assert_asked_once_since("ok.test", DNS_AAAA, began_ms, &world);
	assert_int_equal(resolver_count(RESOLVER_HITS), hits + 1);
	world_end(&world);
	assert_int_equal(resolver_count(RESOLVER_HITS), hits + 1);
}

static void rotated_addresses_stay_recent(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	for (unsigned i = 0; i < 5; i++) {
		world.loop.now_ms += 5001;      /* TTL 0 is five seconds */
		assert_false(lookup(&world, "rotate.test", &waiter));
		assert_int_equal(waiter.count, 1);
		assert_int_equal(waiter.recent_count, i);
	}
	assert_string_equal(waiter.addrs, "192.0.2.5");
	world_end(&world);
}

static void a_name_in_use_is_refreshed_before_it_runs_out(void **state)
{
	struct world world;
	struct waiter waiter;
	unsigned before;

	(void)state;
	world_begin(&world, 0);
	assert_false(lookup(&world, "ok.test", &waiter));
	before = asked("ok.test");
	world.loop.now_ms += 250 * 1000;        /* of 300 s */
	assert_true(lookup(&world, "ok.test", &waiter));
	assert_true(lookup(&world, "ok.test", &waiter));
	while (resolver_count(RESOLVER_QUESTIONS) == 0 || asked("ok.test") == before)
		assert_int_equal(loop_step(&world.loop), 0);
	assert_int_equal(asked("ok.test"), before + 1);
	world_end(&world);
}

static void names_with_and_without_a_dot_go_to_their_own_servers(void **state)
{
	int fd = memfd_create("resolv.conf", MFD_CLOEXEC);
	char list[64], path[64];
	const char *error;
	struct world world;
	struct waiter waiter;

	(void)state;
	assert_int_equal(write(fd, "nameserver 127.0.0.11\n", 22), 22);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(list, sizeof(list), "127.0.0.1:%u", server->port);
	assert_int_equal(resolver_configure(list, path, &error), 0);
	close(fd);
	world_begin(&world, 0);
	assert_false(lookup(&world, "ok.test", &waiter));
	assert_int_equal(waiter.count, 2);
	(void)lookup(&world, "db", &waiter);            /* nobody at 127.0.0.11:53 here */
	assert_int_equal(asked("db"), 0);
	world_end(&world);
}

static void bad_configuration_names_the_entry(void **state)
{
	const char *error = "";

	(void)state;
	assert_int_equal(resolver_configure("127.0.0.1:53,nonsense", NULL, &error), -EINVAL);
	assert_non_null(strstr(error, "nonsense"));
}

static void an_owner_that_closes_while_waiting_is_not_told(void **state)
{
	struct world world;
	struct waiter gone, other;

	(void)state;
	world_begin(&world, 0);
	dns_server_hold(server);
	waiter_begin(&world, &gone);
	waiter_begin(&world, &other);
	assert_false(ask(&world, &gone, "ok.test"));
	assert_false(ask(&world, &other, "ok.test"));
	waiter_end(&gone);
	assert_false(gone.freed);               /* the lookup still holds it */
	dns_server_go_on(server);
	run_until_told(&world, &other, 1);
	while (!gone.freed)
		assert_int_equal(loop_step(&world.loop), 0);
	assert_int_equal(gone.told, 0);
	waiter_end(&other);
	world_end(&world);
}

/* A lookup that needs UDP and TCP, and the end after 0, 1, 2 ... completions. */
static void closing_at_any_completion_frees_everything(void **state)
{
	unsigned steps = 0;
	bool told;

	(void)state;
	do {
		configure("127.0.0.1:%u", server->port, 0);
		told = told_within(steps++, "cut.test");
	} while (!told);
	assert_true(steps > 5);
}

static void on_told_again(struct lookup *done, const struct answer *given)
{
	struct waiter *waiter = container_of(done, struct waiter, lookup);
	const struct answer *again;

	assert_int_equal(given->count, 2);
	waiter->told++;
	if (waiter->told == 1) {
		again = resolver_lookup(done->resolver, STR("ok.test"), done, on_told_again);
		assert_non_null(again);         /* it is cached by now */
		assert_null(resolver_lookup(done->resolver, STR("ok2.test"), done, on_told_again));
	}
}

static void a_waiter_may_look_up_again_from_done(void **state)
{
	struct world world;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	waiter_begin(&world, &waiter);
	assert_null(resolver_lookup(world.resolver, STR("ok.test"), &waiter.lookup,
				    on_told_again));
	run_until_told(&world, &waiter, 2);
	waiter_end(&waiter);
	assert_true(waiter.freed);
	world_end(&world);
}

static void a_storm_of_names_is_queued_and_all_are_answered(void **state)
{
	enum { NAMES = 1000 };
	static struct waiter waiters[NAMES];
	struct world world;

	(void)state;
	world_begin(&world, 0);
	for (unsigned i = 0; i < NAMES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "ok%u.test", i);
		waiter_begin(&world, &waiters[i]);
		assert_false(ask(&world, &waiters[i], name));
	}
	for (unsigned i = 0; i < NAMES; i++) {
		run_until_told(&world, &waiters[i], 1);
		assert_int_equal(waiters[i].told, 1);
		waiter_end(&waiters[i]);
		assert_true(waiters[i].freed);
	}
	world_end(&world);
}

/* Two loops, fifty lookups each, of one name that nobody has asked for yet. */
enum { EACH = 50 };
static sem_t asked_all;

static void ask_together(struct world *world, struct waiter *waiters)
{
	for (unsigned i = 0; i < EACH; i++) {
		waiter_begin(world, &waiters[i]);
		assert_false(ask(world, &waiters[i], "ok.test"));
	}
}

static void wait_together(struct world *world, struct waiter *waiters)
{
	for (unsigned i = 0; i < EACH; i++) {
		run_until_told(world, &waiters[i], 1);
		assert_string_equal(waiters[i].addrs, "192.0.2.1 2001:db8::1");
		waiter_end(&waiters[i]);
	}
}

static void *other_worker(void *arg)
{
	static struct waiter waiters[EACH];
	struct world world;

	(void)arg;
	world_begin(&world, 0);
	ask_together(&world, waiters);
	sem_post(&asked_all);
	wait_together(&world, waiters);
	world_end(&world);
	return NULL;
}

static void a_hundred_lookups_on_two_loops_are_one_question(void **state)
{
	static struct waiter waiters[EACH];
	struct world world;
	pthread_t thread;
	uint64_t began_ms;

	(void)state;
	sem_init(&asked_all, 0, 0);
	world_begin(&world, 0);
	began_ms = world.loop.now_ms;
	dns_server_hold(server);
	ask_together(&world, waiters);
	assert_int_equal(pthread_create(&thread, NULL, other_worker, NULL), 0);
	sem_wait(&asked_all);
	dns_server_go_on(server);
	wait_together(&world, waiters);
	pthread_join(thread, NULL);
	world_end(&world);
	assert_asked_once_since("ok.test", DNS_A, began_ms, &world);
	assert_asked_once_since("ok.test", DNS_AAAA, began_ms, &world);
}

static void *worker_that_waits_for_another(void *arg)
{
	static struct waiter waiter;
	struct world world;

	(void)arg;
	world_begin(&world, 0);
	waiter_begin(&world, &waiter);
	assert_false(ask(&world, &waiter, "mute.test"));
	sem_post(&asked_all);
	run_until_told(&world, &waiter, 1);
	assert_true(waiter.failed);
	waiter_end(&waiter);
	world_end(&world);
	return NULL;
}

static void an_asker_that_closes_fails_the_lookups_of_others(void **state)
{
	struct world world;
	struct waiter waiter;
	pthread_t thread;

	(void)state;
	sem_init(&asked_all, 0, 0);
	world_begin(&world, 0);
	waiter_begin(&world, &waiter);
	assert_false(ask(&world, &waiter, "mute.test"));
	assert_int_equal(pthread_create(&thread, NULL, worker_that_waits_for_another, NULL), 0);
	sem_wait(&asked_all);
	waiter_end(&waiter);
	world_end(&world);
	assert_true(waiter.freed);
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		resolver_test(a_name_is_asked_once_and_then_cached),
		resolver_test(rotated_addresses_stay_recent),
		resolver_test(a_name_in_use_is_refreshed_before_it_runs_out),
		resolver_test(names_with_and_without_a_dot_go_to_their_own_servers),
		resolver_test(bad_configuration_names_the_entry),
		resolver_test(an_owner_that_closes_while_waiting_is_not_told),
		resolver_test(closing_at_any_completion_frees_everything),
		resolver_test(a_waiter_may_look_up_again_from_done),
		resolver_test(a_storm_of_names_is_queued_and_all_are_answered),
		resolver_test(a_hundred_lookups_on_two_loops_are_one_question),
		resolver_test(an_asker_that_closes_fails_the_lookups_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
