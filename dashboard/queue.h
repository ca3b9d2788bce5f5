/* queue.h - texts waiting to be sent: bounded, the oldest goes first when there is no room.
 * In memory, or in a spool (spool.h), which is left for memory while its disk is in trouble. */
#ifndef DASHBOARD_QUEUE_H
#define DASHBOARD_QUEUE_H

#include "dashboard/spool.h"

struct queue {
	struct str *texts;              /* a ring of size entries; each allocated */
	uint32_t size, first, count;
	struct spool *spool;            /* NULL: in memory only */
	bool spool_failing;             /* told */
	uint64_t dropped;               /* since the start */
	uint32_t popped_early;          /* of the last batch, dropped while it was on its way */
	unsigned batch;                 /* texts in it */
	bool batch_spooled;
};

/* size: texts in memory.  spool (may be NULL) becomes the queue's.  0 or -ENOMEM. */
int queue_init(struct queue *queue, uint32_t size, struct spool *spool);
void queue_finish(struct queue *queue);

void queue_push(struct queue *queue, struct str text);
/* The end of a row of pushes. */
void queue_flush(struct queue *queue);
uint64_t queue_count(const struct queue *queue);

/* The oldest texts, comma-separated, as spool_peek() gives them. */
unsigned queue_peek(struct queue *queue, unsigned count_max, char *out, size_t size, size_t *len);
/* All of the last queue_peek() are done with. */
void queue_pop(struct queue *queue);

#endif
