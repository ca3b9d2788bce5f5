/* limit.h - how many connections a port has open at once, over all workers; who comes later waits,
 * accepted but unread and undialled, first come first served (decisions.md 18).
 *
 * A slot is owned by one connection.  Whoever ends gives it back, and it goes to the first waiting
 * one; that one is told on its own loop.  Flows of UDP take and give slots too, and never wait. */
#ifndef FORWARD_LIMIT_H
#define FORWARD_LIMIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"

enum { LIMIT_PARKED_MAX = 4096 };       /* of one port, over all workers; then refused */

/* One that waits for a slot; part of something of the caller's. */
struct parked {
	struct parked *next, *before;
	struct loop *loop;              /* where it is told */
	struct post called;             /* called.run(): it has a slot now */
	bool waiting;                   /* in the queue; under the limit's lock */
};

struct limit {
	uint32_t max;                   /* 0: none, and nothing below is touched */
	_Atomic uint32_t open;
	pthread_mutex_t lock;           /* of the queue; taken only when somebody waits or must */
	_Atomic uint32_t waiting;       /* so many, or some more for a moment */
	struct parked *first, *last;
};

void limit_init(struct limit *limit, uint32_t max);
void limit_finish(struct limit *limit);         /* nobody waits */

/* A slot, unless all are taken or somebody waits for one already. */
bool limit_take(struct limit *limit);
/* The slot is not used any more.  Any thread. */
void limit_give(struct limit *limit);

enum limit_says {
	LIMIT_TAKEN,                    /* a slot has become free in between: it is yours */
	LIMIT_WAITS,                    /* parked->called will run, unless it leaves before */
	LIMIT_FULL,                     /* LIMIT_PARKED_MAX wait already */
};

/* Behind the last one that waits.  parked->loop and called.run are set. */
enum limit_says limit_wait(struct limit *limit, struct parked *parked);
/* Out of the queue.  False: it has been called; called.run() is on its way and brings a slot, which
 * must then be used or given. */
bool limit_leave(struct limit *limit, struct parked *parked);

#endif
