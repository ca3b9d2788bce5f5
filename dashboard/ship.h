/* ship.h - one place that events go to, in batches, until they have arrived: a dashboard, an
 * OpenTelemetry collector.
 *
 *	idle -> sending -> idle                      arrived
 *	            +----> waiting -> sending        to be tried again, later each time
 *
 * One request at a time, so order stays; what comes meanwhile makes the next batch.  A server that
 * refuses a batch gets its events one at a time, as the seed sends them. */
#ifndef DASHBOARD_SHIP_H
#define DASHBOARD_SHIP_H

#include "dashboard/queue.h"
#include "dashboard/web.h"

struct ship_texts {                     /* what its log lines are called */
	const char *probe_ok, *probe_error, *queue_full, *failed, *resumed, *rejected;
};

struct ship_settings {                  /* borrowed */
	struct ship_texts texts;
	struct web_target *target;
	const char *path;
	const char *headers[WEB_HEADERS_MAX - 3];       /* closed by NULL: keys */
	const char *head, *tail;        /* around a batch */
	bool bare_single;               /* one event alone goes without them */
	const char *probe;              /* sent first; NULL: nothing */
	uint64_t start_delay_ms;
	uint32_t queue_size;
	struct spool *spool;            /* NULL: none; becomes the ship's */
};

struct ship;

/* 0 or -ENOMEM. */
int ship_open(struct ship **ship, struct web *web, const struct ship_settings *settings,
	      uint64_t now_ms);
void ship_close(struct ship *ship);     /* NULL is fine; what is still there is dropped */

void ship_push(struct ship *ship, struct str text);
/* The end of a row of pushes: start what is due. */
void ship_run(struct ship *ship, uint64_t now_ms);
/* When ship_run() has something to do, without an event or an answer; UINT64_MAX: never. */
uint64_t ship_due_ms(const struct ship *ship);
/* We are about to end: no more waiting, one try for what there is. */
void ship_hurry(struct ship *ship, uint64_t now_ms);
bool ship_done(const struct ship *ship);        /* nothing left to try */

/* Has the server said that it is a ringfence-dashboard (Server)?  Others would pass over what only
 * that one knows. */
bool ship_knows_ringfence(const struct ship *ship);

#endif
