/* store_sums.h - events added up: over time, and by name, address or client. */
#ifndef DASHBOARD_STORE_SUMS_H
#define DASHBOARD_STORE_SUMS_H

#include "dashboard/store_events.h"

/* The columns of a row of sums; their words are those of the API, and what rows are ordered by. */
enum sums_column {
	SUMS_KEY, SUMS_TOTAL, SUMS_ALLOWED, SUMS_BLOCKED, SUMS_AUDIT, SUMS_BYTES, SUMS_LAST_SEEN,
	SUMS_COLUMN_COUNT
};
const char *sums_column_word(enum sums_column column);
bool sums_column_parse(struct str word, enum sums_column *column);

enum sums_key { SUMS_BY_DOMAIN, SUMS_BY_IP, SUMS_BY_CLIENT };

struct sums_query {
	struct event_query events;      /* which are added up */
	enum sums_key by;
	enum sums_column order;
	bool ascending;
	int64_t limit;                  /* so many rows, the first ones in the order */
};

/* Rows of SUMS_COLUMN_COUNT columns.  Among equal ones the most events are first, then the newest,
 * then the lesser key: the same question has the same answer. */
int store_sum_by_key(struct store *store, const struct sums_query *query, store_row_fn *on_row,
		     void *arg);

/* "SELECT select ... behind" over the events of the query (alias e), where select ends with a
 * condition.  bucket_ns > 0: the first column is how many of these since from_ns. */
int store_sum_events(struct store *store, const struct event_query *query, int64_t bucket_ns,
		     const char *select, const char *behind, store_row_fn *on_row, void *arg);

/* A sum of bytes ends at the largest number; SQLite's SUM() would be an error there. */
#define STORE_PG_SUM_BYTES "CAST(LEAST(SUM(e.bytes), 9223372036854775807) AS BIGINT)"

#endif
