/* store_events.h - events in and out of the store.
 *
 * What many events share, their subject, is stored once, with a text index over it and the number
 * of its events: a search looks among subjects first, and only then for events. */
#ifndef DASHBOARD_STORE_EVENTS_H
#define DASHBOARD_STORE_EVENTS_H

#include "dashboard/store.h"

/* Each may be a parameter, beside all others. */
enum { QUERY_WORDS_MAX = 16 };

/* What is asked for; empty texts and zeros restrict nothing. */
struct event_query {
	/* Words that must all be there, QUERY_WORDS_MAX at most; "in quotes" with blanks. */
	struct str q;
	struct str action, component, hostname, name;
	int64_t since_id, before_id;    /* ids above, below */
	int64_t from_ns, to_ns;         /* times from, before */
	int64_t limit, offset;
	bool oldest_first;
};

/* Inside a transaction: gives each its id, in order, and stores them; one that is too long keeps
 * the id 0. */
int store_add_events(struct store *store, struct entry *entries, size_t count);

/* entry is released after it; anything but 0 ends the query. */
typedef int store_entry_fn(void *arg, struct entry *entry);
int store_find_events(struct store *store, const struct event_query *query,
		      store_entry_fn *on_entry, void *arg);
int store_count_events(struct store *store, const struct event_query *query, int64_t *total);
int store_find_event(struct store *store, int64_t id, store_entry_fn *on_entry, void *arg);

/* The newest one with the link, whose connection has not ended yet; -ENOENT: there is none. */
int store_find_open_event(struct store *store, int64_t link, store_entry_fn *on_entry, void *arg);
/* PostgreSQL only: those that were completed, by the numbers of the completions. */
int store_find_ended_events(struct store *store, int64_t since, int64_t until,
			    store_entry_fn *on_entry, void *arg);

/* The id of the newest event that was ever stored. */
int store_last_id(struct store *store, int64_t *id);

/* Inside a transaction.  Writers take this first: nobody waits for another in a circle. */
int store_lock_events(struct store *store);

/* A number of this store, in which ids mean what they mean: drawn at its first start. */
int store_identity(struct store *store, int64_t *identity);

/* Inside a transaction.  Ids go on: nobody who follows them goes blind. */
int store_clear_events(struct store *store);

/* Own transactions: remove the oldest events above keep, so many at most.  *more: there are more
 * to remove. */
enum { STORE_PRUNED_AT_ONCE = 5000 };
int store_prune(struct store *store, int64_t keep, bool *more);

/* Subjects that have had no event for an hour go. */
int store_forget_subjects(struct store *store);

/* For store_sums.c: AND conditions on subjects (alias s) of the query. */
void sql_put_subject_terms(struct sql *sql, const struct store *store,
			   const struct event_query *query, struct out *scratch);
bool query_has_too_many_words(struct str q);
bool query_has_subject_terms(const struct event_query *query);
/* %text% for LIKE ... ESCAPE '\', in lower case. */
void sql_like(struct out *pattern, struct str text);
/* The same, and the times, on events (alias e). */
void sql_put_event_terms(struct sql *sql, const struct event_query *query);

#endif
