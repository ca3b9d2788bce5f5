/* test_timer.c - many deadlines on one wheel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/op.h"
#include "core/timer.h"

struct probe {
	struct timer timer;
	struct timers *timers;
	unsigned fired;
	struct probe *cancels, *arms;
	uint64_t arm_at_ms;
};

static void fire(struct timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, timer);

	probe->fired++;
	if (probe->cancels)
		timer_cancel(probe->timers, &probe->cancels->timer);
	if (probe->arms)
		timer_arm(probe->timers, &probe->arms->timer, probe->arm_at_ms);
}

static struct probe probe_of(struct timers *timers)
{
	return (struct probe){ .timer = { .fire = fire }, .timers = timers };
}

static void a_timer_fires_once_never_early_and_within_two_slots(void **state)
{
	static struct timers timers;

	(void)state;
	for (uint64_t start = 1000; start < 1000 + TIMER_SLOT_MS; start++) {
		for (uint64_t after = 0; after < 100; after += 7) {
			struct probe probe = probe_of(&timers);
			uint64_t now = start, at = start + after;

			timers_init(&timers, start);
			timer_arm(&timers, &probe.timer, at);
			while (!probe.fired && now < at + 1000)
				timers_run(&timers, ++now);
			assert_true(now >= at);
			assert_true(now <= at + 2 * TIMER_SLOT_MS);
			timers_run(&timers, now + 100000);
			assert_int_equal(probe.fired, 1);
			assert_int_equal(timers.armed, 0);
		}
	}
}

static void a_timer_longer_than_the_wheel_waits_its_turns(void **state)
{
	static struct timers timers;
	struct probe probe = probe_of(&timers);
	uint64_t at = 5 + 3ULL * TIMER_SLOTS * TIMER_SLOT_MS;

	(void)state;
	timers_init(&timers, 5);
	timer_arm(&timers, &probe.timer, at);
	for (uint64_t now = 5; now < at; now += 1000) {
		timers_run(&timers, now);
		assert_int_equal(probe.fired, 0);
	}
	timers_run(&timers, at + 2 * TIMER_SLOT_MS);
	assert_int_equal(probe.fired, 1);
}

static void a_cancelled_timer_does_not_fire_and_a_moved_one_fires_later(void **state)
{
	static struct timers timers;
	struct probe gone = probe_of(&timers), moved = probe_of(&timers);

	(void)state;
	timers_init(&timers, 0);
	timer_arm(&timers, &gone.timer, 50);
	timer_arm(&timers, &moved.timer, 50);
	timer_cancel(&timers, &gone.timer);
	timer_cancel(&timers, &gone.timer);
	timer_arm(&timers, &moved.timer, 500);
	timers_run(&timers, 200);
	assert_int_equal(gone.fired + moved.fired, 0);
	timers_run(&timers, 600);
	assert_int_equal(moved.fired, 1);
	assert_int_equal(gone.fired, 0);
}

static void firing_may_cancel_or_arm_any_other_timer(void **state)
{
	static struct timers timers;
	struct probe a = probe_of(&timers), b = probe_of(&timers), c = probe_of(&timers);

	(void)state;
	timers_init(&timers, 0);
	/* Same slot: whichever of a and b comes first cancels the other. */
	a.cancels = &b;
	b.cancels = &a;
	a.arms = b.arms = &c;
	a.arm_at_ms = b.arm_at_ms = 10;         /* already over: fires in the next turn */
	timer_arm(&timers, &a.timer, 20);
	timer_arm(&timers, &b.timer, 21);
	timers_run(&timers, 64);
	assert_int_equal(a.fired + b.fired, 1);
	assert_int_equal(c.fired, 0);
	timers_run(&timers, 200);
	assert_int_equal(c.fired, 1);
	assert_int_equal(timers.armed, 0);
}

static void the_wait_ends_no_later_than_the_first_timer_is_due(void **state)
{
	static struct timers timers;

	(void)state;
	timers_init(&timers, 12345);
	assert_int_equal(timers_wait_ms(&timers, 12345), -1);
	for (uint64_t after = 0; after < 2ULL * TIMER_SLOTS * TIMER_SLOT_MS; after += 997) {
		struct probe probe = probe_of(&timers);
		uint64_t now = 12345;
		unsigned turns = 0;

		timers_init(&timers, now);
		timer_arm(&timers, &probe.timer, now + after);
		while (!probe.fired && turns++ < 10) {
			int64_t wait = timers_wait_ms(&timers, now);

			assert_true(wait >= 0 && wait <= TIMER_SLOTS * TIMER_SLOT_MS);
			now += (uint64_t)wait;
			timers_run(&timers, now);
		}
		assert_int_equal(probe.fired, 1);
		assert_true(now <= 12345 + after + 2 * TIMER_SLOT_MS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_fires_once_never_early_and_within_two_slots),
		cmocka_unit_test(a_timer_longer_than_the_wheel_waits_its_turns),
		cmocka_unit_test(a_cancelled_timer_does_not_fire_and_a_moved_one_fires_later),
		cmocka_unit_test(firing_may_cancel_or_arm_any_other_timer),
		cmocka_unit_test(the_wait_ends_no_later_than_the_first_timer_is_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
