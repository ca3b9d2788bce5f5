/* api_aggregates.c - sums over time and by name: GET /api/v1/aggregates. */
#include <errno.h>
#include <stdlib.h>

#include "dashboard/api.h"
#include "dashboard/rfc3339.h"
#include "dashboard/route.h"

enum { BUCKETS = 24, ROWS = 200, ROWS_MAX = 1000 };

/* Durations are counted exactly up to EXACT milliseconds, above with STEPS between two powers of
 * two: an error of 3 % at most. */
enum { EXACT = 1024, EXACT_BITS = 10, STEPS_BITS = 5, STEPS = 1 << STEPS_BITS,
       SLOTS = EXACT + (63 - EXACT_BITS) * STEPS };

struct bucket {
	int64_t counts[VERDICT_COUNT], bytes;
	int64_t timed;                  /* events with a duration */
	int64_t p50, p99;
};

struct sums {
	struct bucket buckets[BUCKETS];
	int64_t totals[VERDICT_COUNT], from, to, width;
};

static struct bucket *bucket_at(struct sums *sums, int64_t number)
{
	if (number < 0 || number >= BUCKETS)
		return NULL;
	return &sums->buckets[number];
}

static int on_bucket(void *arg, const struct store_value *columns)
{
	struct sums *sums = arg;
	struct bucket *bucket = bucket_at(sums, columns[0].number);
	int64_t verdict = columns[1].number;

	if (!bucket || verdict < 0 || verdict >= VERDICT_COUNT)
		return 0;
	bucket->counts[verdict] += columns[2].number;
	sums->totals[verdict] += columns[2].number;
	if (__builtin_add_overflow(bucket->bytes, columns[3].number, &bucket->bytes))
		bucket->bytes = INT64_MAX;
	return 0;
}

struct durations {
	struct sums *sums;
	uint32_t (*slots)[SLOTS];       /* of each bucket */
};

static unsigned slot_of(int64_t ms)
{
	unsigned bits;

	if (ms < EXACT)
		return ms < 0 ? 0 : (unsigned)ms;
	bits = 63 - (unsigned)__builtin_clzll((unsigned long long)ms);
	return EXACT + (bits - EXACT_BITS) * STEPS +
	       (unsigned)(ms >> (bits - STEPS_BITS) & (STEPS - 1));
}

static int64_t value_of(unsigned slot)
{
	unsigned bits = (slot - EXACT) / STEPS + EXACT_BITS;

	if (slot < EXACT)
		return slot;
	return (int64_t)(STEPS + (slot - EXACT) % STEPS) << (bits - STEPS_BITS);
}

static int on_duration(void *arg, const struct store_value *columns)
{
	struct durations *durations = arg;
	struct bucket *bucket = bucket_at(durations->sums, columns[0].number);

	if (!bucket)
		return 0;
	durations->slots[columns[0].number][slot_of(columns[1].number)] +=
		(uint32_t)columns[2].number;
	bucket->timed += columns[2].number;
	return 0;
}

/* The smallest duration that so many are not above. */
static int64_t percentile(const uint32_t slots[SLOTS], int64_t timed, int64_t percent)
{
	int64_t seen = 0;

	for (unsigned i = 0; i < SLOTS; i++) {
		seen += slots[i];
		if (slots[i] > 0 && seen * 100 >= timed * percent)
			return value_of(i);
	}
	return 0;
}

/* ... WHERE the events of the query and the span, behind select. */
static int run_over_events(struct store *store, const struct event_query *query,
			   const struct sums *sums, const char *select, bool with_buckets,
			   const char *behind, store_row_fn *on_row, void *arg)
{
	struct event_query span = *query;
	struct out scratch;
	struct sql sql;
	int err;

	span.from_ns = sums->from;
	span.to_ns = sums->to;
	out_init(&scratch, 8192);
	sql_init(&sql, "SELECT ");
	if (with_buckets) {
		out_print(&sql.text, "(e.time - %lld) / %lld AS b, ", (long long)sums->from,
			  (long long)sums->width);
	}
	sql_put(&sql, select);
	if (query_has_subject_terms(query)) {
		sql_put(&sql, " AND e.subject IN (SELECT s.id FROM subject s WHERE 1 = 1");
		sql_put_subject_terms(&sql, store, query, &scratch);
		sql_put(&sql, ")");
	}
	sql_put_event_terms(&sql, &span);
	sql_put(&sql, behind);
	err = sql_run(store, &sql, on_row, arg);
	sql_finish(&sql);
	out_finish(&scratch);
	return err;
}

static int on_oldest(void *arg, const struct store_value *columns)
{
	*(int64_t *)arg = columns[0].number;
	return 0;
}

/* From the range, or from the oldest event, to now; the width rounds up, so that now is in. */
static int find_span(struct store *store, const struct event_query *query, struct sums *sums)
{
	int64_t oldest = 0;
	int err = 0;

	sums->to = query->to_ns ? query->to_ns : clock_now_ns() + 1;
	sums->from = query->from_ns;
	if (sums->from == 0) {
		err = store_run(store, "SELECT MIN(time) FROM event", NULL, 0, on_oldest, &oldest);
		sums->from = oldest > 0 ? oldest : sums->to - 3600 * NS_PER_S;
	}
	if (sums->from >= sums->to)
		sums->from = sums->to - 1;
	sums->width = (sums->to - sums->from + BUCKETS - 1) / BUCKETS;
	return err;
}

/* SQLite would sort to group them, PostgreSQL would send each. */
static int find_durations(struct store *store, const struct event_query *query,
			  struct sums *sums)
{
	struct durations durations = { sums, calloc(BUCKETS, sizeof(*durations.slots)) };
	int err = -ENOMEM;

	if (durations.slots)
		err = run_over_events(store, query, sums, store->is_pg
				      ? "e.duration, COUNT(*) FROM event e WHERE e.duration IS NOT"
					" NULL"
				      : "e.duration, 1 FROM event e WHERE e.duration IS NOT NULL",
				      true, store->is_pg ? " GROUP BY 1, 2" : "", on_duration,
				      &durations);
	for (unsigned i = 0; i < BUCKETS && err == 0; i++) {
		struct bucket *bucket = &sums->buckets[i];

		bucket->p50 = percentile(durations.slots[i], bucket->timed, 50);
		bucket->p99 = percentile(durations.slots[i], bucket->timed, 99);
	}
	free(durations.slots);
	return err;
}

static void put_counts(struct out *out, const int64_t counts[VERDICT_COUNT])
{
	out_member_int(out, "allowed", counts[VERDICT_ALLOWED]);
	out_member_int(out, "blocked", counts[VERDICT_BLOCKED]);
	out_member_int(out, "audit", counts[VERDICT_AUDIT]);
}

static void put_head(struct out *out, const struct sums *sums)
{
	int64_t events = 0;

	for (unsigned i = 0; i < VERDICT_COUNT; i++)
		events += sums->totals[i];
	out_put(out, "{", 1);
	out_member_time(out, "from", sums->from);
	out_member_time(out, "to", sums->to);
	out_member_int(out, "events", events);
	out_text(out, ",\"totals\":{");
	put_counts(out, sums->totals);
	out_text(out, "},\"buckets\":[");
	for (int i = 0; i < BUCKETS; i++) {
		const struct bucket *bucket = &sums->buckets[i];

		out_text(out, i > 0 ? ",{" : "{");
		out_member_time(out, "t", sums->from + i * sums->width);
		put_counts(out, bucket->counts);
		out_member_int(out, "bytes", bucket->bytes);
		out_member_int(out, "p50_ms", bucket->p50);
		out_member_int(out, "p99_ms", bucket->p99);
		out_put(out, "}", 1);
	}
	out_put(out, "]", 1);
}

static int on_row(void *arg, const struct store_value *columns)
{
	const int64_t counts[VERDICT_COUNT] = {
		[VERDICT_ALLOWED] = columns[2].number, [VERDICT_BLOCKED] = columns[3].number,
		[VERDICT_AUDIT] = columns[4].number,
	};
	struct out *out = arg;

	out_text(out, out->at[out->len - 1] == '}' ? ",{" : "{");
	out_key(out, "key");
	out_json_str(out, columns[0].text);
	out_member_int(out, "total", columns[1].number);
	put_counts(out, counts);
	out_member_int(out, "bytes", columns[5].number);
	out_member_time(out, "last_seen", columns[6].number);
	out_put(out, "}", 1);
	return out->failed;
}

/* A sum of bytes ends at the largest number; SQLite's SUM() would be an error there. */
#define PG_SUM "CAST(LEAST(SUM(e.bytes), 9223372036854775807) AS BIGINT)"
#define PG_SUM_OF_SUMS "CAST(LEAST(SUM(bytes), 9223372036854775807) AS BIGINT)"
#define SQLITE_SUM "TOTAL(e.bytes)"
#define SQLITE_SUM_OF_SUMS "CAST(TOTAL(bytes) AS INTEGER)"

/* By subject first: there are far fewer of them than events, and one index has it all. */
static int put_rows(struct store *store, const struct event_query *query, const struct sums *sums,
		    const char *column, int64_t limit, struct out *out)
{
	struct out behind, select;
	int err;

	out_init(&select, 4096);
	out_init(&behind, 4096);
	out_print(&select, "COALESCE(%s, '') AS k, CAST(SUM(n) AS BIGINT) AS total,"
		  " CAST(SUM(CASE WHEN t.verdict = 0 THEN n ELSE 0 END) AS BIGINT),"
		  " CAST(SUM(CASE WHEN t.verdict = 1 THEN n ELSE 0 END) AS BIGINT),"
		  " CAST(SUM(CASE WHEN t.verdict = 2 THEN n ELSE 0 END) AS BIGINT),"
		  " %s, MAX(last) AS last FROM (SELECT e.subject,"
		  " COUNT(*) AS n, %s AS bytes, MAX(e.time) AS last"
		  " FROM event e WHERE 1 = 1", column,
		  store->is_pg ? PG_SUM_OF_SUMS : SQLITE_SUM_OF_SUMS,
		  store->is_pg ? PG_SUM : SQLITE_SUM);
	out_print(&behind, " GROUP BY e.subject) g JOIN subject t ON t.id = g.subject"
		  " GROUP BY 1 ORDER BY total DESC, last DESC LIMIT %lld", (long long)limit);
	out_text(out, ",\"rows\":[");
	err = run_over_events(store, query, sums, select.at, false, behind.at, on_row, out);
	out_text(out, "]}");
	out_finish(&select);
	out_finish(&behind);
	return err;
}

static const char *dimension_column(struct str dimension)
{
	if (dimension.len == 0 || str_equal(dimension, STR("domain")))
		return "COALESCE(t.name, t.destination_ip)";
	if (str_equal(dimension, STR("ip")))
		return "t.destination_ip";
	if (str_equal(dimension, STR("client")))
		return "COALESCE(t.hostname, t.source_ip)";
	return NULL;
}

void api_aggregates(struct request *request, struct store *store)
{
	const char *column = dimension_column(request_arg(request, "dimension"));
	int64_t limit = request_number(request, "limit", 1, ROWS_MAX, ROWS);
	struct event_query query;
	struct sums sums = { .from = 0 };
	struct out out;
	int err;

	if (!column) {
		reply_error(request, 400, "dimension must be one of domain, ip, client");
		return;
	}
	if (!api_event_query(request, &query) || !api_range(request, &query))
		return;
	err = find_span(store, &query, &sums);
	if (err == 0)
		err = run_over_events(store, &query, &sums,
				      store->is_pg
				      ? "e.verdict, COUNT(*), " PG_SUM " FROM event e WHERE 1 = 1"
				      : "e.verdict, 1, e.bytes FROM event e WHERE 1 = 1",
				      true, store->is_pg ? " GROUP BY 1, 2" : "", on_bucket, &sums);
	if (err == 0)
		err = find_durations(store, &query, &sums);
	out_init(&out, REPLY_MAX);
	put_head(&out, &sums);
	if (err == 0)
		err = put_rows(store, &query, &sums, column, limit, &out);
	if (err == 0)
		reply_out(request, 200, &out);
	else
		reply_store_error(request, store);
	out_finish(&out);
}
