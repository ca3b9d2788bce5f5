/* tell.h - what workers have to tell, told on the control thread. */
#ifndef JOBS_TELL_H
#define JOBS_TELL_H

#include "core/status.h"
#include "core/worker.h"

/* May add to the event what only the teller knows. */
typedef void tell_fn(void *context, struct event *event);

/* Hand the events that have come to tell(), NULL: to the log; *dropped: how many the rings had no
 * room for, so far. */
void tell_events(const struct workers *workers, uint64_t *dropped, tell_fn *tell, void *context);
/* Log the counters. */
void tell_metrics(const struct workers *workers, uint64_t dropped);
/* The same for who asks at the control socket. */
void tell_status(const struct workers *workers, struct status_text *text);
/* What to do when io_uring cannot be used; "" when there is nothing to say. */
const char *tell_ring_advice(int err);

#endif
