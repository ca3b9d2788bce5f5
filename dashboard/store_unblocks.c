/* store_unblocks.c - unblocks in the store.
 *
 *      pending -> applied | failed | cancelled | expired;  applied | failed -> undone
 *
 * A request for all hosts stays pending until every instance that was seen of late, and does what
 * is asked from afar, has acknowledged it; an agent that does not say who it is completes it for
 * all, as generation B has it. */
#include "dashboard/store_unblocks.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "dashboard/rfc3339.h"

#define SEEN_OF_LATE_NS (300 * NS_PER_S)
/* "Once" is meant now: whoever fetches it later does not open anything.  As long as an agent leaves
 * it open at most. */
#define ONCE_NS (600 * NS_PER_S)

static int on_text(void *arg, const struct store_value *columns)
{
	struct out *out = arg;

	out_put(out, columns[0].text.at, columns[0].text.len);
	return 1;
}

static int on_number(void *arg, const struct store_value *columns)
{
	*(int64_t *)arg = columns[0].number;
	return 0;
}

static void new_id(char id[UNBLOCK_ID_MAX])
{
	unsigned char bytes[8];

	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(id, UNBLOCK_ID_MAX, bytes, sizeof(bytes));
}

/* The pending one that says the very same; "" when there is none.  What ends at a time of its own
 * is like no other; "once" without one is like the last, and pending for longer. */
static int find_same(struct store *store, const struct unblock *unblock, char id[UNBLOCK_ID_MAX])
{
	struct out found;
	int err;

	id[0] = '\0';
	if (unblock->expires_ns > 0)
		return 0;
	out_init(&found, 64);
	err = store_run(store, "SELECT id FROM unblock WHERE state = 'pending' AND type = $1"
			" AND LOWER(value) = LOWER($2) AND LOWER(target) = LOWER($3)"
			" AND remove = $4 AND undoes = $5 AND once = $6 AND expires <= $7",
			(const struct store_value[]){
				store_text(unblock->type), store_text(unblock->value),
				store_text(unblock->target), store_int(unblock->remove),
				store_text(unblock->undoes), store_int(unblock->once),
				store_int(unblock->once ? clock_now_ns() + ONCE_NS : 0) },
			7, on_text, &found);
	text_copy(id, UNBLOCK_ID_MAX, found.at ? found.at : "");
	out_finish(&found);
	return err;
}

static int64_t end_of(const struct unblock *unblock)
{
	return unblock->once && unblock->expires_ns == 0 ? clock_now_ns() + ONCE_NS
							 : unblock->expires_ns;
}

int unblock_add(struct store *store, const struct unblock *unblock, char id[UNBLOCK_ID_MAX])
{
	int64_t pending = 0;
	int err = find_same(store, unblock, id);

	if (err == 0 && id[0] != '\0' && unblock->once)
		err = store_exec(store, "UPDATE unblock SET expires = $1 WHERE id = $2",
				 store_int(end_of(unblock)), store_text(str_of(id)));
	if (err < 0 || id[0] != '\0')
		return err;
	err = store_number(store, "SELECT COUNT(*) FROM unblock WHERE state = 'pending'", &pending);
	if (err < 0)
		return err;
	if (pending >= UNBLOCK_PENDING_MAX)
		return -EAGAIN;
	new_id(id);
	return store_exec(store,
			  "INSERT INTO unblock(id, type, value, target, state, remove, once,"
			  " created, expires, completed, who, reason, error, policy_hash, acked_by,"
			  " undoes) VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8, 0, $9, $10,"
			  " '', '', '', $11)",
			  store_text(str_of(id)), store_text(unblock->type),
			  store_text(unblock->value), store_text(unblock->target),
			  store_int(unblock->remove), store_int(unblock->once),
			  store_int(clock_now_ns()), store_int(end_of(unblock)),
			  store_text(unblock->who), store_text(unblock->reason),
			  store_text(unblock->undoes));
}

/* What an acknowledgement finds. */
struct found {
	bool there, for_all;
	struct out acked_by, error, undoes;
};

static int on_pending(void *arg, const struct store_value *columns)
{
	struct found *found = arg;

	found->there = true;
	found->for_all = columns[0].text.len == 0;
	out_put(&found->acked_by, columns[1].text.at, columns[1].text.len);
	out_put(&found->error, columns[2].text.at, columns[2].text.len);
	out_put(&found->undoes, columns[3].text.at, columns[3].text.len);
	return 1;
}

/* An instance that says it does nothing from afar (api_fleet.c writes it first). */
#define TAKES_UNBLOCKS "json NOT LIKE '{\"unblocks\":\"off\"%'"

/* Instances seen of late that would do it and are not in acked_by, which has each between two
 * semicolons. */
static int count_missing(struct store *store, const struct out *acked_by, int64_t *missing)
{
	*missing = 0;
	return store_run(store, "SELECT COUNT(*) FROM instance WHERE last_seen > $1"
			 " AND " TAKES_UNBLOCKS
			 " AND REPLACE(LOWER($2), ';' || LOWER(hostname) || ';', '') = LOWER($3)",
			 (const struct store_value[]){
				 store_int(clock_now_ns() - SEEN_OF_LATE_NS),
				 store_text(((struct str){ acked_by->at, acked_by->len })),
				 store_text(((struct str){ acked_by->at, acked_by->len })) },
			 3, on_number, missing);
}

static int complete(struct store *store, const struct unblock_ack *ack, const struct found *found)
{
	bool failed = found->error.len > 0;
	struct str undoes = { found->undoes.at, found->undoes.len };
	int err = store_exec(store, "UPDATE unblock SET state = $1, completed = $2 WHERE id = $3",
			     store_text(failed ? STR("failed") : STR("applied")),
			     store_int(clock_now_ns()), store_text(ack->id));

	if (err == 0 && undoes.len > 0 && !failed)
		err = store_exec(store, "UPDATE unblock SET state = 'undone' WHERE id = $1"
				 " AND state IN ('applied', 'failed')", store_text(undoes));
	return err;
}

static int take_ack(struct store *store, const struct unblock_ack *ack, struct found *found)
{
	int64_t missing = 0;
	int err;

	if (!found->there)
		return -ENOENT;
	if (found->acked_by.len == 0)
		out_put(&found->acked_by, ";", 1);
	out_put(&found->acked_by, ack->hostname.at ? ack->hostname.at : "", ack->hostname.len);
	out_put(&found->acked_by, ";", 1);
	if (ack->error.len > 0) {
		if (found->error.len > 0)
			out_text(&found->error, "; ");
		out_put(&found->error, ack->error.at, ack->error.len);
	}
	if (found->acked_by.failed || found->error.failed)
		return -EIO;
	err = store_exec(store, "UPDATE unblock SET acked_by = $1, error = $2, policy_hash = $3"
			 " WHERE id = $4",
			 store_text(((struct str){ found->acked_by.at, found->acked_by.len })),
			 store_text(((struct str){ found->error.at, found->error.len })),
			 store_text(ack->policy_hash), store_text(ack->id));
	if (err == 0 && found->for_all && ack->hostname.len > 0)
		err = count_missing(store, &found->acked_by, &missing);
	return err < 0 || missing > 0 ? err : complete(store, ack, found);
}

int unblock_ack(struct store *store, const struct unblock_ack *ack)
{
	struct found found = { .there = false };
	int err;

	out_init(&found.acked_by, 1 << 20);
	out_init(&found.error, 64 << 10);
	out_init(&found.undoes, 64);
	err = store_run(store, "SELECT target, acked_by, error, undoes FROM unblock"
			" WHERE state = 'pending' AND id = $1",
			(const struct store_value[]){ store_text(ack->id) }, 1, on_pending, &found);
	if (err == 0)
		err = take_ack(store, ack, &found);
	out_finish(&found.acked_by);
	out_finish(&found.error);
	out_finish(&found.undoes);
	return err;
}

struct undoing {
	struct store *store;
	bool there, remove;
	struct out state, type, value, target;
};

static int on_undone(void *arg, const struct store_value *columns)
{
	struct undoing *undoing = arg;
	struct out *outs[] = { &undoing->state, &undoing->type, &undoing->value,
			       &undoing->target };

	undoing->there = true;
	undoing->remove = columns[4].number != 0;
	for (size_t i = 0; i < ARRAY_LEN(outs); i++)
		out_put(outs[i], columns[i].text.at, columns[i].text.len);
	return 1;
}

static struct str text_of(const struct out *out)
{
	return (struct str){ out->at, out->len };
}

/* Also a pending one may be in force, where an agent has fetched it and others have not yet, and
 * a failed one where only another agent failed: an agent without it has nothing to do. */
static int undo_found(struct store *store, const struct undoing *undoing, struct str id,
		      struct str who, char undo[UNBLOCK_ID_MAX])
{
	const struct unblock removal = {
		.type = text_of(&undoing->type), .value = text_of(&undoing->value),
		.target = text_of(&undoing->target), .who = who, .undoes = id, .remove = true,
	};
	struct str state = text_of(&undoing->state);
	int err;

	undo[0] = '\0';
	if (!undoing->there)
		return -ENOENT;
	if (str_equal(state, STR("pending"))) {
		err = store_exec(store, "UPDATE unblock SET state = 'cancelled', completed = $1"
				 " WHERE id = $2", store_int(clock_now_ns()), store_text(id));
		if (err < 0 || undoing->remove)
			return err;
	} else if (!str_equal(state, STR("applied")) && !str_equal(state, STR("failed"))) {
		return -EALREADY;
	}
	return unblock_add(store, &removal, undo);
}

int unblock_undo(struct store *store, struct str id, struct str who, char undo[UNBLOCK_ID_MAX])
{
	struct undoing undoing = { .there = false };
	struct out *outs[] = { &undoing.state, &undoing.type, &undoing.value, &undoing.target };
	int err;

	for (size_t i = 0; i < ARRAY_LEN(outs); i++)
		out_init(outs[i], 8192);
	/* A removal is undone by a new request. */
	err = store_run(store, "SELECT state, type, value, target, remove FROM unblock"
			" WHERE id = $1 AND (remove = 0 OR state = 'pending')",
			(const struct store_value[]){ store_text(id) }, 1, on_undone, &undoing);
	if (err == 0)
		err = undo_found(store, &undoing, id, who, undo);
	for (size_t i = 0; i < ARRAY_LEN(outs); i++)
		out_finish(outs[i]);
	return err;
}

/* An instance that was waited for has gone, or does nothing from afar any more: what the others
 * have acknowledged is done. */
static int settle(struct store *store, int64_t now)
{
	int err = store_exec(store,
			     "UPDATE unblock SET completed = $1, state ="
			     " CASE WHEN error = '' THEN 'applied' ELSE 'failed' END"
			     " WHERE state = 'pending' AND target = '' AND acked_by <> ''"
			     " AND NOT EXISTS (SELECT 1 FROM instance WHERE last_seen > $2"
			     " AND " TAKES_UNBLOCKS
			     " AND REPLACE(LOWER(unblock.acked_by), ';' || LOWER(hostname) || ';',"
			     " '') = LOWER(unblock.acked_by))",
			     store_int(now), store_int(now - SEEN_OF_LATE_NS));

	if (err < 0)
		return err;
	return store_exec(store, "UPDATE unblock SET state = 'undone'"
			  " WHERE state IN ('applied', 'failed') AND id IN (SELECT undoes"
			  " FROM unblock WHERE state = 'applied' AND undoes <> '')");
}

int unblock_expire(struct store *store)
{
	int64_t now = clock_now_ns();
	int err = settle(store, now);

	if (err < 0)
		return err;
	err = store_exec(store, "UPDATE unblock SET state = 'expired', completed = $1"
			     " WHERE state = 'pending' AND expires > 0 AND expires <= $2",
			     store_int(now), store_int(now));

	if (err < 0)
		return err;
	return store_exec(store, "DELETE FROM unblock WHERE state <> 'pending' AND id NOT IN"
			  " (SELECT id FROM unblock WHERE state <> 'pending'"
			  " ORDER BY completed DESC LIMIT $1)", store_int(UNBLOCK_KEPT));
}

#define COLUMNS "id, type, value, target, state, remove, once, created, expires, completed, who," \
		" reason, error, policy_hash, acked_by, undoes"

struct printing {
	struct out *out;
	const struct unblock_view *view;        /* NULL: completed ones */
	bool some;
};

static bool has_acked(struct str acked_by, struct str hostname)
{
	while (acked_by.len > 0) {
		const char *end = memchr(acked_by.at, ';', acked_by.len);
		size_t len = end ? (size_t)(end - acked_by.at) : acked_by.len;

		if (len > 0 && str_equal_nocase((struct str){ acked_by.at, len }, hostname))
			return true;
		acked_by.at += len + (end ? 1 : 0);
		acked_by.len -= len + (end ? 1 : 0);
	}
	return false;
}

static void member_flag(struct out *out, const char *key, bool flag)
{
	if (!flag)
		return;
	out_key(out, key);
	out_text(out, "true");
}

static bool is_for(const struct unblock_view *view, const struct store_value *columns)
{
	struct str target = columns[3].text;

	if (view->plain_only && (columns[5].number || columns[6].number || columns[8].number))
		return false;
	if (view->all)
		return true;
	/* Whoever does not say which host it is gets nobody else's. */
	return (target.len == 0 || str_equal_nocase(target, view->hostname)) &&
	       !has_acked(columns[14].text, view->hostname);
}

static int on_print(void *arg, const struct store_value *columns)
{
	struct printing *printing = arg;
	struct out *out = printing->out;
	bool pending = printing->view != NULL, over;

	if (pending && !is_for(printing->view, columns))
		return 0;
	over = !pending && columns[8].number > 0 && columns[8].number <= clock_now_ns() &&
	       str_equal(columns[4].text, STR("applied"));
	out_text(out, printing->some ? ",{" : "{");
	printing->some = true;
	out_member(out, "id", columns[0].text);
	out_member(out, "type", columns[1].text);
	out_member(out, "value", columns[2].text);
	out_key(out, "target_hostname");
	out_json_str(out, columns[3].text);
	out_member_time(out, "created_at", columns[7].number);
	if (!pending) {
		out_member_time(out, "completed_at", columns[9].number);
		out_member(out, "status", over ? STR("expired") : columns[4].text);
	}
	out_member_time(out, "expires_at", columns[8].number);
	member_flag(out, "once", columns[6].number != 0);
	member_flag(out, "remove", columns[5].number != 0);
	out_member(out, "who", columns[10].text);
	out_member(out, "reason", columns[11].text);
	out_member(out, "error", columns[12].text);
	out_member(out, "policy_hash", columns[13].text);
	out_member(out, "undoes", columns[15].text);
	out_put(out, "}", 1);
	return 0;
}

int unblock_pending(struct store *store, const struct unblock_view *view, struct out *out)
{
	struct printing printing = { out, view, false };
	int err;

	out_put(out, "[", 1);
	err = store_run(store, "SELECT " COLUMNS " FROM unblock WHERE state = 'pending'"
			" AND (expires = 0 OR expires > $1) ORDER BY created, id",
			(const struct store_value[]){ store_int(clock_now_ns()) }, 1, on_print,
			&printing);
	out_put(out, "]", 1);
	return err;
}

int unblock_completed(struct store *store, struct out *out)
{
	struct printing printing = { out, NULL, false };
	int err;

	out_put(out, "[", 1);
	err = store_run(store, "SELECT " COLUMNS " FROM unblock WHERE state <> 'pending'"
			" ORDER BY completed DESC, id LIMIT $1",
			(const struct store_value[]){ store_int(UNBLOCK_COMPLETED_SHOWN) }, 1,
			on_print, &printing);
	out_put(out, "]", 1);
	return err;
}
