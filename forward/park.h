/* park.h - clients that wait for a slot of their port (limit.h): accepted, not read, not dialled.
 *
 *   waiting ──▶ called (it has a slot, its worker is being told) ──▶ conn_open()
 *      │           │
 *      └───────────┴──▶ gone: it reset, or we stop; a slot it had goes on to the next
 *
 * What a waiting client sends, and its FIN, stay in the kernel until it is served. */
#ifndef FORWARD_PARK_H
#define FORWARD_PARK_H

#include "forward/listen.h"

struct filter;

/* Room for those of one worker that wait, beside so many connections: filter->parked.  0 or
 * -ENOMEM. */
int park_init(struct filter *filter, uint32_t conns);

/* All slots of the listener's port are taken: fd waits for one, unless one is free by now, or too
 * many wait and it is refused.  fd is ours from here on. */
void park(struct listener *listener, int fd);

/* We are stopping: nobody who waits on this worker is served any more.  Before or together with
 * listeners_close(); filter->parked.used is 0 when all are gone. */
void park_close_all(struct filter *filter);

#endif
