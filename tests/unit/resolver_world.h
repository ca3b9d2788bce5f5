/* resolver_world.h - for tests: a loop with a resolver, those who look names up, and a DNS server
 * on loopback that answers by how a name begins. */
#ifndef TESTS_UNIT_RESOLVER_WORLD_H
#define TESTS_UNIT_RESOLVER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <sys/eventfd.h>

#include "core/ask.h"
#include "core/loop.h"
#include "core/quiet.h"
#include "core/resolver.h"
#include "tests/unit/dns_server.h"

/* One who looks names up, as a connection would. */
struct waiter {
	struct owner owner;             /* held by the test until waiter_end() */
	struct lookup lookup;
	unsigned told;
	unsigned count, recent_count;
	bool failed, freed;
	char addrs[256];                /* "192.0.2.1 2001:db8::1" */
};

/* One thread's loop and resolver. */
struct world {
	struct loop loop;
	struct resolver *resolver;
	int wake_fd;
};

static struct dns_server *server;

static inline bool begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static inline void good_answer(const struct dns_asked *asked, struct dns_bytes *reply)
{
	dns_begin(reply, 0x8180, asked->name, asked->type);
	if (asked->type == DNS_A)
		dns_a(reply, "@", 300, "192.0.2.1");
	else
		dns_aaaa(reply, "@", 300, "2001:db8::1");
}

static inline void no_such_name(const struct dns_asked *asked, struct dns_bytes *reply)
{
	dns_begin(reply, 0x8183, asked->name, asked->type);
	dns_soa(reply, 60, 3);
}

static inline void send_wrong_id(const struct dns_asked *asked, struct dns_bytes *reply)
{
	struct dns_server *to = asked->server;

	dns_begin(reply, 0x8180, asked->name, asked->type);
	dns_a(reply, "@", 300, "198.51.100.66");
	dns_server_echo(to, reply);
	reply->data[0] ^= 0x55;
	(void)sendto(to->udp, reply->data, reply->len, 0, (struct sockaddr *)&to->client,
		     sizeof(to->client));
}

/* Everything right but for the case of each letter. */
static inline void send_wrong_case(const struct dns_asked *asked, struct dns_bytes *reply)
{
	struct dns_server *to = asked->server;

	dns_begin(reply, 0x8180, asked->name, asked->type);
	dns_a(reply, "@", 300, "198.51.100.66");
	dns_server_echo(to, reply);
	for (size_t at = 12; reply->data[at]; at += 1U + reply->data[at])
		for (size_t i = at + 1; i <= at + reply->data[at]; i++)
			reply->data[i] ^= (reply->data[i] | 0x20) >= 'a' ? 0x20 : 0;
	(void)sendto(to->udp, reply->data, reply->len, 0, (struct sockaddr *)&to->client,
		     sizeof(to->client));
}

/* Datagrams that an off-path forger who guessed the id and the port could send. */
static inline void send_forgeries(const struct dns_asked *asked, struct dns_bytes *reply)
{
	dns_begin(reply, 0x8180, "other.test", asked->type);
	dns_a(reply, "@", 300, "198.51.100.66");
	dns_server_send(asked, reply);
	dns_begin(reply, 0x0180, asked->name, asked->type);
	dns_a(reply, "@", 300, "198.51.100.66");
	dns_server_send(asked, reply);
	reply->len = 0;
	dns_put(reply, "\0\0", 2);
	dns_server_send(asked, reply);
	send_wrong_id(asked, reply);
	send_wrong_case(asked, reply);
}

static inline void mixed_answer(const struct dns_asked *asked, struct dns_bytes *reply)
{
	dns_begin(reply, 0x8180, asked->name, asked->type);
	if (asked->type != DNS_A)
		return;
	dns_a(reply, "evil.test", 300, "198.51.100.66");
	dns_cname(reply, "@", 300, "b.cdn.test");
	dns_a(reply, "b.cdn.test", 300, "192.0.2.7");
	dns_record(reply, DNS_ADDITIONAL, "@", DNS_A, 300, "\306\63\144\103", 4);
}

static inline void cut_answer(const struct dns_asked *asked, struct dns_bytes *reply)
{
	dns_begin(reply, asked->tcp ? 0x8180 : 0x8380, asked->name, asked->type);
	for (unsigned i = 0; asked->tcp && asked->type == DNS_A && i < 100; i++)
		dns_record(reply, DNS_ANSWER, "@", DNS_A, 300,
			   (uint8_t[]){ 192, 0, 2, (uint8_t)i }, 4);
}

/* The name's beginning says how it is answered. */
static inline bool answer(const struct dns_asked *asked, struct dns_bytes *reply)
{
	const char *name = asked->name;

	if ((begins(name, "noedns") && asked->edns) || begins(name, "refused")) {
		dns_begin(reply, begins(name, "refused") ? 0x8185 : 0x8181, name, asked->type);
		return true;
	}
	if (begins(name, "mute") || (begins(name, "onlya") && asked->type != DNS_A))
		return false;
	if (begins(name, "fail") || (begins(name, "half") && asked->type != DNS_A)) {
		dns_begin(reply, 0x8182, name, asked->type);
	} else if (begins(name, "none") || (begins(name, "heal") && asked->nth == 1)) {
		no_such_name(asked, reply);
	} else if (begins(name, "nodata")) {
		dns_begin(reply, 0x8180, name, asked->type);
	} else if (begins(name, "rotate")) {
		char addr[32];

		dns_begin(reply, 0x8180, name, asked->type);
		snprintf(addr, sizeof(addr), "192.0.2.%u", asked->nth);
		if (asked->type == DNS_A)
			dns_a(reply, "@", 0, addr);
	} else if (begins(name, "mixed")) {
		mixed_answer(asked, reply);
	} else if (begins(name, "round")) {
		dns_begin(reply, 0x8180, name, asked->type);
		dns_cname(reply, "@", 300, "x.test");
		dns_cname(reply, "x.test", 300, name);
	} else if (begins(name, "cut")) {
		cut_answer(asked, reply);
	} else {
		if (begins(name, "forged"))
			send_forgeries(asked, reply);
		good_answer(asked, reply);
	}
	return true;
}

static inline void configure(const char *format, unsigned port, unsigned port2)
{
	char upstreams[128];
	const char *error;

	snprintf(upstreams, sizeof(upstreams), format, port, port2);
	assert_int_equal(resolver_configure(upstreams, NULL, &error), 0);
}

static inline void world_begin(struct world *world, uint32_t mark)
{
	memset(world, 0, sizeof(*world));
	world->wake_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(world->wake_fd >= 0);
	assert_int_equal(loop_init(&world->loop, 64, 2, world->wake_fd), 0);
	quiet_online(world->loop.reader);
	assert_int_equal(resolver_open(&world->loop, mark, &world->resolver), 0);
}

static inline void world_end(struct world *world)
{
	resolver_close(world->resolver);
	while (!resolver_ended(&world->loop))
		assert_int_equal(loop_step(&world->loop), 0);
	loop_finish(&world->loop);
	close(world->wake_fd);
}

static inline void waiter_free(struct owner *owner)
{
	container_of(owner, struct waiter, owner)->freed = true;
}

static inline void waiter_begin(struct world *world, struct waiter *waiter)
{
	memset(waiter, 0, sizeof(*waiter));
	waiter->owner = (struct owner){ .loop = &world->loop, .free = waiter_free };
	waiter->lookup.owner = &waiter->owner;
	owner_hold(&waiter->owner);
}

static inline void waiter_end(struct waiter *waiter)
{
	waiter->owner.closing = true;
	owner_release(&waiter->owner);
}

static inline void note(struct waiter *waiter, const struct answer *given)
{
	waiter->count = given->count;
	waiter->failed = given->failed;
	waiter->recent_count = given->recent_count;
	waiter->addrs[0] = '\0';
	for (unsigned i = 0; i < given->count; i++) {
		char one[ADDR_TEXT_MAX];

		snprintf(waiter->addrs + strlen(waiter->addrs),
			 sizeof(waiter->addrs) - strlen(waiter->addrs), "%s%s", i ? " " : "",
			 addr_format_ip(&given->addrs[i], one));
	}
}

static inline void on_told(struct lookup *lookup, const struct answer *given)
{
	struct waiter *waiter = container_of(lookup, struct waiter, lookup);

	waiter->told++;
	note(waiter, given);
}

/* True: answered at once, from the cache. */
static inline bool ask(struct world *world, struct waiter *waiter, const char *name)
{
	const struct answer *given = resolver_lookup(world->resolver, str_of(name),
						     &waiter->lookup, on_told);

	if (given)
		note(waiter, given);
	return given != NULL;
}

static inline void run_until_told(struct world *world, struct waiter *waiter, unsigned times)
{
	while (waiter->told < times)
		assert_int_equal(loop_step(&world->loop), 0);
}

/* Look a name up and wait for the answer; true: it came from the cache. */
static inline bool lookup(struct world *world, const char *name, struct waiter *waiter)
{
	bool cached;

	waiter_begin(world, waiter);
	cached = ask(world, waiter, name);
	if (!cached)
		run_until_told(world, waiter, 1);
	assert_null(waiter->lookup.done);
	waiter_end(waiter);
	assert_true(waiter->freed);
	return cached;
}

/* Look a name up in a world that ends after so many completions.  True: it was told by then. */
static inline bool told_within(unsigned completions, const char *name)
{
	struct world world;
	struct waiter waiter;

	world_begin(&world, 0);
	world.loop.batch_max = 1;
	waiter_begin(&world, &waiter);
	assert_false(ask(&world, &waiter, name));
	for (unsigned i = 0; i < completions && waiter.told == 0; i++)
		assert_int_equal(loop_step(&world.loop), 0);
	waiter_end(&waiter);
	world_end(&world);
	assert_true(waiter.freed);
	return waiter.told > 0;
}

/* The lowest free descriptor rises when one is left open. */
static inline int free_fd(void)
{
	int fd = eventfd(0, 0);

	close(fd);
	return fd;
}

static int free_fd_at_begin;

static inline int begin(void **state)
{
	(void)state;
	alarm(60);                              /* a hang is a failure */
	free_fd_at_begin = free_fd();
	server = dns_server_start(answer);
	configure("127.0.0.1:%u", server->port, 0);
	return 0;
}

static inline int end(void **state)
{
	(void)state;
	dns_server_stop(server);
	quiet_reclaim();
	alarm(0);
	return free_fd() == free_fd_at_begin ? 0 : -1;
}

static inline unsigned asked(const char *name)
{
	return dns_server_count(server, name, DNS_A);
}

/* Asked once, and again only when it has waited for so long that this was right: the server's
 * thread and ours may have had no turn. */
static inline void assert_asked_once_since(const char *name, unsigned type, uint64_t began_ms,
					   const struct world *world)
{
	if (world->loop.now_ms < began_ms + ASK_TRY_MS)
		assert_int_equal(dns_server_count(server, name, type), 1);
	else
		assert_in_range(dns_server_count(server, name, type), 1, ASK_TRIES_MAX);
}

#define resolver_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
