/* store_query.c - what a query asks for, as SQL. */
#include "dashboard/store_events.h"

#include <assert.h>
#include <stdlib.h>

enum { TRIGRAM = 3 };

bool query_has_subject_terms(const struct event_query *query)
{
	return query->q.len > 0 || query->action.len > 0 || query->component.len > 0 ||
	       query->hostname.len > 0 || query->name.len > 0;
}

/* The next word of q, or what stands "in quotes". */
static bool next_term(struct str *q, struct str *term)
{
	size_t len = 0;
	char end = ' ';

	while (q->len > 0 && q->at[0] == ' ') {
		q->at++;
		q->len--;
	}
	if (q->len == 0)
		return false;
	if (q->at[0] == '"') {
		end = '"';
		q->at++;
		q->len--;
	}
	while (len < q->len && q->at[len] != end)
		len++;
	*term = (struct str){ q->at, len };
	if (len < q->len)
		len++;          /* the quote or blank */
	q->at += len;
	q->len -= len;
	return true;
}

bool query_has_too_many_words(struct str q)
{
	struct str term;
	unsigned count = 0;

	while (next_term(&q, &term))
		count += term.len > 0;
	return count > QUERY_WORDS_MAX;
}

static size_t characters(struct str text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += ((unsigned char)text.at[i] & 0xc0) != 0x80;
	return count;
}

void sql_like(struct out *pattern, struct str text)
{
	out_put(pattern, "%", 1);
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i] ? ascii_lower(text.at[i]) : '\x01';

		if (strchr("%_\\", c))
			out_put(pattern, "\\", 1);
		out_put(pattern, &c, 1);
	}
	out_put(pattern, "%", 1);
}

/* A part of scratch that stays where it is: its room was made at once. */
static struct str since(const struct out *scratch, size_t begin)
{
	return (struct str){ scratch->at + begin, scratch->len - begin };
}

static void put_like(struct sql *sql, struct str term, struct out *scratch)
{
	size_t begin = scratch->len;

	sql_like(scratch, term);
	sql_put(sql, " AND s.search LIKE ");
	sql_param(sql, store_text(since(scratch, begin)));
	sql_put(sql, " ESCAPE '\\'");
}

/* For FTS5: every term as a phrase, quotes in it doubled. */
static void put_phrase(struct out *match, bool first, struct str term)
{
	out_text(match, first ? "\"" : " AND \"");
	for (size_t i = 0; i < term.len; i++) {
		/* The end of a text to FTS5; no name has it, nor what stands for it. */
		char c = term.at[i] ? term.at[i] : '\x01';

		if (c == '"')
			out_put(match, "\"", 1);
		out_put(match, &c, 1);
	}
	out_put(match, "\"", 1);
}

static void put_terms(struct sql *sql, const struct store *store, struct str q,
		      struct out *scratch)
{
	struct str terms[QUERY_WORDS_MAX];
	size_t begin = scratch->len;
	unsigned count = 0, indexed = 0;

	assert(!query_has_too_many_words(q));
	while (count < QUERY_WORDS_MAX && next_term(&q, &terms[count]))
		count += terms[count].len > 0;
	for (unsigned i = 0; i < count && !store->is_pg; i++) {
		if (characters(terms[i]) < TRIGRAM)
			continue;
		put_phrase(scratch, indexed++ == 0, terms[i]);
	}
	if (indexed > 0) {
		sql_put(sql, " AND s.id IN (SELECT rowid FROM subject_search"
			" WHERE subject_search MATCH ");
		sql_param(sql, store_text(since(scratch, begin)));
		sql_put(sql, ")");
	}
	for (unsigned i = 0; i < count; i++)
		if (store->is_pg || characters(terms[i]) < TRIGRAM)
			put_like(sql, terms[i], scratch);
}

static void put_equal(struct sql *sql, const char *column, struct str text)
{
	if (text.len == 0)
		return;
	sql_put(sql, " AND ");
	sql_put(sql, column);
	sql_put(sql, " = ");
	sql_param(sql, store_text(text));
}

void sql_put_subject_terms(struct sql *sql, const struct store *store,
			   const struct event_query *query, struct out *scratch)
{
	enum verdict verdict;

	/* Parameters point into scratch, so it may not move while they are put there. */
	if (!scratch->at) {
		size_t max = scratch->max;
		char *room = calloc(1, max + 1);

		if (room)
			*scratch = (struct out){ .at = room, .cap = max + 1, .max = max };
		else
			sql->text.failed = true;
	}
	if (query->q.len > 0)
		put_terms(sql, store, query->q, scratch);
	if (scratch->failed)
		sql->text.failed = true;
	if (query->action.len > 0) {
		sql_put(sql, " AND s.verdict = ");
		sql_param(sql, store_int(verdict_parse(query->action, &verdict) ? (int)verdict
										: -1));
	}
	put_equal(sql, "s.component", query->component);
	put_equal(sql, "s.hostname", query->hostname);
	put_equal(sql, "s.name", query->name);
}

void sql_put_event_terms(struct sql *sql, const struct event_query *query)
{
	const struct {
		const char *text;
		int64_t number;
	} terms[] = {
		{ " AND e.id > ", query->since_id },
		{ " AND e.id < ", query->before_id },
		{ " AND e.time >= ", query->from_ns },
		{ " AND e.time < ", query->to_ns },
	};

	for (size_t i = 0; i < ARRAY_LEN(terms); i++) {
		if (terms[i].number == 0)
			continue;
		sql_put(sql, terms[i].text);
		sql_param(sql, store_int(terms[i].number));
	}
}
