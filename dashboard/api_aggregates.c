/* api_aggregates.c - sums over time and by name: GET /api/v1/aggregates. */
#include <errno.h>
#include <stdlib.h>

#include "dashboard/api.h"
#include "dashboard/rfc3339.h"
#include "dashboard/route.h"
#include "dashboard/store_sums.h"

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

static int on_oldest(void *arg, const struct store_value *columns)
{
	*(int64_t *)arg = columns[0].number;
	return 0;
}

/* From the range, or from the oldest event, to now, in the query too; the width rounds up, so that
 * now is in. */
static int find_span(struct store *store, struct event_query *query, struct sums *sums)
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
	query->from_ns = sums->from;
	query->to_ns = sums->to;
	return err;
}

/* SQLite would sort to group them, PostgreSQL would send each. */
static int find_durations(struct store *store, const struct event_query *query,
			  struct sums *sums)
{
	struct durations durations = { sums, calloc(BUCKETS, sizeof(*durations.slots)) };
	int err = -ENOMEM;

	if (durations.slots)
		err = store_sum_events(store, query, sums->width, store->is_pg
				       ? "e.duration, COUNT(*) FROM event e WHERE e.duration IS NOT"
					 " NULL"
				       : "e.duration, 1 FROM event e WHERE e.duration IS NOT NULL",
				       store->is_pg ? " GROUP BY 1, 2" : "", on_duration,
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

struct rows {
	struct out *out;
	int64_t count, limit;
	bool more;                      /* there is one above the limit */
};

static int on_row(void *arg, const struct store_value *columns)
{
	const int64_t counts[VERDICT_COUNT] = {
		[VERDICT_ALLOWED] = columns[SUMS_ALLOWED].number,
		[VERDICT_BLOCKED] = columns[SUMS_BLOCKED].number,
		[VERDICT_AUDIT] = columns[SUMS_AUDIT].number,
	};
	struct rows *rows = arg;
	struct out *out = rows->out;

	rows->more = rows->count++ == rows->limit;
	if (rows->more)
		return 1;
	out_text(out, rows->count > 1 ? ",{" : "{");
	out_key(out, "key");
	out_json_str(out, columns[SUMS_KEY].text);
	out_member_int(out, "total", columns[SUMS_TOTAL].number);
	put_counts(out, counts);
	out_member_int(out, "bytes", columns[SUMS_BYTES].number);
	out_member_time(out, "last_seen", columns[SUMS_LAST_SEEN].number);
	out_put(out, "}", 1);
	return out->failed;
}

static int put_rows(struct store *store, struct sums_query *query, struct out *out)
{
	struct rows rows = { .out = out, .limit = query->limit };
	int err;

	query->limit++;
	out_text(out, ",\"rows\":[");
	err = store_sum_by_key(store, query, on_row, &rows);
	out_text(out, rows.more ? "],\"more\":true}" : "],\"more\":false}");
	return err;
}

static bool read_dimension(struct request *request, struct sums_query *query)
{
	struct str dimension = request_arg(request, "dimension");

	if (dimension.len == 0 || str_equal(dimension, STR("domain")))
		query->by = SUMS_BY_DOMAIN;
	else if (str_equal(dimension, STR("ip")))
		query->by = SUMS_BY_IP;
	else if (str_equal(dimension, STR("client")))
		query->by = SUMS_BY_CLIENT;
	else
		reply_error(request, 400, "dimension must be one of domain, ip, client");
	return request->reply.status == 0;
}

static void refuse_order(struct request *request)
{
	struct out out;

	out_init(&out, 256);
	out_text(&out, "order must be one of ");
	for (unsigned i = 0; i < SUMS_COLUMN_COUNT; i++)
		out_print(&out, "%s%s", i > 0 ? ", " : "", sums_column_word(i));
	reply_error(request, 400, out.failed ? "order is not known" : out.at);
	out_finish(&out);
}

/* Names from a to z, of all else the most and the newest first, unless it is said. */
static bool read_order(struct request *request, struct sums_query *query)
{
	struct str order = request_arg(request, "order");
	struct str direction = request_arg(request, "direction");

	query->order = SUMS_TOTAL;
	if (order.len > 0 && !sums_column_parse(order, &query->order)) {
		refuse_order(request);
		return false;
	}
	query->ascending = query->order == SUMS_KEY;
	if (direction.len == 0)
		return true;
	query->ascending = str_equal(direction, STR("asc"));
	if (query->ascending || str_equal(direction, STR("desc")))
		return true;
	reply_error(request, 400, "direction must be one of asc, desc");
	return false;
}

void api_aggregates(struct request *request, struct store *store)
{
	struct sums_query query = { .limit = request_number(request, "limit", 1, ROWS_MAX, ROWS) };
	struct sums sums = { .from = 0 };
	struct out out;
	int err;

	if (!read_dimension(request, &query) || !read_order(request, &query) ||
	    !api_event_query(request, &query.events) || !api_range(request, &query.events))
		return;
	err = find_span(store, &query.events, &sums);
	if (err == 0)
		err = store_sum_events(store, &query.events, sums.width,
				       store->is_pg
				       ? "e.verdict, COUNT(*), " STORE_PG_SUM_BYTES
					 " FROM event e WHERE 1 = 1"
				       : "e.verdict, 1, e.bytes FROM event e WHERE 1 = 1",
				       store->is_pg ? " GROUP BY 1, 2" : "", on_bucket, &sums);
	if (err == 0)
		err = find_durations(store, &query.events, &sums);
	out_init(&out, REPLY_MAX);
	put_head(&out, &sums);
	if (err == 0)
		err = put_rows(store, &query, &out);
	if (err == 0)
		reply_out(request, 200, &out);
	else
		reply_store_error(request, store);
	out_finish(&out);
}
