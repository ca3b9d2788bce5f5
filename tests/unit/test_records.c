/* test_records.c - what clients of the filtering resolver are told of a name and a type. */
#include "core/resolver_inside.h"
#include "tests/unit/resolver_world.h"

/* One who wants records. */
struct client {
	struct owner owner;
	struct records_lookup lookup;
	unsigned told;
	struct records last;            /* its pointers are good for the turn only */
	unsigned count;                 /* of the records in the block */
	bool freed;
};

static void client_free(struct owner *owner)
{
	container_of(owner, struct client, owner)->freed = true;
}

static void client_begin(struct world *world, struct client *client)
{
	memset(client, 0, sizeof(*client));
	client->owner = (struct owner){ .loop = &world->loop, .free = client_free };
	client->lookup.owner = &client->owner;
	owner_hold(&client->owner);
}

static void client_end(struct client *client)
{
	client->owner.closing = true;
	owner_release(&client->owner);
}

static void client_note(struct client *client, const struct records *records)
{
	client->last = *records;
	client->count = records->block ? records->block->count : 0;
}

static void on_records(struct records_lookup *lookup, const struct records *records)
{
	struct client *client = container_of(lookup, struct client, lookup);

	client->told++;
	client_note(client, records);
}

/* True: at once. */
static bool want(struct world *world, struct client *client, const char *name, uint16_t type)
{
	const struct records *records = records_lookup(world->resolver, str_of(name), type,
						       &client->lookup, on_records);

	if (records)
		client_note(client, records);
	return records != NULL;
}

static void wait_for(struct world *world, struct client *client)
{
	while (client->told == 0)
		assert_int_equal(loop_step(&world->loop), 0);
}

static bool get(struct world *world, struct client *client, const char *name, uint16_t type)
{
	bool cached;

	client_begin(world, client);
	cached = want(world, client, name, type);
	if (!cached)
		wait_for(world, client);
	client_end(client);
	assert_true(client->freed);
	return cached;
}

static void records_say_who_said_them_and_how_long_it_took(void **state)
{
	struct world world;
	struct client client;
	char upstream[32];

	(void)state;
	snprintf(upstream, sizeof(upstream), "127.0.0.1:%u", server->port);
	world_begin(&world, 0);
	assert_false(get(&world, &client, "ok.test", DNS_TYPE_A));
	assert_false(client.last.failed);
	assert_int_equal(client.last.rcode, 0);
	assert_int_equal(client.count, 1);
	assert_int_equal(client.last.count, 1);
	assert_string_equal(client.last.upstream, upstream);
	assert_true(client.last.took_us > 0);
	assert_true(get(&world, &client, "ok.test", DNS_TYPE_A));
	assert_int_equal(asked("ok.test"), 1);
	assert_int_equal(dns_server_count(server, "ok.test", DNS_AAAA), 0);
	assert_null(records_peek(world.resolver, STR("ok.test"), DNS_TYPE_AAAA));
	world_end(&world);
}

static void no_such_name_keeps_its_rcode_and_its_soa(void **state)
{
	struct world world;
	struct client client;

	(void)state;
	world_begin(&world, 0);
	assert_false(get(&world, &client, "none.test", DNS_TYPE_MX));
	assert_int_equal(client.last.rcode, DNS_RCODE_NXDOMAIN);
	assert_false(client.last.failed);
	assert_int_equal(client.last.fresh_until_ms - client.last.learned_ms, 3000);
	assert_true(get(&world, &client, "none.test", DNS_TYPE_MX));
	world_end(&world);
}

static void names_of_tor_are_not_told_to_dns(void **state)
{
	struct world world;
	struct client client;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	assert_false(get(&world, &client, "secret.onion", DNS_TYPE_A));
	assert_int_equal(client.last.rcode, DNS_RCODE_NXDOMAIN);
	assert_false(lookup(&world, "another.secret.onion", &waiter));
	assert_false(waiter.failed);
	assert_int_equal(dns_server_total(server), 0);
	world_end(&world);
}

/* done() may ask for one, while what was heard is still being dealt with further up. */
static void a_name_of_tor_leaves_what_was_heard_alone(void **state)
{
	struct world world;
	struct client client;

	(void)state;
	world_begin(&world, 0);
	assert_false(get(&world, &client, "ok.test", DNS_TYPE_A));
	assert_int_equal(world.resolver->heard.rcode, 0);
	assert_int_equal(world.resolver->heard.count, 1);
	assert_false(get(&world, &client, "secret.onion", DNS_TYPE_A));
	assert_int_equal(client.last.rcode, DNS_RCODE_NXDOMAIN);
	assert_int_equal(world.resolver->heard.rcode, 0);
	assert_int_equal(world.resolver->heard.count, 1);
	world_end(&world);
}

static void a_failure_says_what_the_server_said(void **state)
{
	struct world world;
	struct client client;

	(void)state;
	world_begin(&world, 0);
	assert_false(get(&world, &client, "refused.test", DNS_TYPE_A));
	assert_true(client.last.failed);
	assert_false(client.last.timed_out);
	assert_int_equal(client.last.rcode, DNS_RCODE_REFUSED);
	assert_null(client.last.block);
	assert_true(get(&world, &client, "refused.test", DNS_TYPE_A));
	assert_false(get(&world, &client, "mute.test", DNS_TYPE_A));
	assert_true(client.last.failed && client.last.timed_out);
	assert_int_equal(client.last.rcode, DNS_RCODE_SERVFAIL);
	world_end(&world);
}

static void what_a_client_was_given_may_be_dialled(void **state)
{
	struct world world;
	struct client client;
	struct waiter waiter;

	(void)state;
	world_begin(&world, 0);
	assert_false(get(&world, &client, "rotate.test", DNS_TYPE_A));
	assert_false(get(&world, &client, "rotate.test", DNS_TYPE_AAAA));
	assert_true(lookup(&world, "rotate.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1");
	world.loop.now_ms += 1001;              /* its TTL is 0: a client is given a new one */
	assert_false(get(&world, &client, "rotate.test", DNS_TYPE_A));
	assert_true(lookup(&world, "rotate.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.2");
	assert_int_equal(waiter.recent_count, 1);
	world_end(&world);
}

static void a_hundred_clients_are_one_question(void **state)
{
	enum { CLIENTS = 100 };
	static struct client clients[CLIENTS];
	struct world world;
	uint64_t began_ms;

	(void)state;
	world_begin(&world, 0);
	began_ms = world.loop.now_ms;
	dns_server_hold(server);
	for (unsigned i = 0; i < CLIENTS; i++) {
		client_begin(&world, &clients[i]);
		assert_false(want(&world, &clients[i], "ok.test", DNS_TYPE_A));
	}
	dns_server_go_on(server);
	for (unsigned i = 0; i < CLIENTS; i++) {
		wait_for(&world, &clients[i]);
		assert_int_equal(clients[i].count, 1);
		client_end(&clients[i]);
	}
	assert_asked_once_since("ok.test", DNS_A, began_ms, &world);
	world_end(&world);
}

/* The server's answer is never taken for a question: nothing is on its way any more. */
static void a_question_of_our_own_is_known_while_it_is_on_its_way(void **state)
{
	struct dns_query query;
	struct world world;
	struct client client;

	(void)state;
	world_begin(&world, 0);
	client_begin(&world, &client);
	dns_server_hold(server);
	assert_false(want(&world, &client, "ok.a-name-with-many-letters.test", DNS_TYPE_A));
	while (dns_server_total(server) == 0)
		assert_int_equal(io_uring_submit(&world.loop.ring) < 0, 0);
	pthread_mutex_lock(&server->lock);
	assert_int_equal(dns_query_parse(server->question.data, server->question.len, &query),
			 DNS_ASK);
	pthread_mutex_unlock(&server->lock);
	assert_true(records_are_asked_by(&query));
	query.id ^= 1;
	assert_false(records_are_asked_by(&query));
	query.id ^= 1;
	query.wire[1] ^= 0x20;
	assert_false(records_are_asked_by(&query));
	query.wire[1] ^= 0x20;
	dns_server_go_on(server);
	wait_for(&world, &client);
	assert_false(records_are_asked_by(&query));
	client_end(&client);
	world_end(&world);
}

static void a_name_in_use_is_refreshed_before_it_runs_out(void **state)
{
	struct world world;
	struct client client;

	(void)state;
	world_begin(&world, 0);
	assert_false(get(&world, &client, "ok.test", DNS_TYPE_A));
	world.loop.now_ms += 250 * 1000;        /* of 300 s */
	assert_true(get(&world, &client, "ok.test", DNS_TYPE_A));
	while (asked("ok.test") < 2)
		assert_int_equal(loop_step(&world.loop), 0);
	world_end(&world);
}

static void closing_at_any_completion_frees_everything(void **state)
{
	struct world world;
	struct client client;
	unsigned steps = 0;

	(void)state;
	do {
		configure("127.0.0.1:%u", server->port, 0);
		world_begin(&world, 0);
		world.loop.batch_max = 1;
		client_begin(&world, &client);
		assert_false(want(&world, &client, "cut.test", DNS_TYPE_A));
		for (unsigned i = 0; i < steps && client.told == 0; i++)
			assert_int_equal(loop_step(&world.loop), 0);
		client_end(&client);
		world_end(&world);
		assert_true(client.freed);
		steps++;
	} while (client.told == 0);
	assert_true(steps > 5);
}

/* Random names under one that is allowed, as fast as they can be asked. */
static void a_flood_of_names_is_bounded_and_spares_the_others(void **state)
{
	enum { FLOOD = 20000, AT_ONCE = 4000 };
	static struct client clients[AT_ONCE];
	uint64_t shed = resolver_count(RESOLVER_SHED);
	struct world world;
	struct client good;
	struct waiter waiter;
	size_t bytes;

	(void)state;
	server->unlogged = "flood";
	world_begin(&world, 0);
	assert_false(get(&world, &good, "ok.test", DNS_TYPE_A));
	assert_true(get(&world, &good, "ok.test", DNS_TYPE_A));
	for (unsigned i = 0; i < FLOOD; i++) {
		struct client *client = &clients[i % AT_ONCE];
		char name[32];

		if (i >= AT_ONCE && client->told == 0 && !client->last.shed)
			wait_for(&world, client);
		if (i >= AT_ONCE)
			client_end(client);
		client_begin(&world, client);
		snprintf(name, sizeof(name), "flood%u.test", i);
		if (want(&world, client, name, DNS_TYPE_A))
			assert_true(client->last.shed && client->last.failed);
		assert_true(resolver_shared.question_count <= QUESTIONS_CLIENTS_MAX);
	}
	/* Connections still find what is new, and clients what is cached. */
	assert_true(get(&world, &good, "ok.test", DNS_TYPE_A));
	assert_false(lookup(&world, "ok2.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	for (unsigned i = 0; i < AT_ONCE; i++) {
		if (clients[i].told == 0 && !clients[i].last.shed)
			wait_for(&world, &clients[i]);
		client_end(&clients[i]);
	}
	assert_true(resolver_count(RESOLVER_SHED) > shed);
	assert_true(record_count(resolver_shared.table, &bytes) <= RECORD_SETS * RECORD_WAYS);
	assert_true(bytes <= RECORD_BYTES_MAX);
	assert_int_equal(resolver_shared.question_count, 0);
	world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		resolver_test(records_say_who_said_them_and_how_long_it_took),
		resolver_test(no_such_name_keeps_its_rcode_and_its_soa),
		resolver_test(names_of_tor_are_not_told_to_dns),
		resolver_test(a_name_of_tor_leaves_what_was_heard_alone),
		resolver_test(a_failure_says_what_the_server_said),
		resolver_test(what_a_client_was_given_may_be_dialled),
		resolver_test(a_hundred_clients_are_one_question),
		resolver_test(a_question_of_our_own_is_known_while_it_is_on_its_way),
		resolver_test(a_name_in_use_is_refreshed_before_it_runs_out),
		resolver_test(closing_at_any_completion_frees_everything),
		resolver_test(a_flood_of_names_is_bounded_and_spares_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
