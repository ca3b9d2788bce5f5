/* test_limit.c - slots and the queue for them, on one loop step by step, then on several threads
 * that come, wait, leave and end at random: never more than there are slots, and none is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/loop.h"
#include "forward/limit.h"

struct visitor {
	struct parked parked;
	bool waits, unwanted, inside;
	unsigned served;                /* the how manieth of all, from 1 */
};

static struct limit limit;
static struct loop loop;
static int wake_fd;
static unsigned serving;

static void on_called(struct post *post)
{
	struct visitor *visitor = container_of(post, struct visitor, parked.called);

	visitor->served = ++serving;
	visitor->inside = true;
}

static void visitors_init(struct visitor *visitors, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		visitors[i] = (struct visitor){
			.parked = { .loop = &loop, .called = { .run = on_called } },
		};
}

/* All that were called are told. */
static void turn(void)
{
	loop.wake_us = loop.now_us;             /* do not wait for anything */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(loop_step(&loop), 0);
}

static int begin(void **state)
{
	(void)state;
	wake_fd = eventfd(0, EFD_CLOEXEC);
	serving = 0;
	limit_init(&limit, 1);
	return loop_init(&loop, 8, 8, wake_fd);
}

static int end(void **state)
{
	(void)state;
	limit_finish(&limit);
	loop_finish(&loop);
	close(wake_fd);
	return 0;
}

static void without_a_maximum_nothing_is_counted(void **state)
{
	(void)state;
	limit.max = 0;
	for (unsigned i = 0; i < 10; i++)
		assert_true(limit_take(&limit));
	assert_int_equal(atomic_load(&limit.open), 0);
	for (unsigned i = 0; i < 20; i++)
		limit_give(&limit);
	assert_int_equal(atomic_load(&limit.open), 0);
}

static void a_slot_given_back_can_be_taken_again(void **state)
{
	(void)state;
	limit.max = 2;
	assert_true(limit_take(&limit));
	assert_true(limit_take(&limit));
	assert_false(limit_take(&limit));
	limit_give(&limit);
	assert_true(limit_take(&limit));
	assert_false(limit_take(&limit));
	assert_int_equal(atomic_load(&limit.open), 2);
	limit_give(&limit);
	limit_give(&limit);
	assert_int_equal(atomic_load(&limit.open), 0);
}

static void those_who_wait_are_served_in_the_order_they_came(void **state)
{
	struct visitor visitors[5];

	(void)state;
	visitors_init(visitors, 5);
	assert_true(limit_take(&limit));
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(limit_wait(&limit, &visitors[i].parked), LIMIT_WAITS);
	assert_int_equal(atomic_load(&limit.waiting), 5);
	for (unsigned i = 0; i < 5; i++) {
		turn();
		assert_int_equal(serving, i);
		limit_give(&limit);
		turn();
		assert_int_equal(visitors[i].served, i + 1);
		assert_int_equal(atomic_load(&limit.open), 1);
	}
	assert_int_equal(atomic_load(&limit.waiting), 0);
	limit_give(&limit);
	assert_int_equal(atomic_load(&limit.open), 0);
}

static void nobody_overtakes_those_who_wait(void **state)
{
	struct visitor visitors[2];

	(void)state;
	visitors_init(visitors, 2);
	limit.max = 2;
	assert_true(limit_take(&limit));
	assert_true(limit_take(&limit));
	assert_int_equal(limit_wait(&limit, &visitors[0].parked), LIMIT_WAITS);
	limit_give(&limit);                     /* that slot is the waiting one's */
	assert_false(limit_take(&limit));
	assert_int_equal(limit_wait(&limit, &visitors[1].parked), LIMIT_WAITS);
	turn();
	assert_int_equal(visitors[0].served, 1);
	assert_int_equal(visitors[1].served, 0);
	assert_true(limit_leave(&limit, &visitors[1].parked));
	limit_give(&limit);
	limit_give(&limit);
}

static void who_leaves_is_not_called_wherever_it_stood(void **state)
{
	(void)state;
	for (unsigned gone = 0; gone < 8; gone++) {
		struct visitor visitors[3];
		unsigned left = 0;

		visitors_init(visitors, 3);
		serving = 0;
		assert_true(limit_take(&limit));
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(limit_wait(&limit, &visitors[i].parked), LIMIT_WAITS);
		for (unsigned i = 0; i < 3; i++)
			if (gone & 1U << i)
				left += limit_leave(&limit, &visitors[i].parked);
		assert_int_equal(atomic_load(&limit.waiting), 3 - left);
		for (unsigned i = 0; i < 4 - left; i++) {
			limit_give(&limit);
			turn();
		}
		for (unsigned i = 0, next = 1; i < 3; i++)
			assert_int_equal(visitors[i].served, gone & 1U << i ? 0 : next++);
		assert_int_equal(atomic_load(&limit.open), 0);
		assert_null(limit.first);
		assert_null(limit.last);
	}
}

static void who_leaves_too_late_hands_its_slot_on(void **state)
{
	struct visitor visitors[2];

	(void)state;
	visitors_init(visitors, 2);
	assert_true(limit_take(&limit));
	assert_int_equal(limit_wait(&limit, &visitors[0].parked), LIMIT_WAITS);
	assert_int_equal(limit_wait(&limit, &visitors[1].parked), LIMIT_WAITS);
	limit_give(&limit);                     /* the first is called, and does not know yet */
	assert_false(limit_leave(&limit, &visitors[0].parked));
	turn();
	assert_int_equal(visitors[0].served, 1);
	limit_give(&limit);
	turn();
	assert_int_equal(visitors[1].served, 2);
	assert_int_equal(atomic_load(&limit.open), 1);
	limit_give(&limit);
	assert_int_equal(atomic_load(&limit.open), 0);
}

static void a_slot_freed_on_the_way_to_the_queue_is_taken(void **state)
{
	struct visitor visitor;

	(void)state;
	visitors_init(&visitor, 1);
	assert_true(limit_take(&limit));
	assert_false(limit_take(&limit));
	limit_give(&limit);                     /* between limit_take() and limit_wait() */
	assert_int_equal(limit_wait(&limit, &visitor.parked), LIMIT_TAKEN);
	assert_int_equal(atomic_load(&limit.open), 1);
	assert_int_equal(atomic_load(&limit.waiting), 0);
	limit_give(&limit);
}

static void the_queue_is_bounded(void **state)
{
	static struct visitor visitors[LIMIT_PARKED_MAX + 1];

	(void)state;
	visitors_init(visitors, LIMIT_PARKED_MAX + 1);
	assert_true(limit_take(&limit));
	for (unsigned i = 0; i < LIMIT_PARKED_MAX; i++)
		assert_int_equal(limit_wait(&limit, &visitors[i].parked), LIMIT_WAITS);
	assert_int_equal(limit_wait(&limit, &visitors[LIMIT_PARKED_MAX].parked), LIMIT_FULL);
	assert_int_equal(atomic_load(&limit.waiting), LIMIT_PARKED_MAX);
	assert_true(limit_leave(&limit, &visitors[7].parked));
	assert_int_equal(limit_wait(&limit, &visitors[LIMIT_PARKED_MAX].parked), LIMIT_WAITS);
	for (unsigned i = 0; i <= LIMIT_PARKED_MAX; i++)
		(void)limit_leave(&limit, &visitors[i].parked);
	limit_give(&limit);
	assert_int_equal(atomic_load(&limit.open), 0);
}

/* Several threads. */

enum { THREADS = 3, VISITORS = 40, SERVED = 3000, SLOTS = 7 };

struct crowd {
	struct loop loop;
	pthread_t thread;
	int wake_fd;
	unsigned seed, served;
	struct visitor visitors[VISITORS];
};

static struct crowd crowds[THREADS];
static _Atomic uint32_t inside;
static _Atomic unsigned too_many;

static void enter(struct crowd *crowd, struct visitor *visitor)
{
	visitor->inside = true;
	crowd->served++;
	if (atomic_fetch_add(&inside, 1) >= SLOTS)
		atomic_fetch_add(&too_many, 1);
}

static void go_out(struct visitor *visitor)
{
	visitor->inside = false;
	atomic_fetch_sub(&inside, 1);
	limit_give(&limit);
}

static void on_crowd_called(struct post *post)
{
	struct visitor *visitor = container_of(post, struct visitor, parked.called);
	struct crowd *crowd = container_of(visitor->parked.loop, struct crowd, loop);

	visitor->waits = false;
	if (!visitor->unwanted)
		return enter(crowd, visitor);
	visitor->unwanted = false;
	limit_give(&limit);
}

static void come(struct crowd *crowd, struct visitor *visitor)
{
	if (limit_take(&limit))
		return enter(crowd, visitor);
	switch (limit_wait(&limit, &visitor->parked)) {
	case LIMIT_TAKEN:
		enter(crowd, visitor);
		break;
	case LIMIT_WAITS:
		visitor->waits = true;
		break;
	case LIMIT_FULL:
		atomic_fetch_add(&too_many, 1);
	}
}

/* One visitor does something, or not.  False: it is outside and wants nothing. */
static bool act(struct crowd *crowd, struct visitor *visitor, bool closing)
{
	unsigned chance = (unsigned)rand_r(&crowd->seed) % 16;

	if (visitor->inside) {
		if (chance < 5)
			go_out(visitor);
	} else if (!visitor->waits) {
		if (closing)
			return false;
		if (chance < 6)
			come(crowd, visitor);
	} else if (chance == 0 && !visitor->unwanted) {
		if (limit_leave(&limit, &visitor->parked))
			visitor->waits = false;
		else
			visitor->unwanted = true;
	}
	return true;
}

static void *crowd_main(void *arg)
{
	struct crowd *crowd = arg;
	bool busy = true;

	if (loop_init(&crowd->loop, 8, 8, crowd->wake_fd) < 0)
		abort();
	for (unsigned i = 0; i < VISITORS; i++)
		crowd->visitors[i] = (struct visitor){
			.parked = { .loop = &crowd->loop, .called = { .run = on_crowd_called } },
		};
	while (busy) {
		busy = false;
		for (unsigned i = 0; i < VISITORS; i++)
			busy = act(crowd, &crowd->visitors[i], crowd->served >= SERVED) || busy;
		crowd->loop.wake_us = crowd->loop.now_us;
		if (loop_step(&crowd->loop) < 0)
			abort();
	}
	loop_finish(&crowd->loop);
	return NULL;
}

static void no_slot_is_lost_or_used_twice_by_several_threads(void **state)
{
	(void)state;
	limit.max = SLOTS;
	for (unsigned i = 0; i < THREADS; i++) {
		crowds[i].seed = i + 1;
		crowds[i].wake_fd = eventfd(0, EFD_CLOEXEC);
		assert_int_equal(pthread_create(&crowds[i].thread, NULL, crowd_main, &crowds[i]),
				 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(crowds[i].thread, NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		close(crowds[i].wake_fd);
		assert_true(crowds[i].served >= SERVED);
	}
	assert_int_equal(atomic_load(&too_many), 0);
	assert_int_equal(atomic_load(&inside), 0);
	assert_int_equal(atomic_load(&limit.open), 0);
	assert_int_equal(atomic_load(&limit.waiting), 0);
	assert_null(limit.first);
}

#define limit_test(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		limit_test(without_a_maximum_nothing_is_counted),
		limit_test(a_slot_given_back_can_be_taken_again),
		limit_test(those_who_wait_are_served_in_the_order_they_came),
		limit_test(nobody_overtakes_those_who_wait),
		limit_test(who_leaves_is_not_called_wherever_it_stood),
		limit_test(who_leaves_too_late_hands_its_slot_on),
		limit_test(a_slot_freed_on_the_way_to_the_queue_is_taken),
		limit_test(the_queue_is_bounded),
		limit_test(no_slot_is_lost_or_used_twice_by_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
