/* store_ends.c - ends of connections complete the rows that are stored. */
#include "dashboard/store_ends.h"

#include <errno.h>
#include <inttypes.h>

enum { ENDED_KEPT = 20000 };    /* who follows is never so far behind, or reads the rows anyway */

static int take_row(void *arg, struct entry *entry)
{
	struct entry *row = arg;

	*row = *entry;
	entry->msg = entry->fields = NULL;
	return 0;
}

static int update(struct store *store, const struct entry *row)
{
	struct entry_parts parts;
	int err = entry_split(row, &parts);

	if (err == -EMSGSIZE)
		return -ENOENT;
	if (err < 0)
		return err;
	err = store_exec(store, "UPDATE event SET bytes = $1, duration = $2, rest = $3"
			 " WHERE id = $4", store_int(parts.bytes),
			 parts.duration_ms < 0 ? store_null() : store_int(parts.duration_ms),
			 store_text(((struct str){ parts.rest, parts.rest_len })),
			 store_int(row->id));
	entry_parts_finish(&parts);
	return err;
}

/* -ENOENT: there is no such row, or it was pruned. */
static int complete(struct store *store, struct end *end, struct entry *row)
{
	int err = store_find_open_event(store, end->link, take_row, row);

	if (err < 0)
		return err;
	row->link = end->link;
	if (!end_complete(end, row))
		return -ENOENT;
	err = update(store, row);
	if (err < 0)
		end->used = false;
	/* Earlier requests of the connection get no end of their own. */
	if (err == 0)
		err = store_exec(store, "UPDATE event SET link = NULL WHERE link = $1",
				 store_int(end->link));
	return err;
}

static int on_number(void *arg, const struct store_value *columns)
{
	*(int64_t *)arg = columns[0].number;
	return 0;
}

/* The streams of other dashboards on this store find them by numbers that rise. */
static int tell_others(struct store *store, struct out *ids, int64_t count)
{
	int64_t last = 0;
	int err;

	out_text(ids, "}");
	if (ids->failed)
		return -ENOMEM;
	err = store_run(store, "UPDATE meta SET value = value + $1 WHERE key = 'ended'"
			" RETURNING value", (const struct store_value[]){ store_int(count) }, 1,
			on_number, &last);
	if (err == 0)
		err = store_exec(store, "INSERT INTO ended(number, event) SELECT $1::bigint + a.n,"
				 " a.event FROM unnest($2::bigint[]) WITH ORDINALITY AS"
				 " a(event, n)", store_int(last - count),
				 store_text(((struct str){ ids->at, ids->len })));
	if (err == 0)
		err = store_exec(store, "DELETE FROM ended WHERE number <= $1",
				 store_int(last - ENDED_KEPT));
	return err;
}

static int complete_all(struct store *store, struct end *ends, size_t count, struct out *ids,
			store_entry_fn *on_row, void *arg)
{
	int64_t completed = 0;
	int err = store_lock_events(store);

	for (size_t i = 0; i < count && err == 0; i++) {
		struct entry row = { .id = 0 };

		if (ends[i].used)
			continue;
		err = complete(store, &ends[i], &row);
		if (err == 0) {
			out_print(ids, "%s%" PRId64, completed++ > 0 ? "," : "{", row.id);
			(void)on_row(arg, &row);
		}
		entry_finish(&row);
		if (err == -ENOENT)
			err = 0;
	}
	if (err == 0 && completed > 0 && store->is_pg)
		err = tell_others(store, ids, completed);
	return err;
}

int store_complete_events(struct store *store, struct end *ends, size_t count,
			  store_entry_fn *on_row, void *arg)
{
	struct out ids;
	int err;

	out_init(&ids, 32 * (count + 1));
	err = complete_all(store, ends, count, &ids, on_row, arg);
	out_finish(&ids);
	return err;
}
