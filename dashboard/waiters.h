/* waiters.h - agents that wait for an unblock: POST /sync?wait=30.
 * Their connections are suspended; when a request comes in, or their time is over, a thread with a
 * store answers them. */
#ifndef DASHBOARD_WAITERS_H
#define DASHBOARD_WAITERS_H

#include "dashboard/server.h"

struct waiters;

struct waiters *waiters_open(void);
/* From any thread, before it looks whether there is something: what comes behind that is not
 * missed. */
void waiters_look(struct request *request);
/* From any thread: the request has no reply yet, and park_until_ns; it has looked. */
void waiters_park(struct request *request);
/* From any thread: there is a new request; all that wait look again. */
void waiters_wake(struct server *server);
/* By the server's thread, now and then. */
void waiters_run(struct server *server);
/* All are answered; nobody parks any more. */
void waiters_stop(struct server *server);
void waiters_close(struct waiters *waiters);    /* NULL: nothing */

#endif
