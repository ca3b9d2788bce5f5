/* api.h - what the handlers of several topics need. */
#ifndef DASHBOARD_API_H
#define DASHBOARD_API_H

#include "dashboard/request.h"
#include "dashboard/server.h"
#include "dashboard/store_events.h"

/* The query's terms; false: something in it is wrong, and there is a reply. */
bool api_event_query(struct request *request, struct event_query *query);
/* range=15m|1h|6h|24h|7d|30d|90d|all into from_ns and to_ns, where the query has none. */
bool api_range(struct request *request, struct event_query *query);
/* Decimal, above or equal 0; -1: it is not. */
int64_t api_id_number(const char *text);
/* Inside a transaction: who did what, for good. */
int api_audit(const struct request *request, struct store *store, const char *action,
	      const char *object, const char *detail);

#endif
