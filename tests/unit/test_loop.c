/* test_loop.c - requests, owners, buffers and messages on a real ring, over socket pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "core/quiet.h"
#include "tests/unit/loop_thing.h"

static void on_recv(struct op *op, int res, uint32_t flags)
{
	struct thing *thing = container_of(op, struct thing, rx);

	thing->last_res = res;
	if (res > 0) {
		thing->received += (unsigned)res;
		thing->chunks++;
	}
	for (uint16_t id = buf_of(flags); id != BUF_NONE; id = loop.bufs.links[id].next)
		thing->bufs++;
	bufs_return_chain(&loop.bufs, buf_of(flags));
	if (res == 0)
		thing->owner.closing = true;
}

static void a_multishot_receive_lends_buffers_until_the_end(void **state)
{
	struct thing thing = thing_of();
	char text[1000] = { 0 };

	(void)state;
	thing_ready(&thing);
	op_recv_multi(&thing.rx, thing.fds[0], 8, on_recv);
	for (unsigned i = 0; i < 50; i++)       /* more than there are buffers */
		assert_int_equal(write(thing.fds[1], text, sizeof(text)), sizeof(text));
	while (thing.received < 50 * sizeof(text)) {
		assert_int_equal(loop_step(&loop), 0);
		if (op_idle(&thing.rx))         /* out of buffers: ask again */
			op_recv_multi(&thing.rx, thing.fds[0], 8, on_recv);
	}
	shutdown(thing.fds[1], SHUT_WR);
	step_until(&thing.freed, 1);
	assert_int_equal(loop.bufs.lent, 0);
	thing_end(&thing);
}

static void a_wait_that_gathers_is_over_with_its_time(void **state)
{
	struct thing thing = thing_of();

	(void)state;
	thing_ready(&thing);
	op_recv_multi(&thing.rx, thing.fds[0], 8, on_recv);
	assert_int_equal(write(thing.fds[1], "x", 1), 1);
	for (unsigned steps = 0; thing.received == 0; steps++) {
		assert_true(steps < 1000);
		loop.gather_us = 50;
		assert_int_equal(loop_step(&loop), 0);
		assert_int_equal(loop.gather_us, 0);
	}
	shutdown(thing.fds[1], SHUT_WR);
	step_until(&thing.freed, 1);
	thing_end(&thing);
}

static void a_receive_takes_no_more_buffers_than_it_was_asked_for(void **state)
{
	struct thing thing = thing_of();
	static char text[BUF_LEN];

	(void)state;
	thing_ready(&thing);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(write(thing.fds[1], text, BUF_LEN), BUF_LEN);
	op_recv_bundle(&thing.rx, thing.fds[0], 2, on_recv);
	owner_hold(&thing.owner);
	while (!op_idle(&thing.rx)) {
		assert_int_equal(loop_step(&loop), 0);
		assert_in_range(thing.bufs, 1, 2);
	}
	assert_in_range(thing.received, 1, 2 * BUF_LEN);
	thing.owner.closing = true;
	owner_release(&thing.owner);
	thing_end(&thing);
}

static void a_closing_owner_lives_until_its_last_completion(void **state)
{
	struct thing thing = thing_of();

	(void)state;
	thing_ready(&thing);
	op_recv_multi(&thing.rx, thing.fds[0], 8, on_recv);
	assert_int_equal(write(thing.fds[1], "x", 1), 1);
	step_until(&thing.chunks, 1);
	op_cancel_fd(&thing.cancel, thing.fds[0]);
	thing.owner.closing = true;
	assert_int_equal(thing.freed, 0);
	step_until(&thing.freed, 1);
	assert_int_equal(thing.owner.in_flight, 0);
	assert_int_equal(loop.bufs.lent, 0);
	thing_end(&thing);
}

static void what_a_closing_owner_no_longer_wants_is_given_back(void **state)
{
	struct thing thing = thing_of();

	(void)state;
	thing_ready(&thing);
	op_recv_multi(&thing.rx, thing.fds[0], 8, on_recv);
	assert_int_equal(write(thing.fds[1], "x", 1), 1);
	op_cancel_fd(&thing.cancel, thing.fds[0]);
	thing.owner.closing = true;             /* the byte comes after this */
	step_until(&thing.freed, 1);
	assert_int_equal(thing.received, 0);
	assert_int_equal(loop.bufs.lent, 0);
	thing_end(&thing);
}

static void an_owner_without_a_request_can_end_by_a_nop(void **state)
{
	struct thing thing = thing_of();

	(void)state;
	thing_ready(&thing);
	op_nop(&thing.cancel);
	thing.owner.closing = true;
	step_until(&thing.freed, 1);
	thing_end(&thing);
}

static void sending_to_a_closed_socket_is_an_error_and_no_signal(void **state)
{
	struct thing thing = thing_of();

	(void)state;
	thing_ready(&thing);
	close(thing.fds[1]);
	owner_hold(&thing.owner);
	op_send(&thing.tx, thing.fds[0], "x", 1, on_sent);
	while (!op_idle(&thing.tx))
		assert_int_equal(loop_step(&loop), 0);
	assert_int_equal(thing.last_res, -EPIPE);
	thing.owner.closing = true;
	owner_release(&thing.owner);
	assert_int_equal(thing.freed, 1);
	close(thing.fds[0]);
}

struct note {
	struct post post;
	unsigned number;
};

static unsigned notes_run, notes_in_order;

static void run_note(struct post *post)
{
	struct note *note = container_of(post, struct note, post);

	notes_in_order += note->number == notes_run;
	notes_run++;
}

enum { NOTES = 1000 };

static void *post_notes(void *arg)
{
	struct note *notes = arg;

	for (unsigned i = 0; i < NOTES; i++) {
		notes[i] = (struct note){ .post.run = run_note, .number = i };
		loop_post(&loop, &notes[i].post);
	}
	return NULL;
}

static void posts_of_another_thread_run_once_each_in_order(void **state)
{
	static struct note notes[NOTES];
	pthread_t thread;

	(void)state;
	notes_run = notes_in_order = 0;
	assert_int_equal(pthread_create(&thread, NULL, post_notes, notes), 0);
	while (notes_run < NOTES)
		assert_int_equal(loop_step(&loop), 0);
	pthread_join(thread, NULL);
	assert_int_equal(notes_in_order, NOTES);
}

static void buffers_grow_when_all_are_lent_and_stop_at_the_limit(void **state)
{
	unsigned grown = 0;

	(void)state;
	while (bufs_grow(&loop.bufs))
		grown++;
	assert_int_equal(grown, BUFS_GROWTH - 1);
	assert_int_equal(loop.bufs.filled, 8 * BUFS_GROWTH);
	assert_int_equal(loop.bufs.lent, 0);
}

static struct loop *timed_loop;

static void stop_timed(struct timer *timer)
{
	(void)timer;
	timed_loop->stop = true;
}

static void a_timer_wakes_a_loop_with_nothing_else_to_do(void **state)
{
	struct timer timer = { .fire = stop_timed };

	(void)state;
	timed_loop = &loop;
	timer_arm(&loop.timers, &timer, loop.now_ms + 30);
	assert_int_equal(loop_run(&loop), 0);
	assert_false(timer_armed(&timer));
	loop.stop = false;
}

static void a_loop_that_cannot_be_a_reader_does_not_start(void **state)
{
	struct loop another;
	int ids[QUIET_READERS_MAX], count = 0;

	(void)state;
	while ((ids[count] = quiet_register()) >= 0)
		count++;
	assert_int_equal(loop_init(&another, 16, 8, wake_fd), -ENOSPC);
	while (count > 0)
		quiet_unregister(ids[--count]);
	assert_int_equal(loop_init(&another, 16, 8, wake_fd), 0);
	loop_finish(&another);
}

#define loop_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		loop_test(a_multishot_receive_lends_buffers_until_the_end),
		loop_test(a_wait_that_gathers_is_over_with_its_time),
		loop_test(a_receive_takes_no_more_buffers_than_it_was_asked_for),
		loop_test(a_closing_owner_lives_until_its_last_completion),
		loop_test(what_a_closing_owner_no_longer_wants_is_given_back),
		loop_test(an_owner_without_a_request_can_end_by_a_nop),
		loop_test(sending_to_a_closed_socket_is_an_error_and_no_signal),
		loop_test(posts_of_another_thread_run_once_each_in_order),
		loop_test(buffers_grow_when_all_are_lent_and_stop_at_the_limit),
		loop_test(a_timer_wakes_a_loop_with_nothing_else_to_do),
		loop_test(a_loop_that_cannot_be_a_reader_does_not_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
