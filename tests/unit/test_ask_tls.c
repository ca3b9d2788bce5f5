/* test_ask_tls.c - questions over TLS: whom they reach, and whom they do not. */
#include <signal.h>

#include "core/resolver_inside.h"
#include "tests/unit/resolver_world.h"
#include "tests/unit/tls_front.h"

static SSL_CTX *trusted, *stranger;

static int begin_all(void **state)
{
	char path[] = "/tmp/ringfence-test-XXXXXX";
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");

	(void)state;
	assert_non_null(file);
	signal(SIGPIPE, SIG_IGN);               /* OpenSSL's server writes to closed sockets */
	trusted = tls_front_context(file);
	stranger = tls_front_context(NULL);
	fclose(file);
	setenv("SSL_CERT_FILE", path, 1);
	server = dns_server_start(answer);
	configure("tls://127.0.0.1:%u", server->port, 0);       /* reads it once for all */
	dns_server_stop(server);
	unlink(path);
	return 0;
}

static int end_all(void **state)
{
	(void)state;
	SSL_CTX_free(trusted);
	SSL_CTX_free(stranger);
	return 0;
}

static void look_up_some(struct world *world)
{
	for (unsigned i = 0; i < 5; i++) {
		struct waiter waiter;
		char name[32];

		snprintf(name, sizeof(name), "ok%u.test", i);
		assert_false(lookup(world, name, &waiter));
		assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	}
}

static void all_go_over_one_connection(void **state)
{
	static const char *const upstreams[] = { "tls://dns.test@127.0.0.1:%u",
						 "tls://127.0.0.1:%u" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(upstreams); i++) {
		struct tls_front *front = tls_front_start(trusted, server->port);
		struct world world;

		configure(upstreams[i], front->port, 0);
		world_begin(&world, 0);
		look_up_some(&world);
		assert_int_equal(front->conn_count, 1);
		world_end(&world);
		pthread_mutex_lock(&server->lock);
		for (unsigned j = 0; j < server->asked_count; j++)
			assert_true(server->log[j].tcp);
		pthread_mutex_unlock(&server->lock);
		tls_front_stop(front);
	}
}

static void a_connection_that_was_closed_is_opened_anew(void **state)
{
	struct tls_front *front = tls_front_start(trusted, server->port);
	struct world world;

	(void)state;
	front->close_conns = true;
	configure("tls://127.0.0.1:%u", front->port, 0);
	world_begin(&world, 0);
	look_up_some(&world);
	assert_true(front->conn_count > 5);
	world_end(&world);
	tls_front_stop(front);
}

enum { MANY = 100 };

static struct waiter waiters[MANY];

/* All at once, before there is a connection; prefix: how each name begins. */
static void look_up_many(struct world *world, unsigned count, const char *prefix)
{
	char label[61], name[256];

	memset(label, 'x', 60);
	label[60] = '\0';
	for (unsigned i = 0; i < count; i++) {
		waiter_begin(world, &waiters[i]);
		snprintf(name, sizeof(name), "%s%u.%s.%s.%s.test", prefix, i, label, label, label);
		assert_false(ask(world, &waiters[i], name));
	}
	for (unsigned i = 0; i < count; i++) {
		run_until_told(world, &waiters[i], 1);
		waiter_end(&waiters[i]);
	}
}

static void questions_that_have_no_room_wait_for_it(void **state)
{
	struct tls_front *front = tls_front_start(trusted, server->port);
	struct world world;

	(void)state;
	configure("tls://127.0.0.1:%u", front->port, 0);
	world_begin(&world, 0);
	look_up_many(&world, MANY, "ok");
	for (unsigned i = 0; i < MANY; i++)
		assert_string_equal(waiters[i].addrs, "192.0.2.1 2001:db8::1");
	assert_int_equal(front->conn_count, 1);
	world_end(&world);
	tls_front_stop(front);
}

static void a_server_that_closes_on_many_questions_is_asked_one_by_one(void **state)
{
	struct tls_front *front = tls_front_start(trusted, server->port);
	struct server *asked = &resolver_shared.dotted.all[0];
	struct world world;

	(void)state;
	front->close_conns = true;
	configure("tls://127.0.0.1:%u", front->port, 0);
	world_begin(&world, 0);
	look_up_many(&world, 4, "ok");
	for (unsigned i = 0; i < 4; i++)
		assert_string_equal(waiters[i].addrs, "192.0.2.1 2001:db8::1");
	assert_true(server_wants_one_by_one(asked, world.loop.now_ms));
	/* Until it has shown that it takes more. */
	front->close_conns = false;
	asked->one_by_one_until_ms = 0;         /* the loop's clock goes by itself */
	look_up_some(&world);
	assert_int_equal(asked->early_closes, 0);
	world_end(&world);
	tls_front_stop(front);
}

static void connections_that_we_close_are_no_sign_of_that(void **state)
{
	struct dns_server *behind = dns_server_start(answer);
	struct tls_front *front = tls_front_start(trusted, behind->port);
	struct world world;

	(void)state;
	configure("tls://127.0.0.1:%u", front->port, 0);
	world_begin(&world, 0);
	look_up_many(&world, 4, "mute");
	for (unsigned i = 0; i < 4; i++)
		assert_true(waiters[i].failed);
	assert_true(front->conn_count > 0);
	assert_int_equal(resolver_shared.dotted.all[0].early_closes, 0);
	world_end(&world);
	dns_server_stop(behind);                /* the front waits for its answers */
	tls_front_stop(front);
}

/* The next server is asked; nothing has been said to the one that could not prove itself. */
static void expect_refused(SSL_CTX *context, const char *upstreams, const char *why)
{
	uint64_t failures = resolver_count(RESOLVER_TLS_FAILURES);
	struct dns_server *behind = dns_server_start(answer);
	struct tls_front *front = tls_front_start(context, behind->port);
	struct world world;
	struct waiter waiter;
	char text[256];

	configure(upstreams, front->port, server->port);
	world_begin(&world, 0);
	assert_false(lookup(&world, "ok.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	assert_true(resolver_count(RESOLVER_TLS_FAILURES) > failures);
	resolver_tls_error(text, sizeof(text));
	assert_non_null(strstr(text, why));
	assert_int_equal(dns_server_total(behind), 0);
	world_end(&world);
	tls_front_stop(front);
	dns_server_stop(behind);
}

static void a_certificate_for_another_name_is_refused(void **state)
{
	(void)state;
	expect_refused(trusted, "tls://other.test@127.0.0.1:%u,127.0.0.1:%u", "hostname mismatch");
}

static void a_certificate_of_an_unknown_authority_is_refused(void **state)
{
	(void)state;
	expect_refused(stranger, "tls://dns.test@127.0.0.1:%u,127.0.0.1:%u", "certificate: ");
}

static void who_does_not_speak_tls_is_passed_over(void **state)
{
	struct dns_server *plain = dns_server_start(answer);
	struct world world;
	struct waiter waiter;

	(void)state;
	configure("tls://127.0.0.1:%u", plain->port, 0);
	world_begin(&world, 0);
	assert_false(lookup(&world, "mute.test", &waiter));
	assert_true(waiter.failed);
	world_end(&world);
	configure("tls://127.0.0.1:%u,127.0.0.1:%u", plain->port, server->port);
	world_begin(&world, 0);
	assert_false(lookup(&world, "ok.test", &waiter));
	assert_string_equal(waiter.addrs, "192.0.2.1 2001:db8::1");
	world_end(&world);
	dns_server_stop(plain);
}

static void closing_at_any_completion_frees_everything(void **state)
{
	unsigned steps = 0;
	bool told;

	(void)state;
	do {
		struct tls_front *front = tls_front_start(trusted, server->port);

		configure("tls://127.0.0.1:%u", front->port, 0);
		told = told_within(steps++, "ok.test");
		tls_front_stop(front);
	} while (!told);
	assert_true(steps > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		resolver_test(all_go_over_one_connection),
		resolver_test(a_connection_that_was_closed_is_opened_anew),
		resolver_test(questions_that_have_no_room_wait_for_it),
		resolver_test(a_server_that_closes_on_many_questions_is_asked_one_by_one),
		resolver_test(connections_that_we_close_are_no_sign_of_that),
		resolver_test(a_certificate_for_another_name_is_refused),
		resolver_test(a_certificate_of_an_unknown_authority_is_refused),
		resolver_test(who_does_not_speak_tls_is_passed_over),
		resolver_test(closing_at_any_completion_frees_everything),
	};

	return cmocka_run_group_tests(tests, begin_all, end_all);
}
