/* test_udp.c - datagrams through a worker, flows closed at every completion, and trains cut and put
 * together.  Runs in a network namespace of its own, where packets have 1500 bytes at the most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/features.h"
#include "forward/port.h"
#include "forward/udp_flow.h"

enum { MTU = 1500, TURNS_MAX = 3000 };

static struct worker worker;
static struct forward_port port;
static struct forward_settings forward;
static struct filter_settings settings;
static struct filter_listener listener;
static struct worker_job job;
static int event_fd, target_fd;
static union addr target;

static bool own_world(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd;
	bool ok;

	if (unshare(CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
	ok = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	request.ifr_mtu = MTU;
	ok = ok && ioctl(fd, SIOCSIFMTU, &request) == 0;
	close(fd);
	return ok;
}

static int open_at(const char *text, union addr *addr)
{
	int fd, bytes = 4 << 20;
	socklen_t len = sizeof(*addr);

	assert_true(addr_parse(str_of(text), addr));
	fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	assert_int_equal(bind(fd, &addr->sa, addr_len(addr)), 0);
	assert_int_equal(getsockname(fd, &addr->sa, &len), 0);
	return fd;
}

static int open_client(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, &listener.addr.sa, addr_len(&listener.addr)), 0);
	return fd;
}

static int begin(void **state)
{
	const char *error;
	int fd;

	(void)state;
	memset(&worker, 0, sizeof(worker));
	target_fd = open_at("127.0.0.1", &target);
	fd = open_at("127.0.0.1", &listener.addr);      /* a free port */
	close(fd);
	listener.kind = CONN_PLAIN;
	listener.port = &port;
	memset(&port, 0, sizeof(port));
	port.listen = addr_port(&listener.addr);
	port.dial = addr_port(&target);
	limit_init(&port.limit, 10);
	memset(&forward, 0, sizeof(forward));
	forward.addr = target;
	forward.udp = forward.udp_answers = true;
	forward.port_count = 1;
	forward.ports = &port;
	forward.udp_timeout_ms = 60000;
	settings = (struct filter_settings){ .listener_count = 1, .listeners = &listener,
					     .forward = &forward };
	job = filter_job;
	job.context = &settings;
	worker.job = &job;
	worker.wake_fd = eventfd(0, EFD_CLOEXEC);
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(event_ring_init(&worker.events, 1024, event_fd), 0);
	assert_int_equal(resolver_configure("203.0.113.53:53", NULL, &error), 0);
	assert_int_equal(loop_init(&worker.loop, 64, 16, worker.wake_fd), 0);
	assert_int_equal(filter_job.begin(&worker), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	filter_job.end(&worker);
	while (!filter_job.idle(&worker))
		assert_int_equal(loop_step(&worker.loop), 0);
	assert_int_equal(worker.loop.datagrams.lent, 0);
	assert_int_equal(atomic_load(&port.limit.open), 0);
	filter_job.finish(&worker);
	loop_finish(&worker.loop);
	event_ring_finish(worker.events);
	limit_finish(&port.limit);
	close(worker.wake_fd);
	close(event_fd);
	close(target_fd);
	return 0;
}

static struct udp *udp_of(void)
{
	return ((struct filter *)worker.work)->udp;
}

static uint64_t counter(_Atomic uint64_t *metric)
{
	return atomic_load(metric);
}

/* Turns of the loop that never wait for long. */
static void step(void)
{
	worker.loop.wake_us = worker.loop.now_us + 1000;
	assert_int_equal(loop_step(&worker.loop), 0);
}

static bool has_come(int fd)
{
	struct pollfd waiting = { .fd = fd, .events = POLLIN };

	return poll(&waiting, 1, 0) == 1;
}

static void step_until(int fd)
{
	for (unsigned turn = 0; turn < TURNS_MAX && !has_come(fd); turn++)
		step();
	assert_true(has_come(fd));
}

static void step_until_counted(_Atomic uint64_t *metric, uint64_t wanted)
{
	for (unsigned turn = 0; turn < TURNS_MAX && counter(metric) < wanted; turn++)
		step();
	assert_int_equal(counter(metric), wanted);
}

/* The next datagram at fd is this one; *from: who sent it. */
static void expect(int fd, const void *data, size_t len, union addr *from)
{
	static uint8_t got[65536];
	socklen_t from_len = sizeof(*from);

	step_until(fd);
	assert_int_equal(recvfrom(fd, got, sizeof(got), 0, from ? &from->sa : NULL,
				  from ? &from_len : NULL), len);
	if (len > 0)
		assert_memory_equal(got, data, len);
}

static void a_question_and_its_answer_pass(void **state)
{
	int client = open_client();
	union addr from;

	(void)state;
	assert_int_equal(send(client, "who", 3, 0), 3);
	expect(target_fd, "who", 3, &from);
	assert_int_equal(sendto(target_fd, "you", 3, 0, &from.sa, sizeof(from.v4)), 3);
	expect(client, "you", 3, NULL);
	assert_int_equal(udp_of()->flows.used, 1);
	assert_int_equal(atomic_load(&port.limit.open), 1);
	assert_int_equal(counter(&worker.metrics.datagrams_up), 1);
	assert_int_equal(counter(&worker.metrics.bytes_down), 3);
	close(client);
}

static void silence_closes_a_flow_and_gives_everything_back(void **state)
{
	int client = open_client();

	(void)state;
	forward.udp_timeout_ms = 50;
	assert_int_equal(send(client, "who", 3, 0), 3);
	expect(target_fd, "who", 3, NULL);
	for (unsigned turn = 0; turn < TURNS_MAX && udp_of()->flows.used > 0; turn++)
		step();
	assert_int_equal(udp_of()->flows.used, 0);
	assert_int_equal(atomic_load(&port.limit.open), 0);
	assert_int_equal(counter(&worker.metrics.flows_closed), 1);
	close(client);
}

static void more_flows_than_the_limit_are_dropped_and_counted(void **state)
{
	int clients[12];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(clients); i++) {
		clients[i] = open_client();
		assert_int_equal(send(clients[i], "x", 1, 0), 1);
	}
	step_until_counted(&worker.metrics.flows_refused, 2);
	assert_int_equal(udp_of()->flows.used, 10);
	for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
		close(clients[i]);
}

/* What one client sends while nobody looks comes out in order, each as it was. */
static void pass_all(const uint16_t *sizes, unsigned count)
{
	static uint8_t data[70000];
	int client = open_client();

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(send(client, data + i, sizes[i], 0), sizes[i]);
	for (unsigned i = 0; i < count; i++)
		expect(target_fd, data + i, sizes[i], NULL);
	assert_int_equal(counter(&worker.metrics.datagrams_dropped), 0);
	close(client);
}

static void what_comes_in_one_turn_keeps_its_order_and_its_edges(void **state)
{
	static const uint16_t sizes[] = {
		100, 100, 100, 99, 100, 0, 0, 100, 101, 101, 1, 1, 1, 65507, 65507,
		1472, 1472, 1473, 1473, 1473, 3000, 3000, 2999, 0,
	};

	(void)state;
	pass_all(sizes, ARRAY_LEN(sizes));
}

static void more_than_a_train_holds_is_several(void **state)
{
	uint16_t sizes[200];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
		sizes[i] = 1400;
	pass_all(sizes, ARRAY_LEN(sizes));
}

static void datagrams_too_large_for_a_train_go_singly_ever_after(void **state)
{
	static const uint16_t sizes[] = { 2000, 2000, 2000, 1000, 1000, 1000, 2000, 2000 };

	(void)state;
	pass_all(sizes, ARRAY_LEN(sizes));
	for (uint32_t i = 0; i < udp_of()->flows.fresh; i++) {
		struct udp_flow *flow = pool_item(&udp_of()->flows, i);

		assert_int_equal(flow->lanes[UDP_UP].segment_max, features.udp_gro ? 1999 : 0);
	}
}

/* One client's conversation; its flow is closed after so many completions (0: never).  Returns how
 * many it took. */
static unsigned conversation(unsigned close_at)
{
	uint64_t before = counter(&worker.metrics.flows_closed);
	uint64_t first = worker.loop.completions;
	int client = open_client();
	unsigned answered = 0;
	char text[100];
	union addr from;

	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(send(client, "who", 3, 0), 3);
	for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
		socklen_t len = sizeof(from);
		bool now = close_at > 0 && worker.loop.completions - first >= close_at;

		for (uint32_t i = 0; now && i < udp_of()->flows.fresh; i++) {
			struct udp_flow *flow = pool_item(&udp_of()->flows, i);

			if (flow->owner.free)
				udp_flow_close(flow, CLOSE_SHUTDOWN);
		}
		if (counter(&worker.metrics.flows_closed) > before || answered == 5)
			break;
		step();
		if (recvfrom(target_fd, text, sizeof(text), MSG_DONTWAIT, &from.sa, &len) > 0)
			(void)sendto(target_fd, "you", 3, 0, &from.sa, len);
		while (recv(client, text, sizeof(text), MSG_DONTWAIT) > 0)
			answered++;
	}
	close(client);
	return (unsigned)(worker.loop.completions - first);
}

static void closing_at_any_completion_gives_everything_back(void **state)
{
	unsigned longest;

	(void)state;
	worker.loop.batch_max = 1;
	longest = conversation(0);
	assert_true(longest > 5);
	for (unsigned close_at = 1; close_at <= longest + 2; close_at++) {
		conversation(close_at);
		for (unsigned turn = 0; turn < 20; turn++)
			step();
		while (recv(target_fd, (char[8]){ 0 }, 8, MSG_DONTWAIT) >= 0)
			;
	}
}

static void one_way_has_no_request_for_answers(void **state)
{
	int client = open_client();
	union addr from;

	(void)state;
	forward.udp_answers = false;
	assert_int_equal(send(client, "log", 3, 0), 3);
	expect(target_fd, "log", 3, &from);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(sendto(target_fd, "?", 1, 0, &from.sa, sizeof(from.v4)), 1);
	close(target_fd);
	for (unsigned i = 0; i < 5; i++) {      /* to a closed port: ICMP */
		assert_int_equal(send(client, "log", 3, 0), 3);
		/* Each has left before the port opens again, else it would come there. */
		step_until_counted(&worker.metrics.datagrams_up, 2 + i);
	}
	target_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(target_fd, &target.sa, sizeof(target.v4)), 0);
	assert_int_equal(send(client, "end", 3, 0), 3);
	expect(target_fd, "end", 3, NULL);      /* what ICMP told did not swallow it */
	assert_false(has_come(client));
	assert_int_equal(udp_of()->flows.used, 1);
	close(client);
}

static int begin_without(void **state)
{
	assert_int_equal(features_parse("none"), 0);
	return begin(state);
}

static int end_with(void **state)
{
	assert_int_equal(features_parse("auto"), 0);
	return end(state);
}

static int make_world(void **state)
{
	(void)state;
	if (!own_world()) {
		print_message("needs root: 0 of its tests run\n");
		exit(77);
	}
	return 0;
}

#define both(test)                                                                                 \
	cmocka_unit_test_setup_teardown(test, begin, end),                                         \
		{ #test " without newer features", test, begin_without, end_with, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		both(a_question_and_its_answer_pass),
		both(silence_closes_a_flow_and_gives_everything_back),
		both(more_flows_than_the_limit_are_dropped_and_counted),
		both(what_comes_in_one_turn_keeps_its_order_and_its_edges),
		both(more_than_a_train_holds_is_several),
		both(datagrams_too_large_for_a_train_go_singly_ever_after),
		both(closing_at_any_completion_gives_everything_back),
		both(one_way_has_no_request_for_answers),
	};

	return cmocka_run_group_tests(tests, make_world, NULL);
}
