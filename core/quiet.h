/* quiet.h - freeing what other threads may still be reading (quiescent-state-based reclamation).
 * Readers hold no lock: a worker is a reader from quiet_online() to quiet_offline() or
 * quiet_pass(), the loop calls them around its sleep.  A writer unpublishes a pointer, then hands
 * it to quiet_free(); it is freed once every worker has passed a quiet point.
 *
 * The control thread is no reader: what it has published itself it may hold until it calls
 * quiet_reclaim(), because nobody else frees that. */
#ifndef CORE_QUIET_H
#define CORE_QUIET_H

#include <stdint.h>

enum { QUIET_READERS_MAX = 256 };

struct quiet_item {                     /* embed it in what is to be freed */
	struct quiet_item *next;
	uint64_t after;
	void (*free)(struct quiet_item *item);
};

/* Register the calling thread as a reader, offline at first; returns its id, -ENOSPC when there
 * are too many. */
int quiet_register(void);
void quiet_unregister(int reader);

void quiet_online(int reader);          /* after a sleep, before reading anything shared */
void quiet_offline(int reader);         /* before a sleep: holds nothing shared */
void quiet_pass(int reader);            /* between two turns: holds nothing shared just now */

/* Any thread, after the pointer to the item was replaced with atomic_exchange(); readers find it
 * with atomic_load() (both sequentially consistent).  item->free() runs after the grace period, in
 * quiet_reclaim(). */
void quiet_free(struct quiet_item *item, void (*free)(struct quiet_item *item));
/* The same for what workers may free as well: free() neither waits nor looks at a descriptor, of
 * which each worker has a table of its own, and what it frees is small. */
void quiet_free_light(struct quiet_item *item, void (*free)(struct quiet_item *item));

/* Run what has become free; by the control thread only, now and then and at exit. */
void quiet_reclaim(void);
/* Of that what is light; by anybody. */
void quiet_reclaim_light(void);

#endif
