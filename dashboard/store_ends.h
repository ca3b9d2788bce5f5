/* store_ends.h - ends of connections complete the rows that are stored. */
#ifndef DASHBOARD_STORE_ENDS_H
#define DASHBOARD_STORE_ENDS_H

#include "dashboard/ends.h"
#include "dashboard/store_events.h"

/* Inside a transaction: complete the rows of those that are not used yet; each becomes used when
 * there was one.  on_row: of each completed row, which is released after it. */
int store_complete_events(struct store *store, struct end *ends, size_t count,
			  store_entry_fn *on_row, void *arg);

#endif
