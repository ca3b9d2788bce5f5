/* store_sums.c - events added up: over time, and by name, address or client. */
#include "dashboard/store_sums.h"

#include <assert.h>

static const char *const words[] = {
	[SUMS_KEY] = "key", [SUMS_TOTAL] = "total", [SUMS_ALLOWED] = "allowed",
	[SUMS_BLOCKED] = "blocked", [SUMS_AUDIT] = "audit", [SUMS_BYTES] = "bytes",
	[SUMS_LAST_SEEN] = "last_seen",
};
static_assert(ARRAY_LEN(words) == SUMS_COLUMN_COUNT, "every column has a word");

const char *sums_column_word(enum sums_column column)
{
	return words[column];
}

bool sums_column_parse(struct str word, enum sums_column *column)
{
	for (unsigned i = 0; i < SUMS_COLUMN_COUNT; i++) {
		if (!str_equal(word, str_of(words[i])))
			continue;
		*column = (enum sums_column)i;
		return true;
	}
	return false;
}

int store_sum_events(struct store *store, const struct event_query *query, int64_t bucket_ns,
		     const char *select, const char *behind, store_row_fn *on_row, void *arg)
{
	struct out scratch;
	struct sql sql;
	int err;

	out_init(&scratch, 8192);
	sql_init(&sql, "SELECT ");
	if (bucket_ns > 0)
		out_print(&sql.text, "(e.time - %lld) / %lld AS b, ", (long long)query->from_ns,
			  (long long)bucket_ns);
	sql_put(&sql, select);
	if (query_has_subject_terms(query)) {
		sql_put(&sql, " AND e.subject IN (SELECT s.id FROM subject s WHERE 1 = 1");
		sql_put_subject_terms(&sql, store, query, &scratch);
		sql_put(&sql, ")");
	}
	sql_put_event_terms(&sql, query);
	sql_put(&sql, behind);
	err = sql_run(store, &sql, on_row, arg);
	sql_finish(&sql);
	out_finish(&scratch);
	return err;
}

static const char *key_of(enum sums_key by)
{
	if (by == SUMS_BY_IP)
		return "t.destination_ip";
	return by == SUMS_BY_CLIENT ? "COALESCE(t.hostname, t.source_ip)"
				    : "COALESCE(t.name, t.destination_ip)";
}

#define PG_SUM_OF_SUMS "CAST(LEAST(SUM(bytes), 9223372036854775807) AS BIGINT)"
#define SQLITE_SUM "TOTAL(e.bytes)"
#define SQLITE_SUM_OF_SUMS "CAST(TOTAL(bytes) AS INTEGER)"

/* By subject first: there are far fewer of them than events, and one index has it all.  Keys are
 * compared byte by byte in both stores, whatever language a server of PostgreSQL speaks. */
int store_sum_by_key(struct store *store, const struct sums_query *query, store_row_fn *on_row,
		     void *arg)
{
	struct out behind, select;
	int err;

	out_init(&select, 4096);
	out_init(&behind, 4096);
	out_print(&select, "COALESCE(%s, '')%s AS k, CAST(SUM(n) AS BIGINT),"
		  " CAST(SUM(CASE WHEN t.verdict = 0 THEN n ELSE 0 END) AS BIGINT),"
		  " CAST(SUM(CASE WHEN t.verdict = 1 THEN n ELSE 0 END) AS BIGINT),"
		  " CAST(SUM(CASE WHEN t.verdict = 2 THEN n ELSE 0 END) AS BIGINT),"
		  " %s, MAX(last) FROM (SELECT e.subject,"
		  " COUNT(*) AS n, %s AS bytes, MAX(e.time) AS last"
		  " FROM event e WHERE 1 = 1", key_of(query->by),
		  store->is_pg ? " COLLATE \"C\"" : "",
		  store->is_pg ? PG_SUM_OF_SUMS : SQLITE_SUM_OF_SUMS,
		  store->is_pg ? STORE_PG_SUM_BYTES : SQLITE_SUM);
	out_print(&behind, " GROUP BY e.subject) g JOIN subject t ON t.id = g.subject"
		  " GROUP BY 1 ORDER BY %u %s, %u DESC, %u DESC, %u LIMIT %lld",
		  query->order + 1U, query->ascending ? "ASC" : "DESC", SUMS_TOTAL + 1U,
		  SUMS_LAST_SEEN + 1U, SUMS_KEY + 1U, (long long)query->limit);
	err = store_sum_events(store, &query->events, 0, select.at, behind.at, on_row, arg);
	out_finish(&select);
	out_finish(&behind);
	return err;
}
