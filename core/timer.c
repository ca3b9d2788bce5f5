/* timer.c - many deadlines on one kernel timeout.
 * A deadline beyond one turn of the wheel stays in its slot and is looked at once a turn. */
#include "core/timer.h"

#include <assert.h>
#include <string.h>

enum { WORDS = TIMER_SLOTS / 64 };

void timers_init(struct timers *timers, uint64_t now_ms)
{
	memset(timers, 0, sizeof(*timers));
	timers->done_slot = now_ms / TIMER_SLOT_MS;
}

static void insert(struct timer **head, struct timer *timer)
{
	timer->next = *head;
	timer->link = head;
	if (timer->next)
		timer->next->link = &timer->next;
	*head = timer;
}

static void take_out(struct timer *timer)
{
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
	timer->next = NULL;
	timer->link = NULL;
}

void timer_arm(struct timers *timers, struct timer *timer, uint64_t at_ms)
{
	uint64_t slot = at_ms / TIMER_SLOT_MS + 1;      /* its end: never early */

	if (slot <= timers->done_slot)
		slot = timers->done_slot + 1;
	timer_cancel(timers, timer);
	timer->at_ms = at_ms;
	insert(&timers->slots[slot % TIMER_SLOTS], timer);
	timers->used[slot % TIMER_SLOTS / 64] |= 1ULL << (slot % 64);
	timers->armed++;
}

void timer_cancel(struct timers *timers, struct timer *timer)
{
	if (!timer_armed(timer))
		return;
	take_out(timer);
	assert(timers->armed > 0);
	timers->armed--;
}

/* Fire what is due in one slot.  The due ones are moved to a list of their own first, because
 * fire() may arm and cancel any timer, also the next one here. */
static void run_slot(struct timers *timers, unsigned index, uint64_t now_ms)
{
	struct timer *due = NULL, *timer, *next;

	for (timer = timers->slots[index]; timer; timer = next) {
		next = timer->next;
		if (timer->at_ms <= now_ms) {
			take_out(timer);
			insert(&due, timer);
		}
	}
	if (!timers->slots[index])
		timers->used[index / 64] &= ~(1ULL << (index % 64));
	while ((timer = due)) {
		take_out(timer);
		timers->armed--;
		timer->fire(timer);
	}
}

void timers_run(struct timers *timers, uint64_t now_ms)
{
	uint64_t now_slot = now_ms / TIMER_SLOT_MS;
	uint64_t slots = now_slot - timers->done_slot;

	if (now_slot <= timers->done_slot)
		return;
	if (slots > TIMER_SLOTS)
		slots = TIMER_SLOTS;
	/* Set first: a timer armed by fire() for now goes into a slot still to come. */
	timers->done_slot = now_slot;
	for (uint64_t slot = now_slot - slots + 1; slot <= now_slot; slot++)
		run_slot(timers, slot % TIMER_SLOTS, now_ms);
}

/* The first used slot after done_slot, going once round. */
int64_t timers_wait_ms(const struct timers *timers, uint64_t now_ms)
{
	uint64_t first = timers->done_slot + 1;

	if (timers->armed == 0)
		return -1;
	for (unsigned i = 0; i <= WORDS; i++) {
		uint64_t slot = (first & ~63ULL) + 64ULL * i;
		uint64_t word = timers->used[slot / 64 % WORDS];

		if (i == 0)
			word &= ~0ULL << (first % 64);
		if (word) {
			uint64_t at_ms = (slot + (unsigned)__builtin_ctzll(word)) * TIMER_SLOT_MS;

			return at_ms > now_ms ? (int64_t)(at_ms - now_ms) : 0;
		}
	}
	return 0;
}
