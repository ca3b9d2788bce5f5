/* test_event_ring.c - events from a worker to the control thread: none lost in silence, none torn,
 * and nobody sleeps beside a full ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/event.h"

static struct event_ring *ring;
static int wake_fd;

static int begin(void **state)
{
	(void)state;
	wake_fd = eventfd(0, EFD_NONBLOCK);
	return event_ring_init(&ring, 8, wake_fd);
}

static int end(void **state)
{
	(void)state;
	event_ring_finish(ring);
	close(wake_fd);
	return 0;
}

static void emit(uint64_t conn)
{
	struct event event = { .kind = EVENT_HTTPS_ALLOWED, .conn = conn, .time_ns = 1 };

	event.name_len = (uint16_t)snprintf(event.name, sizeof(event.name), "host%u.test",
					    (unsigned)conn);
	event_emit(ring, &event);
}

/* Since the last call. */
static bool was_woken(void)
{
	uint64_t count;

	return read(wake_fd, &count, sizeof(count)) == sizeof(count);
}

static void events_come_out_as_they_went_in(void **state)
{
	struct event event = { .kind = EVENT_HTTP_CLOSED }, taken;

	(void)state;
	event.reason = CLOSE_LIFETIME;
	event.time_ns = 5;
	event.bytes_down = UINT64_MAX;
	event.count = 9;
	snprintf(event.rule, sizeof(event.rule), "*.example.test");
	snprintf(event.detail, sizeof(event.detail), "more");
	memset(event.name, 'n', HOSTNAME_MAX);
	event.name_len = HOSTNAME_MAX;
	event_emit(ring, &event);
	assert_true(event_take(ring, &taken));
	assert_memory_equal(&taken, &event, offsetof(struct event, name) + HOSTNAME_MAX + 1);
	assert_false(event_take(ring, &taken));
}

static void a_short_name_ends_where_it_should_in_a_used_slot(void **state)
{
	struct event taken;

	(void)state;
	for (uint64_t conn = 1000; conn < 1010; conn++) {
		emit(conn);
		assert_true(event_take(ring, &taken));
	}
	for (uint64_t conn = 0; conn < 10; conn++) {
		char name[32];

		emit(conn);
		assert_true(event_take(ring, &taken));
		snprintf(name, sizeof(name), "host%u.test", (unsigned)conn);
		assert_string_equal(taken.name, name);
	}
}

static void an_event_without_a_time_gets_one(void **state)
{
	struct event event = { .kind = EVENT_HTTP_CLOSED }, taken;

	(void)state;
	event_emit(ring, &event);
	assert_true(event_take(ring, &taken));
	assert_true(taken.time_ns > UINT64_C(1700000000000000000));
}

static void a_full_ring_drops_the_new_event_and_counts_it(void **state)
{
	struct event taken;

	(void)state;
	for (uint64_t conn = 0; conn < 11; conn++)
		emit(conn);
	assert_int_equal(event_dropped(ring), 3);
	for (uint64_t conn = 0; conn < 8; conn++) {
		assert_true(event_take(ring, &taken));
		assert_int_equal(taken.conn, conn);
	}
	assert_false(event_take(ring, &taken));
	emit(11);
	assert_true(event_take(ring, &taken));
	assert_int_equal(taken.conn, 11);
	assert_int_equal(event_dropped(ring), 3);
}

static void only_a_sleeping_consumer_is_woken_and_only_once(void **state)
{
	struct event taken;

	(void)state;
	emit(1);
	assert_false(was_woken());              /* nobody has found it empty yet */
	assert_true(event_take(ring, &taken));
	emit(2);
	assert_false(was_woken());
	assert_true(event_take(ring, &taken));
	assert_false(event_take(ring, &taken)); /* now it sleeps */
	emit(3);
	assert_true(was_woken());
	emit(4);
	assert_false(was_woken());
	assert_true(event_take(ring, &taken));
	assert_true(event_take(ring, &taken));
	assert_false(event_take(ring, &taken));
	emit(5);
	assert_true(was_woken());
}

enum { MANY = 50000 };

/* Emit MANY events, now and then with a pause in which the consumer may fall asleep, then a last
 * one until there is room for it. */
static void *produce(void *emitted_at)
{
	uint64_t *emitted = emitted_at;

	for (uint64_t conn = 0; conn < MANY; conn++) {
		emit(conn);
		if (conn % 7 == 0)
			sched_yield();
	}
	*emitted = MANY;
	for (uint64_t dropped = event_dropped(ring) - 1; dropped != event_dropped(ring); ) {
		dropped = event_dropped(ring);
		emit(MANY);
		++*emitted;
	}
	return NULL;
}

static void two_threads_lose_nothing_and_never_sleep_beside_an_event(void **state)
{
	struct pollfd wait = { .fd = wake_fd, .events = POLLIN };
	uint64_t taken = 0, next = 0, emitted;
	struct event event;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, produce, &emitted), 0);
	while (next <= MANY) {
		char name[32];

		if (!event_take(ring, &event)) {
			assert_int_equal(poll(&wait, 1, 60000), 1);     /* a lost wake-up hangs */
			assert_true(was_woken());
			continue;
		}
		snprintf(name, sizeof(name), "host%u.test", (unsigned)event.conn);
		assert_string_equal(event.name, name);
		assert_true(event.conn >= next);
		next = event.conn + 1;
		taken++;
	}
	pthread_join(thread, NULL);
	assert_int_equal(taken + event_dropped(ring), emitted);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		test(events_come_out_as_they_went_in),
		test(a_short_name_ends_where_it_should_in_a_used_slot),
		test(an_event_without_a_time_gets_one),
		test(a_full_ring_drops_the_new_event_and_counts_it),
		test(only_a_sleeping_consumer_is_woken_and_only_once),
		test(two_threads_lose_nothing_and_never_sleep_beside_an_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
