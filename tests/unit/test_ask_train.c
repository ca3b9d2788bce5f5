/* test_ask_train.c - questions of one turn: together where they share ports, and never lost. */
#include "core/ask_udp.h"
#include "core/resolver_inside.h"
#include "tests/unit/resolver_world.h"

enum {
	NAMES = 100,                    /* two questions each: A and AAAA */
	FORGED = 20,                    /* with forgeries: all must fit into a socket's buffer */
};

static struct waiter waiters[NAMES];

/* Ask for names of this form, all in one turn, where none may have a port of its own. */
static void ask_in_one_turn(struct world *world, const char *form, unsigned names)
{
	world->resolver->udp.refill_ms = world->loop.now_ms;
	world->resolver->udp.opens = 0;
	for (unsigned i = 0; i < names; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%02u.test", form, i);
		waiter_begin(world, &waiters[i]);
		assert_false(ask(world, &waiters[i], name));
	}
}

static void wait_for_all(struct world *world, unsigned names)
{
	for (unsigned i = 0; i < names; i++) {
		run_until_told(world, &waiters[i], 1);
		assert_string_equal(waiters[i].addrs, "192.0.2.1 2001:db8::1");
		waiter_end(&waiters[i]);
	}
}

static unsigned ports_asked_from(unsigned questions)
{
	static bool seen[1 << 16];
	unsigned ports = 0;

	memset(seen, 0, sizeof(seen));
	pthread_mutex_lock(&server->lock);
	for (unsigned i = 0; i < questions; i++) {
		ports += !seen[server->log[i].port];
		seen[server->log[i].port] = true;
	}
	pthread_mutex_unlock(&server->lock);
	return ports;
}

/* How many questions wait for the end of the turn. */
static unsigned in_trains(const struct world *world)
{
	const struct ask_trains *trains = &world->resolver->udp.trains;
	unsigned count = 0;

	for (unsigned i = 0; i < trains->count; i++)
		count += trains->all[i].count;
	return count;
}

static void questions_of_one_turn_leave_together(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, 0);
	ask_in_one_turn(&world, "ok", NAMES);
	assert_int_equal(in_trains(&world), 2 * NAMES - 1);     /* the first one made the port */
	assert_int_equal(world.resolver->udp.trains.count,
			 (2 * NAMES - 1 + ASK_TRAIN_MAX - 1) / ASK_TRAIN_MAX);
	wait_for_all(&world, NAMES);
	assert_int_equal(dns_server_total(server), 2 * NAMES);
	assert_int_equal(ports_asked_from(2 * NAMES), 1);
	assert_int_equal(world.resolver->udp.trains.refused_until_ms, 0);
	world_end(&world);
}

static void forgeries_between_answers_that_came_together_are_ignored(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, 0);
	dns_server_hold(server);
	ask_in_one_turn(&world, "forged", FORGED);
	while (dns_server_total(server) == 0)
		assert_int_equal(io_uring_submit(&world.loop.ring) < 0, 0);
	dns_server_go_on(server);
	wait_for_all(&world, FORGED);
	world_end(&world);
}

static uint64_t forged(const struct world *world)
{
	return world->resolver->counts[RESOLVER_FORGED];
}

static void a_guess_ends_the_taking_in_a_row(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, 0);
	world.loop.batch_max = 1;
	dns_server_hold(server);
	ask_in_one_turn(&world, "forged", FORGED);
	while (dns_server_total(server) == 0)
		assert_int_equal(loop_step(&world.loop), 0);
	dns_server_go_on(server);
	while (forged(&world) < FORGED) {
		uint64_t before = forged(&world);

		assert_int_equal(loop_step(&world.loop), 0);
		assert_true(forged(&world) <= before + 1);
	}
	wait_for_all(&world, FORGED);
	world_end(&world);
}

static void questions_of_many_lengths_leave_too(void **state)
{
	static const char letters[] = "ok-a-b-c-d-e-f-g-h-i-j-k-l-m-n";
	struct world world;

	(void)state;
	world_begin(&world, 0);
	world.resolver->udp.refill_ms = world.loop.now_ms;
	world.resolver->udp.opens = 0;
	for (unsigned i = 0; i < NAMES; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%.*s%02u.test", 2 + (int)i % 28, letters, i);
		waiter_begin(&world, &waiters[i]);
		assert_false(ask(&world, &waiters[i], name));
	}
	assert_int_equal(world.resolver->udp.trains.count, ASK_TRAINS_MAX);
	wait_for_all(&world, NAMES);
	assert_int_equal(dns_server_total(server), 2 * NAMES);
	world_end(&world);
}

/* Linux cuts no train of a socket without checksums. */
static void refuse_trains(struct world *world)
{
	struct udp_ports *udp = &world->resolver->udp;
	int yes = 1;

	for (struct udp_port *port = udp->all; port < udp->all + UDP_PORTS_MAX; port++)
		if (port->fd >= 0)
			assert_int_equal(setsockopt(port->fd, SOL_SOCKET, SO_NO_CHECK, &yes,
						    sizeof(yes)), 0);
}

static void where_the_kernel_takes_no_trains_they_leave_one_by_one(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, 0);
	ask_in_one_turn(&world, "ok", NAMES);
	refuse_trains(&world);
	wait_for_all(&world, NAMES);
	assert_true(world.resolver->udp.trains.refused_until_ms > world.loop.now_ms);
	ask_in_one_turn(&world, "again", NAMES);
	assert_int_equal(in_trains(&world), 0);
	wait_for_all(&world, NAMES);
	assert_int_equal(dns_server_total(server), 4 * NAMES);
	world_end(&world);
}

static void a_train_to_a_server_that_is_gone_is_told_to_each_question(void **state)
{
	struct world world;

	(void)state;
	configure("127.0.0.1:%u,127.0.0.1:%u", 9, server->port);        /* discard: closed */
	world_begin(&world, 0);
	for (unsigned i = 0; i < 2; i++) {
		ask_in_one_turn(&world, i == 0 ? "first" : "second", NAMES);
		wait_for_all(&world, NAMES);
	}
	world_end(&world);
}

static void what_nobody_waits_for_any_more_does_not_leave(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world, 0);
	ask_in_one_turn(&world, "ok", NAMES);
	assert_int_equal(in_trains(&world), 2 * NAMES - 1);
	for (unsigned i = 0; i < NAMES; i++)
		waiter_end(&waiters[i]);
	world_end(&world);
	world_begin(&world, 0);
	assert_false(lookup(&world, "ok-last.test", &waiters[0]));
	assert_int_equal(dns_server_total(server), 1 + 2);      /* one was alone, on its way */
	world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		resolver_test(questions_of_one_turn_leave_together),
		resolver_test(forgeries_between_answers_that_came_together_are_ignored),
		resolver_test(a_guess_ends_the_taking_in_a_row),
		resolver_test(questions_of_many_lengths_leave_too),
		resolver_test(where_the_kernel_takes_no_trains_they_leave_one_by_one),
		resolver_test(a_train_to_a_server_that_is_gone_is_told_to_each_question),
		resolver_test(what_nobody_waits_for_any_more_does_not_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
