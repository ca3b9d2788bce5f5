/* test_dns_batch.c - answers of one turn, together and in trains, at clients on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forward/dns_batch.h"
#include "proto/dns.h"

#ifndef UDP_GRO
#define UDP_GRO 104                     /* Linux 5.0 */
#endif

enum { CLIENTS = 3, PATIENCE_MS = 5000 };

static int server;
static struct {
	int fd;
	union addr addr;
} clients[CLIENTS];
static struct dns_batch *batch;

static int open_socket(union addr *addr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr->v4);

	memset(addr, 0, sizeof(*addr));
	addr->v4.sin_family = AF_INET;
	addr->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &addr->sa, len), 0);
	assert_int_equal(getsockname(fd, &addr->sa, &len), 0);
	return fd;
}

static int set_up(void **state)
{
	union addr addr;

	(void)state;
	server = open_socket(&addr);
	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i].fd = open_socket(&clients[i].addr);
	batch = dns_batch_new();
	return batch ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	free(batch);
	close(server);
	for (unsigned i = 0; i < CLIENTS; i++)
		close(clients[i].fd);
	return 0;
}

/* An answer of len bytes, all of them `mark`. */
static unsigned add(unsigned client, size_t len, uint8_t mark)
{
	uint8_t data[DNS_UDP_MAX];

	memset(data, mark, len);
	return dns_batch_add(batch, server, &clients[client].addr, data, len);
}

static void assert_gets(unsigned client, size_t len, uint8_t mark)
{
	struct pollfd wait = { .fd = clients[client].fd, .events = POLLIN };
	uint8_t data[DNS_UDP_MAX + 1];

	assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
	assert_int_equal(recv(wait.fd, data, sizeof(data), 0), len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(data[i], mark);
}

static void assert_gets_nothing_more(void)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_true(recv(clients[i].fd, &(char){ 0 }, 1, MSG_DONTWAIT) < 0);
}

static void nothing_leaves_before_it_is_flushed(void **state)
{
	(void)state;
	assert_int_equal(add(0, 40, 'a'), 0);
	assert_int_equal(dns_batch_count(batch), 1);
	assert_gets_nothing_more();
	assert_int_equal(dns_batch_flush(batch), 0);
	assert_gets(0, 40, 'a');
	assert_int_equal(dns_batch_count(batch), 0);
	assert_int_equal(dns_batch_flush(batch), 0);
	assert_gets_nothing_more();
}

/* Longer, as long, shorter, longer again: whatever goes into one train comes out as it was. */
static void every_client_gets_its_answers_whole_and_in_order(void **state)
{
	static const uint16_t lens[] = { 40, 60, 60, 50, 60, 60, 1232, 1232, 12, 1, 1, 2 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(lens); i++)
		for (unsigned client = 0; client < CLIENTS; client++)
			assert_int_equal(add(client, lens[i], (uint8_t)(16 * client + i)), 0);
	assert_int_equal(dns_batch_flush(batch), 0);
	for (unsigned client = 0; client < CLIENTS; client++)
		for (unsigned i = 0; i < ARRAY_LEN(lens); i++)
			assert_gets(client, lens[i], (uint8_t)(16 * client + i));
	assert_gets_nothing_more();
}

static void a_full_batch_goes_by_itself(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(add(0, 50, (uint8_t)i), 0);
	assert_in_range(dns_batch_count(batch), 1, 99);
	assert_int_equal(dns_batch_flush(batch), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_gets(0, 50, (uint8_t)i);
	assert_gets_nothing_more();
}

/* 64 of the longest are more than a packet holds; that must not end all trains. */
static void a_train_that_is_full_is_followed_by_another(void **state)
{
	int on = 1, room = 1 << 20;
	uint8_t data[100];

	(void)state;
	(void)setsockopt(clients[0].fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(add(0, DNS_UDP_MAX, (uint8_t)i), 0);
	assert_int_equal(dns_batch_flush(batch), 0);
	for (unsigned i = 0; i < 64; i++)
		assert_gets(0, DNS_UDP_MAX, (uint8_t)i);
	assert_gets_nothing_more();
	/* A client that takes trains whole sees that there still are some. */
	if (setsockopt(clients[0].fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) < 0)
		skip();
	assert_int_equal(add(0, 40, 'a'), 0);
	assert_int_equal(add(0, 40, 'b'), 0);
	assert_int_equal(dns_batch_flush(batch), 0);
	assert_int_equal(recv(clients[0].fd, data, sizeof(data), 0), 80);
}

static void each_socket_sends_its_own(void **state)
{
	uint8_t data[30] = { 0 };
	union addr addr, from;
	socklen_t len = sizeof(from);
	int other = open_socket(&addr);

	(void)state;
	assert_int_equal(add(0, 50, 'a'), 0);
	assert_int_equal(dns_batch_add(batch, other, &clients[0].addr, data, sizeof(data)), 0);
	assert_int_equal(dns_batch_count(batch), 1);            /* the first had to go */
	assert_int_equal(dns_batch_flush(batch), 0);
	assert_gets(0, 50, 'a');
	assert_int_equal(recvfrom(clients[0].fd, data, sizeof(data), 0, &from.sa, &len),
			 sizeof(data));
	assert_int_equal(from.v4.sin_port, addr.v4.sin_port);
	close(other);
}

/* Linux refuses trains without checksums. */
static void where_trains_are_refused_single_answers_go(void **state)
{
	int one = 1;

	(void)state;
	assert_int_equal(setsockopt(server, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 6; i++)
			assert_int_equal(add(i % 2, 50, (uint8_t)i), 0);
		assert_int_equal(dns_batch_flush(batch), 0);
		for (unsigned i = 0; i < 6; i++)
			assert_gets(i % 2, 50, (uint8_t)i);
	}
	assert_gets_nothing_more();
}

/* ICMP tells the socket of the client that went; the others must not pay. */
static void a_client_that_went_costs_nobody_an_answer(void **state)
{
	int one = 1;

	(void)state;
	assert_int_equal(setsockopt(server, IPPROTO_IP, IP_RECVERR, &one, sizeof(one)), 0);
	close(clients[1].fd);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 4; i++)
			for (unsigned client = 0; client < CLIENTS; client++)
				(void)add(client, 50, (uint8_t)i);
		(void)dns_batch_flush(batch);
		for (unsigned i = 0; i < 4; i++) {
			assert_gets(0, 50, (uint8_t)i);
			assert_gets(2, 50, (uint8_t)i);
		}
	}
	clients[1].fd = open_socket(&clients[1].addr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_leaves_before_it_is_flushed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(every_client_gets_its_answers_whole_and_in_order,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_batch_goes_by_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_train_that_is_full_is_followed_by_another, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(each_socket_sends_its_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(where_trains_are_refused_single_answers_go, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_client_that_went_costs_nobody_an_answer, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
