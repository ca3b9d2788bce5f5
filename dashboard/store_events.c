/* store_events.c - events in and out of the store, and out of it for good. */
#include "dashboard/store_events.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "dashboard/rfc3339.h"
#include "dashboard/store_subjects.h"

enum {
	/* Up to so many events of the subjects that were found, they are fetched subject by
	 * subject and sorted; above, going back in time finds enough of them soon. */
	FEW_EVENTS = 20000,
	/* Where no subject has the words, the rest of so many newest events is searched. */
	REST_SEARCHED = 20000,
};

#define UNUSED_SUBJECT_NS (3600 * NS_PER_S)

#define EVENT_COLUMNS "e.id, e.time, e.remote, s.json, e.rest"

static int on_number(void *arg, const struct store_value *columns)
{
	*(int64_t *)arg = columns[0].number;
	return 0;
}

/* count ids in a row; returns the first.  Holds other dashboards' writers until the commit, so that
 * ids become visible in their order. */
static int take_ids(struct store *store, size_t count, int64_t *first)
{
	int64_t last = 0;
	int err = store_run(store, "UPDATE meta SET value = value + $1 WHERE key = 'next_id'"
			    " RETURNING value",
			    (const struct store_value[]){ store_int((int64_t)count) }, 1,
			    on_number, &last);

	*first = last - (int64_t)count + 1;
	return err;
}

/* Those that are too long are left out, and keep the id 0. */
static int split_all(struct entry *entries, size_t count, struct entry_parts *parts,
		     size_t *good)
{
	*good = 0;
	for (size_t i = 0; i < count; i++) {
		int err = entry_split(&entries[i], &parts[i]);

		entries[i].id = err == 0;
		*good += err == 0;
		if (err < 0 && err != -EMSGSIZE)
			return err;
	}
	return 0;
}

static int add_all(struct store *store, struct entry *entries, size_t count,
		   struct entry_parts *parts, struct store_event_row *rows)
{
	int64_t next = 0;
	size_t good = 0, used = 0;
	int err = split_all(entries, count, parts, &good);

	if (err == 0)
		err = take_ids(store, good, &next);
	for (size_t i = 0; i < count && err == 0; i++) {
		if (entries[i].id == 0)
			continue;
		entries[i].id = next++;
		rows[used] = (struct store_event_row){
			.id = entries[i].id,
			.time_ns = entries[i].time_ns,
			.verdict = (int)entries[i].verdict,
			.bytes = parts[i].bytes,
			.duration_ms = parts[i].duration_ms,
			.link = entries[i].link,
			.remote = str_of(entries[i].remote),
			.rest = { parts[i].rest, parts[i].rest_len },
		};
		err = store_subject_id(store, &entries[i], &parts[i], &rows[used++].subject);
	}
	if (err == 0 && used > 0)
		err = store->ops->add_events(store, rows, used);
	return err == 0 ? store_subjects_flush(store) : err;
}

int store_add_events(struct store *store, struct entry *entries, size_t count)
{
	struct entry_parts *parts = calloc(count + 1, sizeof(*parts));
	struct store_event_row *rows = calloc(count + 1, sizeof(*rows));
	int err = parts && rows ? add_all(store, entries, count, parts, rows) : -ENOMEM;

	for (size_t i = 0; i < count && parts; i++)
		entry_parts_finish(&parts[i]);
	free(parts);
	free(rows);
	return err;
}

struct finding {
	store_entry_fn *on_entry;
	void *arg;
	int err;
	bool found;
};

static int on_event(void *arg, const struct store_value *columns)
{
	struct finding *finding = arg;
	struct entry entry = { .id = columns[0].number, .time_ns = columns[1].number };
	size_t len = columns[2].text.len;
	int stop;

	if (len >= sizeof(entry.remote))
		len = sizeof(entry.remote) - 1;
	memcpy(entry.remote, columns[2].text.at ? columns[2].text.at : "", len);
	finding->found = true;
	finding->err = entry_join(&entry, columns[3].text, columns[4].text);
	if (finding->err < 0)
		return 1;
	stop = finding->on_entry(finding->arg, &entry);
	entry_finish(&entry);
	return stop;
}

static int find(struct store *store, struct sql *sql, struct finding *finding)
{
	int err = sql_run(store, sql, on_event, finding);

	return err < 0 ? err : finding->err;
}

static void put_order(struct sql *sql, const struct event_query *query)
{
	sql_put(sql, query->oldest_first ? " ORDER BY e.id ASC LIMIT "
					 : " ORDER BY e.id DESC LIMIT ");
	sql_param(sql, store_int(query->limit));
	if (query->offset > 0) {
		sql_put(sql, " OFFSET ");
		sql_param(sql, store_int(query->offset));
	}
}

struct counts {
	int64_t subjects, events;
};

static int on_counts(void *arg, const struct store_value *columns)
{
	*(struct counts *)arg = (struct counts){ columns[0].number, columns[1].number };
	return 0;
}

/* How many subjects the query fits, and how many events they have. */
static int count_subjects(struct store *store, const struct event_query *query,
			  struct counts *counts)
{
	struct out scratch;
	struct sql sql;
	int err;

	out_init(&scratch, 8192);
	sql_init(&sql, "SELECT COUNT(*), CAST(COALESCE(SUM(s.count), 0) AS BIGINT) FROM subject s"
		 " WHERE 1 = 1");
	sql_put_subject_terms(&sql, store, query, &scratch);
	err = sql_run(store, &sql, on_counts, counts);
	sql_finish(&sql);
	out_finish(&scratch);
	return err;
}

/* No subject has the words: look into what each of the newest events has for itself, like ports,
 * flow ids and processes. */
static int find_in_rest(struct store *store, const struct event_query *query,
			struct finding *finding)
{
	struct event_query others = *query;
	int64_t last = 0;
	struct out pattern, scratch;
	struct sql sql;
	int err = store_last_id(store, &last);

	if (err < 0)
		return err;
	others.q = (struct str){ NULL, 0 };
	out_init(&pattern, 1024);
	out_init(&scratch, 8192);
	sql_like(&pattern, query->q);
	sql_init(&sql, "SELECT " EVENT_COLUMNS " FROM event e JOIN subject s ON s.id = e.subject"
		 " WHERE e.id > ");
	sql_param(&sql, store_int(last - REST_SEARCHED));
	sql_put(&sql, " AND LOWER(e.rest) LIKE ");
	sql_param(&sql, store_text(((struct str){ pattern.at, pattern.len })));
	sql_put(&sql, " ESCAPE '\\'");
	sql_put_event_terms(&sql, query);
	sql_put_subject_terms(&sql, store, &others, &scratch);
	put_order(&sql, query);
	err = pattern.failed ? -ENOMEM : find(store, &sql, finding);
	sql_finish(&sql);
	out_finish(&scratch);
	out_finish(&pattern);
	return err;
}

/* few: by the index of subjects; else from the newest event on. */
static int find_by_subject(struct store *store, const struct event_query *query, bool few,
			   struct finding *finding)
{
	const char *from = "SELECT " EVENT_COLUMNS " FROM event e"
			   " JOIN subject s ON s.id = e.subject WHERE e.id IN (SELECT e.id FROM"
			   " event e";
	struct out scratch;
	struct sql sql;
	int err;

	out_init(&scratch, 8192);
	sql_init(&sql, from);
	if (!store->is_pg)
		sql_put(&sql, few ? " INDEXED BY event_subject" : " NOT INDEXED");
	sql_put(&sql, " WHERE ");
	/* A unary plus keeps SQLite from taking the other way. */
	sql_put(&sql, store->is_pg || few ? "e.subject" : "+e.subject");
	sql_put(&sql, " IN (SELECT s.id FROM subject s WHERE 1 = 1");
	sql_put_subject_terms(&sql, store, query, &scratch);
	sql_put(&sql, ")");
	sql_put_event_terms(&sql, query);
	put_order(&sql, query);
	sql_put(&sql, query->oldest_first ? ") ORDER BY e.id ASC" : ") ORDER BY e.id DESC");
	err = find(store, &sql, finding);
	sql_finish(&sql);
	out_finish(&scratch);
	return err;
}

static int find_all(struct store *store, const struct event_query *query, struct finding *finding)
{
	struct sql sql;
	int err;

	sql_init(&sql, "SELECT " EVENT_COLUMNS " FROM event e JOIN subject s ON s.id = e.subject"
		 " WHERE 1 = 1");
	sql_put_event_terms(&sql, query);
	put_order(&sql, query);
	err = find(store, &sql, finding);
	sql_finish(&sql);
	return err;
}

int store_find_events(struct store *store, const struct event_query *query,
		      store_entry_fn *on_entry, void *arg)
{
	struct finding finding = { .on_entry = on_entry, .arg = arg };
	struct counts counts = { 0, 0 };
	int err;

	if (!query_has_subject_terms(query))
		return find_all(store, query, &finding);
	err = count_subjects(store, query, &counts);
	if (err < 0)
		return err;
	if (counts.events == 0)
		return query->q.len > 0 ? find_in_rest(store, query, &finding) : 0;
	return find_by_subject(store, query, counts.events <= FEW_EVENTS, &finding);
}

static int count_one(void *arg, struct entry *entry)
{
	(void)entry;
	++*(int64_t *)arg;
	return 0;
}

/* Events in a span of ids or times: their own index has all that is asked. */
static int count_span(struct store *store, const struct event_query *query, int64_t *total)
{
	struct out scratch;
	struct sql sql;
	int err;

	out_init(&scratch, 8192);
	sql_init(&sql, "SELECT COUNT(*) FROM event e WHERE 1 = 1");
	if (query_has_subject_terms(query)) {
		sql_put(&sql, " AND e.subject IN (SELECT s.id FROM subject s WHERE 1 = 1");
		sql_put_subject_terms(&sql, store, query, &scratch);
		sql_put(&sql, ")");
	}
	sql_put_event_terms(&sql, query);
	err = sql_run(store, &sql, on_number, total);
	sql_finish(&sql);
	out_finish(&scratch);
	return err;
}

int store_count_events(struct store *store, const struct event_query *query, int64_t *total)
{
	struct counts counts = { 0, 0 };
	int err;

	*total = 0;
	err = count_subjects(store, query, &counts);
	if (err == 0 && counts.events == 0 && query->q.len > 0) {
		struct event_query all = *query;
		struct finding finding = { .on_entry = count_one, .arg = total };

		all.limit = REST_SEARCHED;
		all.offset = 0;
		return find_in_rest(store, &all, &finding);
	}
	if (err < 0 || counts.events == 0)
		return err;
	if (query->since_id || query->before_id || query->from_ns || query->to_ns)
		return count_span(store, query, total);
	*total = counts.events;
	return 0;
}

/* One at most, by a number. */
static int find_one(struct store *store, const char *where, int64_t number, const char *behind,
		    store_entry_fn *on_entry, void *arg)
{
	struct finding finding = { .on_entry = on_entry, .arg = arg };
	struct sql sql;
	int err;

	sql_init(&sql, "SELECT " EVENT_COLUMNS " FROM event e JOIN subject s ON s.id = e.subject"
		 " WHERE ");
	sql_put(&sql, where);
	sql_param(&sql, store_int(number));
	sql_put(&sql, behind);
	err = find(store, &sql, &finding);
	sql_finish(&sql);
	if (err == 0 && !finding.found)
		return -ENOENT;
	return err;
}

int store_find_event(struct store *store, int64_t id, store_entry_fn *on_entry, void *arg)
{
	return find_one(store, "e.id = ", id, "", on_entry, arg);
}

int store_find_open_event(struct store *store, int64_t link, store_entry_fn *on_entry, void *arg)
{
	return find_one(store, "e.link = ", link, " ORDER BY e.id DESC LIMIT 1", on_entry, arg);
}

int store_find_ended_events(struct store *store, int64_t since, int64_t until,
			    store_entry_fn *on_entry, void *arg)
{
	struct finding finding = { .on_entry = on_entry, .arg = arg };
	struct sql sql;
	int err;

	sql_init(&sql, "SELECT " EVENT_COLUMNS " FROM ended d JOIN event e ON e.id = d.event"
		 " JOIN subject s ON s.id = e.subject WHERE d.number > ");
	sql_param(&sql, store_int(since));
	sql_put(&sql, " AND d.number <= ");
	sql_param(&sql, store_int(until));
	sql_put(&sql, " ORDER BY d.number");
	err = find(store, &sql, &finding);
	sql_finish(&sql);
	return err;
}

int store_last_id(struct store *store, int64_t *id)
{
	return store_number(store, "SELECT value FROM meta WHERE key = 'next_id'", id);
}

int store_identity(struct store *store, int64_t *identity)
{
	uint64_t drawn;
	int err;

	randombytes_buf(&drawn, sizeof(drawn));
	err = store_exec(store, "INSERT INTO meta(key, value) VALUES ('store_id', $1)"
			 " ON CONFLICT (key) DO NOTHING", store_int((int64_t)(drawn >> 2) + 1));
	return err < 0 ? err : store_number(store, "SELECT value FROM meta WHERE key = 'store_id'",
					    identity);
}

int store_lock_events(struct store *store)
{
	return store_run(store, "UPDATE meta SET value = value WHERE key = 'next_id'", NULL, 0,
			 NULL, NULL);
}

int store_clear_events(struct store *store)
{
	int err = store_lock_events(store);

	if (err == 0)
		err = store_run(store, "DELETE FROM event", NULL, 0, NULL, NULL);
	/* Other dashboards may know ids of subjects: they go when these have forgotten them. */
	if (err == 0)
		err = store_run(store, store->is_pg ? "UPDATE subject SET count = 0"
						    : "DELETE FROM subject", NULL, 0, NULL, NULL);
	store_subjects_free(store->subjects);
	store->subjects = NULL;
	return err;
}

int store_forget_subjects(struct store *store)
{
	return store_exec(store, "DELETE FROM subject WHERE count <= 0 AND last_seen < $1",
			  store_int(clock_now_ns() - UNUSED_SUBJECT_NS));
}

/* Remove the events below id, and subjects that have had none for a while. */
static int prune_below(struct store *store, int64_t id)
{
	int err = store_begin(store);

	if (err < 0)
		return err;
	err = store_lock_events(store);
	if (err == 0)
		err = store_exec(store,
				 "UPDATE subject SET count = count - (SELECT COUNT(*) FROM event e"
				 " WHERE e.subject = subject.id AND e.id < $1)"
				 " WHERE id IN (SELECT e.subject FROM event e WHERE e.id < $2)",
				 store_int(id), store_int(id));
	if (err == 0)
		err = store_exec(store, "DELETE FROM event WHERE id < $1", store_int(id));
	if (err == 0)
		err = store_forget_subjects(store);
	if (err == 0)
		return store_commit(store);
	store_rollback(store);
	return err;
}

int store_prune(struct store *store, int64_t keep, bool *more)
{
	int64_t oldest = 0, newest = 0, below;
	int err = store_number(store, "SELECT MIN(id) FROM event", &oldest);

	*more = false;
	if (err == 0)
		err = store_number(store, "SELECT MAX(id) FROM event", &newest);
	/* Ids have no gaps but the one that a clearing leaves below all of them. */
	if (err < 0 || newest == 0 || newest - oldest + 1 <= keep)
		return err;
	below = newest - keep + 1;
	if (below - oldest > STORE_PRUNED_AT_ONCE) {
		below = oldest + STORE_PRUNED_AT_ONCE;
		*more = true;
	}
	return prune_below(store, below);
}
