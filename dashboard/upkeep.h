/* upkeep.h - what must be done without anybody asking: old events go, and what other dashboards
 * store is followed. */
#ifndef DASHBOARD_UPKEEP_H
#define DASHBOARD_UPKEEP_H

#include "dashboard/server.h"

/* By the writer, when it has been idle for a second; arg is the server. */
void upkeep_tick(void *arg, struct store *store);
/* By the writer, after it added events: remove what is too many, now and then. */
void upkeep_prune(struct server *server, struct store *store);

/* PostgreSQL: a thread of its own publishes what any dashboard stored.  0 or -errno. */
int upkeep_follow(struct server *server, char error[STORE_ERROR_MAX]);
void upkeep_stop(struct server *server);

#endif
