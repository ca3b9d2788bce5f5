/* ends.h - the ends of connections: what an agent of ours ships when it knows how many bytes went
 * and for how long.  An end is no event of its own: it completes the row of its connection.
 *
 * A row and its end have hostname, conn and flow_id in common.  A restarted agent counts its
 * connections anew, so both have to be the same, and the newest such row is meant. */
#ifndef DASHBOARD_ENDS_H
#define DASHBOARD_ENDS_H

#include "dashboard/entry.h"

struct end {
	json_t *fields;                 /* ours to release */
	int64_t link;                   /* as in struct entry; never 0 */
	bool used;                      /* it has completed a row */
};

/* From an item of a payload.  false: it is none.  Also a false one is given to end_finish(). */
bool end_init(struct end *end, const json_t *item);
void end_finish(struct end *end);

/* What finds rows and ends of one connection; 0: it has no hostname, conn or flow_id. */
int64_t end_link(const json_t *fields);

/* The row says how the connection ended, and is open no more.  false: it is another connection's,
 * or has an end already. */
bool end_complete(struct end *end, struct entry *row);

/* Complete those rows that came with their ends. */
void ends_match(struct end *ends, size_t count, struct entry *rows, size_t row_count);

#endif
