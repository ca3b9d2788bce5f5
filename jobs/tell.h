/* tell.h - what workers have to tell, told on the control thread. */
#ifndef JOBS_TELL_H
#define JOBS_TELL_H

#include "core/status.h"
#include "core/worker.h"

/* Log the events that have come; *dropped: how many the rings had no room for, so far.  complete()
 * may add to an event first; NULL: nothing to add. */
typedef void complete_fn(void *context, struct event *event);
void tell_events(const struct workers *workers, uint64_t *dropped, complete_fn *complete,
		 void *context);
/* Log the counters. */
void tell_metrics(const struct workers *workers, uint64_t dropped);
/* The same for who asks at the control socket. */
void tell_status(const struct workers *workers, struct status_text *text);
/* What to do when io_uring cannot be used; "" when there is nothing to say. */
const char *tell_ring_advice(int err);

#endif
