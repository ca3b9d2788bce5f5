/* quiet.c - freeing what other threads may still be reading.
 *
 * One clock ticks at every quiet_free().  A reader that is online shows the time at which it last
 * held nothing; what was unpublished before that time is out of its reach, because it had to load
 * the clock after the tick and so loads the new pointer too.  An offline reader shows 0 and holds
 * nothing.  Only writers take the lock.
 *
 * Going online is the one place where order is not free: the reader must show its time before it
 * loads a pointer, or a writer that just unpublished it would see it offline.  Both sides are
 * sequentially consistent there: load shared pointers with atomic_load(), unpublish them with
 * atomic_exchange(). */
#include "core/quiet.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { OFFLINE = 0, CACHE_LINE = 64 };

static struct reader {
	_Alignas(CACHE_LINE) _Atomic uint64_t seen;     /* the clock at its last quiet point */
	atomic_bool used;
} readers[QUIET_READERS_MAX];

static _Atomic uint64_t clock_now = 1;

struct waiting {
	pthread_mutex_t lock;
	struct quiet_item *first, **last;       /* in the order of their `after` */
};

static struct waiting waiting = { .lock = PTHREAD_MUTEX_INITIALIZER, .last = &waiting.first };
static struct waiting light = { .lock = PTHREAD_MUTEX_INITIALIZER, .last = &light.first };

static struct reader *reader_of(int id)
{
	assert(id >= 0 && id < QUIET_READERS_MAX);
	assert(atomic_load_explicit(&readers[id].used, memory_order_relaxed));
	return &readers[id];
}

int quiet_register(void)
{
	for (int id = 0; id < QUIET_READERS_MAX; id++) {
		bool unused = false;

		if (atomic_compare_exchange_strong(&readers[id].used, &unused, true))
			return id;
	}
	return -ENOSPC;
}

void quiet_unregister(int id)
{
	struct reader *reader = reader_of(id);

	quiet_offline(id);
	atomic_store(&reader->used, false);
}

void quiet_online(int id)
{
	struct reader *reader = reader_of(id);

	atomic_exchange(&reader->seen, atomic_load(&clock_now));
}

void quiet_offline(int id)
{
	struct reader *reader = reader_of(id);

	atomic_store_explicit(&reader->seen, OFFLINE, memory_order_release);
}

void quiet_pass(int id)
{
	struct reader *reader = reader_of(id);
	uint64_t now = atomic_load_explicit(&clock_now, memory_order_acquire);

	assert(atomic_load_explicit(&reader->seen, memory_order_relaxed) != OFFLINE);
	/* Mostly nothing has happened: keep the line unwritten, it is shared with the writer. */
	if (atomic_load_explicit(&reader->seen, memory_order_relaxed) != now)
		atomic_store_explicit(&reader->seen, now, memory_order_release);
}

static void join(struct waiting *line, struct quiet_item *item,
		 void (*free)(struct quiet_item *item))
{
	item->next = NULL;
	item->free = free;
	pthread_mutex_lock(&line->lock);
	item->after = atomic_fetch_add(&clock_now, 1) + 1;
	*line->last = item;
	line->last = &item->next;
	pthread_mutex_unlock(&line->lock);
}

void quiet_free(struct quiet_item *item, void (*free)(struct quiet_item *item))
{
	join(&waiting, item, free);
}

void quiet_free_light(struct quiet_item *item, void (*free)(struct quiet_item *item))
{
	join(&light, item, free);
}

/* What no online reader can hold any more is older than or as old as this. */
static uint64_t oldest_reader(void)
{
	uint64_t oldest = UINT64_MAX;

	for (int id = 0; id < QUIET_READERS_MAX; id++) {
		uint64_t seen = atomic_load(&readers[id].seen);

		if (seen != OFFLINE && seen < oldest)
			oldest = seen;
	}
	return oldest;
}

static void reclaim(struct waiting *line)
{
	struct quiet_item *item, **at = &line->first;
	uint64_t oldest;

	/* Under the lock from the look at the readers on: an item that joins after that look may
	 * be held by someone who came online after it. */
	pthread_mutex_lock(&line->lock);
	oldest = line->first ? oldest_reader() : 0;
	while (*at && (*at)->after <= oldest)
		at = &(*at)->next;
	item = at == &line->first ? NULL : line->first;
	if (item) {
		struct quiet_item *rest = *at;

		*at = NULL;
		line->first = rest;
		if (!rest)
			line->last = &line->first;
	}
	pthread_mutex_unlock(&line->lock);

	while (item) {                  /* without the lock: free() may call quiet_free() */
		struct quiet_item *next = item->next;

		item->free(item);
		item = next;
	}
}

void quiet_reclaim_light(void)
{
	reclaim(&light);
}

void quiet_reclaim(void)
{
	reclaim(&light);
	reclaim(&waiting);
}
