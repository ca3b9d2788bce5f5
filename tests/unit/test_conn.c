/* test_conn.c - whole conversations through the filter's state machine, closed at every
 * completion: each time everything must be given back.
 *
 * Runs in a network namespace of its own, because what may be dialled is never on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/features.h"
#include "core/policy.h"
#include "forward/conn.h"
#include "forward/filter.h"

#define ORIGIN "203.0.113.7"

enum { OTHER_PORT = 9000 };

static struct worker worker;
static struct filter_settings settings;
static struct filter_listener one_listener;
static struct worker_job job;
static _Atomic uint32_t open_count[CONN_KINDS];
static int origin_fds[2], event_fd;     /* on port 80, and another */
static union addr origin, listener;

static bool to_origin(int fd, sa_family_t family, union addr *dst)
{
	(void)fd;
	(void)family;
	*dst = origin;
	return true;
}

/* So that who does not read is noticed soon. */
static void limit_sockets(const char *path)
{
	static const char limits[] = "4096 65536 131072";
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	(void)!write(fd, limits, sizeof(limits) - 1);
	close(fd);
}

/* lo gets the origin's address as a second one. */
static bool own_world(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	struct sockaddr_in *addr = (struct sockaddr_in *)&request.ifr_addr;
	int fd;
	bool ok;

	if (unshare(CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
	ok = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "lo:1");
	addr->sin_family = AF_INET;
	inet_pton(AF_INET, ORIGIN, &addr->sin_addr);
	ok = ok && ioctl(fd, SIOCSIFADDR, &request) == 0;
	close(fd);
	limit_sockets("/proc/sys/net/ipv4/tcp_rmem");
	limit_sockets("/proc/sys/net/ipv4/tcp_wmem");
	return ok;
}

static int listen_on(const char *ip, uint16_t port, union addr *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*addr);

	assert_true(addr_parse(str_of(ip), addr));
	addr_set_port(addr, port);
	assert_int_equal(bind(fd, &addr->sa, addr_len(addr)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, &addr->sa, &len), 0);
	return fd;
}

/* The origin echoes until the client has finished. */
static void *echo(void *arg)
{
	const int *listening = arg;
	int fd;

	while ((fd = accept(*listening, NULL, NULL)) >= 0) {
		char text[4096];
		ssize_t n;

		while ((n = recv(fd, text, sizeof(text), 0)) > 0)
			if (send(fd, text, (size_t)n, MSG_NOSIGNAL) < n)
				break;
		close(fd);
	}
	return NULL;
}

struct client {
	const char *text;
	size_t body;                    /* bytes behind the text, body_byte() each */
	bool stalls;                    /* it reads nothing until it cannot send any more */
	size_t got, wrong;
	int end;                        /* 0: FIN, errno otherwise */
};

enum { STALL_MS = 50 };

static char body_byte(size_t at)
{
	return (char)(at % 251);
}

/* The bytes it should get back are those it sent. */
static void check(struct client *client, const char *text, size_t len)
{
	size_t head = strlen(client->text);

	for (size_t i = 0; i < len; i++, client->got++)
		client->wrong += text[i] != (client->got < head ? client->text[client->got] :
								  body_byte(client->got - head));
}

/* Reads in between unless it stalls; how many bytes of the body were sent. */
static size_t send_body(struct client *client, int fd, char *text, size_t size)
{
	bool reads = !client->stalls;
	size_t sent = 0;

	while (sent < client->body) {
		struct pollfd ready = { .fd = fd, .events = POLLOUT };
		char part[5000];
		ssize_t n;

		ready.events |= reads ? POLLIN : 0;
		if (poll(&ready, 1, reads ? -1 : STALL_MS) == 0)
			reads = true;
		if (reads && (n = recv(fd, text, size, MSG_DONTWAIT)) > 0)
			check(client, text, (size_t)n);
		for (size_t i = 0; i < sizeof(part); i++)
			part[i] = body_byte(sent + i);
		n = client->body - sent < sizeof(part) ? (ssize_t)(client->body - sent) : 5000;
		n = send(fd, part, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			break;
		sent += n > 0 ? (size_t)n : 0;
	}
	return sent;
}

static void *converse(void *arg)
{
	struct client *client = arg;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[65536];
	ssize_t n = 0;

	if (connect(fd, &listener.sa, addr_len(&listener)) == 0) {
		(void)!send(fd, client->text, strlen(client->text), MSG_NOSIGNAL);
		(void)send_body(client, fd, text, sizeof(text));
		(void)shutdown(fd, SHUT_WR);
		while ((n = recv(fd, text, sizeof(text), 0)) > 0)
			check(client, text, (size_t)n);
	}
	client->end = n < 0 ? errno : 0;
	close(fd);
	return NULL;
}

static int begin(void **state)
{
	const char *error;
	struct policy *policy;
	struct policy_error policy_error;

	(void)state;
	memset(&worker, 0, sizeof(worker));
	settings = (struct filter_settings){
		.mark = 1, .conns_max = 100,
		.destination_check = DESTINATION_OFF, .private_answers = true,
		.hello_timeout_ms = 5000, .connect_timeout_ms = 5000, .idle_timeout_ms = 60000,
		.open = open_count,
		.original_destination = to_origin,
	};
	job = filter_job;
	job.context = &settings;
	worker.job = &job;
	worker.wake_fd = eventfd(0, EFD_CLOEXEC);
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(event_ring_init(&worker.events, 1024, event_fd), 0);
	assert_int_equal(resolver_configure("203.0.113.53:53", NULL, &error), 0);
	assert_int_equal(policy_from_lists(NULL, "allowed.test", &policy, &policy_error), 0);
	policy_set_current(policy);
	/* A free port, found by binding to port 0 and letting go. */
	close(listen_on("127.0.0.1", 0, &listener));
	one_listener = (struct filter_listener){ .addr = listener, .kind = CONN_HTTP };
	settings.listeners = &one_listener;
	settings.listener_count = 1;
	assert_int_equal(loop_init(&worker.loop, 64, 16, worker.wake_fd), 0);
	assert_int_equal(filter_job.begin(&worker), 0);
	return 0;
}

/* Small buffers, so that the queue has many; with all features, without some, without any. */
static int begin_small(void **state)
{
	features.recv_len = 1000;
	return begin(state);
}

static int begin_small_without_bundles(void **state)
{
	features.recv_bundle = false;
	return begin_small(state);
}

static int begin_small_without_features(void **state)
{
	assert_int_equal(features_parse("none,recv=1000"), 0);
	return begin(state);
}

static int end(void **state)
{
	(void)state;
	assert_int_equal(features_parse("auto"), 0);
	filter_job.end(&worker);
	while (!filter_job.idle(&worker))
		assert_int_equal(loop_step(&worker.loop), 0);
	filter_job.finish(&worker);
	assert_int_equal(worker.loop.bufs.lent, 0);
	loop_finish(&worker.loop);
	event_ring_finish(worker.events);
	close(worker.wake_fd);
	close(event_fd);
	return 0;
}

static unsigned lent_most;              /* buffers at once, in the last conversation */

/* One conversation; all connections are closed after `close_at` completions (0: never).  Returns
 * how many completions it took. */
static unsigned conversation(struct client *client, unsigned close_at)
{
	struct filter *filter = worker.work;
	uint64_t before = atomic_load(&worker.metrics.conns_closed), first;
	pthread_t thread;
	unsigned steps = 0;

	lent_most = 0;
	worker.loop.batch_max = 1;
	first = worker.loop.completions;
	assert_int_equal(pthread_create(&thread, NULL, converse, client), 0);
	while (atomic_load(&worker.metrics.conns_closed) == before) {
		assert_int_equal(loop_step(&worker.loop), 0);
		if (worker.loop.bufs.lent > lent_most)
			lent_most = worker.loop.bufs.lent;
		if (worker.loop.completions - first >= close_at && close_at > 0)
			conns_close_all(filter, CLOSE_SHUTDOWN);
		steps = (unsigned)(worker.loop.completions - first);
	}
	pthread_join(thread, NULL);
	assert_int_equal(filter->conns.used, 0);
	assert_int_equal(filter->vets.used, 0);
	assert_int_equal(filter->vet_pages.used, 0);
	assert_int_equal(worker.loop.bufs.lent, 0);
	assert_int_equal(atomic_load(&open_count[CONN_HTTP]), 0);
	return steps;
}

static const char allowed[] = "POST / HTTP/1.1\r\nHost: allowed.test\r\n"
			      "Content-Length: 40000\r\n\r\n";
static const char large[] = "POST / HTTP/1.1\r\nHost: allowed.test\r\n"
			    "Content-Length: 3000000\r\n\r\n";
static const char blocked[] = "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n";

static void an_allowed_conversation_arrives_whole_in_both_directions(void **state)
{
	struct client client = { .text = allowed, .body = 40000 };

	(void)state;
	conversation(&client, 0);
	assert_int_equal(client.end, 0);
	assert_int_equal(client.got, strlen(allowed) + 40000);
	assert_int_equal(client.wrong, 0);
	assert_int_equal(atomic_load(&worker.metrics.conns_allowed), 1);
}

static void a_slow_reader_gets_all_and_costs_few_buffers(void **state)
{
	struct client client = { .text = large, .body = 3000000, .stalls = true };

	(void)state;
	conversation(&client, 0);
	assert_int_equal(client.end, 0);
	assert_int_equal(client.got, strlen(large) + 3000000);
	assert_int_equal(client.wrong, 0);
	/* Small pieces can fill a queue before all that its receive may take has come. */
	assert_in_range(lent_most, QUEUE_MAX, SIDES * (2 * QUEUE_MAX - 1));
}

static void a_blocked_conversation_is_reset_and_says_nothing(void **state)
{
	struct client client = { .text = blocked };

	(void)state;
	conversation(&client, 0);
	assert_int_equal(client.end, ECONNRESET);
	assert_int_equal(client.got, 0);
	assert_int_equal(atomic_load(&worker.metrics.conns_blocked), 1);
}

static void a_blocked_conversation_can_be_explained(void **state)
{
	struct client client = { .text = blocked };

	(void)state;
	settings.block_explain = true;
	conversation(&client, 0);
	assert_int_equal(client.end, 0);
	assert_true(client.got > 20);
}

/* As connection tracking says of one that came straight, as the other half of somebody's flow. */
static void a_destination_on_a_port_that_is_not_redirected_here_is_refused(void **state)
{
	struct client client = { .text = allowed, .body = 40000 };

	(void)state;
	addr_set_port(&origin, OTHER_PORT);
	conversation(&client, 0);
	addr_set_port(&origin, 80);
	assert_int_equal(client.got, 0);
	assert_int_equal(atomic_load(&worker.metrics.conns_allowed), 0);
}

static void closing_at_any_completion_gives_everything_back(void **state)
{
	const struct client kinds[] = { { .text = allowed, .body = 40000 }, { .text = blocked },
					{ .text = "GET / HTTP/1.1\r\nHo" } };

	(void)state;
	for (unsigned explain = 0; explain < 2; explain++) {
		settings.block_explain = explain;
		for (unsigned kind = 0; kind < ARRAY_LEN(kinds); kind++) {
			unsigned longest = 1;

			for (unsigned close_at = 1; close_at <= longest + 2; close_at++) {
				struct client client = kinds[kind];
				unsigned steps = conversation(&client, close_at);

				if (steps > longest && longest < 200)
					longest = steps;
			}
			assert_true(longest > 2);
		}
	}
}

static int make_world(void **state)
{
	pthread_t thread;

	(void)state;
	if (!own_world()) {
		print_message("needs root: 0 of its tests run\n");
		exit(77);
	}
	for (size_t i = 0; i < ARRAY_LEN(origin_fds); i++) {
		origin_fds[i] = listen_on(ORIGIN, i == 0 ? 80 : OTHER_PORT, &origin);
		assert_int_equal(pthread_create(&thread, NULL, echo, &origin_fds[i]), 0);
		pthread_detach(thread);
	}
	addr_set_port(&origin, 80);
	return 0;
}

#define conn_test(test) cmocka_unit_test_setup_teardown(test, begin, end)
#define small_tests(test)                                                                          \
	{ #test " begin_small", test, begin_small, end, NULL },                                    \
	{ #test " without bundles", test, begin_small_without_bundles, end, NULL },                \
	{ #test " without features", test, begin_small_without_features, end, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		conn_test(an_allowed_conversation_arrives_whole_in_both_directions),
		conn_test(a_blocked_conversation_is_reset_and_says_nothing),
		conn_test(a_blocked_conversation_can_be_explained),
		conn_test(a_destination_on_a_port_that_is_not_redirected_here_is_refused),
		conn_test(closing_at_any_completion_gives_everything_back),
		conn_test(a_slow_reader_gets_all_and_costs_few_buffers),
		small_tests(an_allowed_conversation_arrives_whole_in_both_directions),
		small_tests(a_slow_reader_gets_all_and_costs_few_buffers),
		small_tests(closing_at_any_completion_gives_everything_back),
	};

	return cmocka_run_group_tests(tests, make_world, NULL);
}
