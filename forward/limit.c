/* limit.c - slots of a port, and the queue of those who wait for one.
 *
 * While nobody waits a slot costs one atomic operation.  Two counters keep sleepers from being
 * missed: one who parks raises `waiting`, then looks at `open`; one who ends lowers `open`, then
 * looks at `waiting`.  Both are sequentially consistent, so one of them sees the other. */
#include "forward/limit.h"

#include <assert.h>
#include <stddef.h>

void limit_init(struct limit *limit, uint32_t max)
{
	*limit = (struct limit){ .max = max };
	pthread_mutex_init(&limit->lock, NULL);
}

void limit_finish(struct limit *limit)
{
	assert(limit->first == NULL);
	pthread_mutex_destroy(&limit->lock);
}

static bool take_free(struct limit *limit)
{
	uint32_t open = atomic_load(&limit->open);

	do {
		if (open >= limit->max)
			return false;
	} while (!atomic_compare_exchange_weak(&limit->open, &open, open + 1));
	return true;
}

bool limit_take(struct limit *limit)
{
	return limit->max == 0 || (atomic_load(&limit->waiting) == 0 && take_free(limit));
}

/* The first of the queue leaves it with a slot; under the lock.  NULL: nobody waits. */
static struct parked *pop(struct limit *limit)
{
	struct parked *parked = limit->first;

	if (!parked)
		return NULL;
	limit->first = parked->next;
	if (parked->next)
		parked->next->before = NULL;
	else
		limit->last = NULL;
	parked->waiting = false;
	atomic_fetch_sub(&limit->waiting, 1);
	return parked;
}

/* Not touched after: its loop may free it as soon as it is told. */
static void call(struct parked *parked)
{
	if (parked)
		loop_post(parked->loop, &parked->called);
}

void limit_give(struct limit *limit)
{
	struct parked *next = NULL;

	if (limit->max == 0)
		return;
	assert(atomic_load(&limit->open) > 0);
	if (atomic_load(&limit->waiting) == 0) {
		atomic_fetch_sub(&limit->open, 1);
		if (atomic_load(&limit->waiting) == 0)
			return;
		/* Somebody came meanwhile and may have seen no free slot: take it back for them. */
		pthread_mutex_lock(&limit->lock);
		if (limit->first && take_free(limit))
			next = pop(limit);
		pthread_mutex_unlock(&limit->lock);
		return call(next);
	}
	pthread_mutex_lock(&limit->lock);
	next = pop(limit);
	if (!next)                      /* they have all left */
		atomic_fetch_sub(&limit->open, 1);
	pthread_mutex_unlock(&limit->lock);
	call(next);
}

static void append(struct limit *limit, struct parked *parked)
{
	parked->waiting = true;
	parked->next = NULL;
	parked->before = limit->last;
	if (limit->last)
		limit->last->next = parked;
	else
		limit->first = parked;
	limit->last = parked;
}

enum limit_says limit_wait(struct limit *limit, struct parked *parked)
{
	enum limit_says says = LIMIT_WAITS;

	pthread_mutex_lock(&limit->lock);
	if (atomic_fetch_add(&limit->waiting, 1) >= LIMIT_PARKED_MAX)
		says = LIMIT_FULL;
	else if (!limit->first && take_free(limit))
		says = LIMIT_TAKEN;
	else
		append(limit, parked);
	if (says != LIMIT_WAITS)
		atomic_fetch_sub(&limit->waiting, 1);
	pthread_mutex_unlock(&limit->lock);
	return says;
}

bool limit_leave(struct limit *limit, struct parked *parked)
{
	bool waiting;

	pthread_mutex_lock(&limit->lock);
	waiting = parked->waiting;
	if (waiting) {
		*(parked->before ? &parked->before->next : &limit->first) = parked->next;
		*(parked->next ? &parked->next->before : &limit->last) = parked->before;
		parked->waiting = false;
		atomic_fetch_sub(&limit->waiting, 1);
	}
	pthread_mutex_unlock(&limit->lock);
	return waiting;
}
