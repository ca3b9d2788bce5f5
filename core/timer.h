/* timer.h - many deadlines on one kernel timeout: a hashed wheel of 16 ms slots.
 * A deadline is met within two slots, never early. */
#ifndef CORE_TIMER_H
#define CORE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TIMER_SLOTS = 1024, TIMER_SLOT_MS = 16 };

struct timer {
	struct timer *next, **link;     /* link == NULL: not armed */
	uint64_t at_ms;
	void (*fire)(struct timer *timer);
};

struct timers {
	struct timer *slots[TIMER_SLOTS];
	uint64_t used[TIMER_SLOTS / 64]; /* one bit a slot that may hold a timer */
	uint64_t done_slot;             /* the last slot that was run */
	uint32_t armed;
};

void timers_init(struct timers *timers, uint64_t now_ms);
/* Arm or move: fire() once at at_ms (CLOCK_MONOTONIC) or soon after. */
void timer_arm(struct timers *timers, struct timer *timer, uint64_t at_ms);
void timer_cancel(struct timers *timers, struct timer *timer);
static inline bool timer_armed(const struct timer *timer)
{
	return timer->link != NULL;
}
/* Fire all that are due. */
void timers_run(struct timers *timers, uint64_t now_ms);
/* Milliseconds until the next slot that holds a timer, at most TIMER_SLOTS * TIMER_SLOT_MS;
 * -1: none is armed. */
int64_t timers_wait_ms(const struct timers *timers, uint64_t now_ms);

#endif
