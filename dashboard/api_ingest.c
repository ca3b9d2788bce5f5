/* api_ingest.c - POST /api/v1/logs: what agents ship.
 * Posts that wait at the same time share one transaction; each is answered when it is committed, so
 * what was answered survives a kill. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "core/log.h"
#include "dashboard/api.h"
#include "dashboard/json_arena.h"
#include "dashboard/limits.h"
#include "dashboard/payload.h"
#include "dashboard/rfc3339.h"
#include "dashboard/route.h"
#include "dashboard/sse.h"
#include "dashboard/store_ends.h"
#include "dashboard/upkeep.h"

enum {
	POSTS_MAX = 64,                 /* in one transaction */
	/* And no further post when it has so much already. */
	BYTES_ENOUGH = 8 << 20, ENTRIES_ENOUGH = 4 * PAYLOAD_ITEMS_MAX,
};

struct post {
	struct request *request;
	size_t first, count;            /* its entries */
	size_t first_end, end_count;
	const char *error;              /* NULL: none */
	unsigned status;                /* of the error; 0: 400 */
};

struct transaction {
	struct post posts[POSTS_MAX];
	unsigned post_count;
	struct entry *entries;
	struct end *ends;
	struct entry *completed;        /* stored before, and completed now */
	size_t count, cap, end_count, end_cap, completed_count, bytes;
};

/* Room for one more; false: no memory. */
static bool grow(void **items, size_t count, size_t *cap, size_t size)
{
	size_t wanted = *cap ? *cap * 2 : 256;
	void *grown;

	if (count < *cap)
		return true;
	grown = realloc(*items, wanted * size);
	if (!grown)
		return false;
	*items = grown;
	*cap = wanted;
	return true;
}

static bool has_header(const struct request *request, const char *name, const char *word)
{
	const char *value = request_header(request, name);
	size_t len = strlen(word);

	return strncasecmp(value, word, len) == 0 && strchr("; \t", value[len]);
}

static bool take_end(struct transaction *t, struct post *post, const json_t *item)
{
	struct end end;
	bool good = grow((void **)&t->ends, t->end_count, &t->end_cap, sizeof(*t->ends));

	if (good && end_init(&end, item)) {
		t->ends[t->end_count++] = end;
		post->end_count++;
	} else if (good) {
		end_finish(&end);
	}
	return good;
}

/* The items of one post become entries or ends; others without a verdict are left out. */
static void take_items(struct transaction *t, struct post *post, const json_t *items)
{
	int64_t now = clock_now_ns();

	for (size_t i = 0; i < json_array_size(items); i++) {
		struct entry entry;

		if (!grow((void **)&t->entries, t->count, &t->cap, sizeof(*t->entries))) {
			post->error = "no memory";
			return;
		}
		if (entry_init(&entry, json_array_get(items, i), post->request->remote, now)) {
			t->entries[t->count++] = entry;
			post->count++;
			continue;
		}
		entry_finish(&entry);
		if (!take_end(t, post, json_array_get(items, i))) {
			post->error = "no memory";
			return;
		}
	}
}

static void take_post(struct transaction *t, struct request *request)
{
	struct post *post = &t->posts[t->post_count++];
	struct str body = { request->body.at ? request->body.at : "", request->body.len };
	struct out plain;
	json_t *items = NULL;
	bool lines;

	*post = (struct post){ .request = request, .first = t->count,
			       .first_end = t->end_count };
	out_init(&plain, PAYLOAD_PLAIN_MAX);
	if (has_header(request, "Content-Encoding", "gzip")) {
		if (!payload_inflate(body, &plain)) {
			post->error = "failed to read body";
			out_finish(&plain);
			return;
		}
		body = (struct str){ plain.at ? plain.at : "", plain.len };
	}
	t->bytes += body.len;
	lines = has_header(request, "Content-Type", "application/x-ndjson");
	if (payload_too_many(body, lines)) {
		post->status = 413;
		post->error = "too many events in one post: at most 10000, and 50000 objects and "
			      "arrays in all of them";
	} else {
		items = payload_parse(body, lines, &post->error);
	}
	out_finish(&plain);
	if (items)
		take_items(t, post, items);
	json_decref(items);
}

static int on_completed(void *arg, struct entry *row)
{
	struct transaction *t = arg;

	t->completed[t->completed_count++] = *row;
	row->msg = row->fields = NULL;
	return 0;
}

/* Ends whose rows came with them have found these already: those of before are in the store. */
static int store_ends(struct transaction *t, struct store *store)
{
	if (t->end_count == 0)
		return 0;
	t->completed = calloc(t->end_count, sizeof(*t->completed));
	if (!t->completed)
		return -ENOMEM;
	return store_complete_events(store, t->ends, t->end_count, on_completed, t);
}

static int store_all(struct transaction *t, struct store *store)
{
	int err;

	if (t->count == 0 && t->end_count == 0)
		return 0;
	ends_match(t->ends, t->end_count, t->entries, t->count);
	err = store_begin(store);
	if (err < 0)
		return err;
	err = t->count > 0 ? store_add_events(store, t->entries, t->count) : 0;
	if (err == 0)
		err = store_ends(t, store);
	if (err == 0)
		err = store_notify(store, "events");
	if (err == 0)
		return store_commit(store);
	store_rollback(store);
	return err;
}

static void answer(const struct transaction *t, const struct post *post)
{
	struct out out;
	size_t created = 0, completed = 0;

	out_init(&out, REPLY_MAX);
	for (size_t i = 0; i < post->count; i++)
		created += t->entries[post->first + i].id != 0;
	out_print(&out, "{\"created\":%zu,\"results\":[", created);
	for (size_t i = 0; i < post->count; i++) {
		int64_t id = t->entries[post->first + i].id;

		if (id != 0)
			out_print(&out, "%s{\"id\":%lld,\"status\":\"ok\"}",
				  out.at[out.len - 1] == '[' ? "" : ",", (long long)id);
	}
	for (size_t i = 0; i < post->end_count; i++)
		completed += t->ends[post->first_end + i].used;
	out_text(&out, "]");
	if (post->end_count > 0)
		out_print(&out, ",\"completed\":%zu,\"ignored\":%zu", completed,
			  post->end_count - completed);
	out_text(&out, "}");
	/* RFC 9110 12.5.3: an agent may pack what it sends next. */
	reply_header(post->request, "Accept-Encoding", "gzip");
	reply_out(post->request, 201, &out);
}

/* Where there may be other dashboards, follow.c does it for all of them. */
static void publish(const struct transaction *t, const struct store *store, struct hub *hub)
{
	if (store->is_pg)
		return;
	for (size_t i = 0; i < t->count; i++)
		if (t->entries[i].id != 0)
			streams_publish(hub, &t->entries[i]);
	for (size_t i = 0; i < t->completed_count; i++)
		streams_complete(hub, &t->completed[i]);
}

static void release(struct transaction *t)
{
	for (size_t i = 0; i < t->count; i++)
		entry_finish(&t->entries[i]);
	for (size_t i = 0; i < t->end_count; i++)
		end_finish(&t->ends[i]);
	for (size_t i = 0; i < t->completed_count; i++)
		entry_finish(&t->completed[i]);
	free(t->entries);
	free(t->ends);
	free(t->completed);
}

static void finish(struct transaction *t, struct store *store, int err)
{
	struct server *server = t->posts[0].request->server;
	size_t count = t->count;

	if (err < 0)
		log_error("store.error", log_str("err", store_error(store)),
			  log_uint("events_refused", t->count));
	else
		publish(t, store, server->hub);
	for (unsigned i = 0; i < t->post_count; i++) {
		struct post *post = &t->posts[i];

		if (post->error)
			reply_error(post->request, post->status ? post->status : 400, post->error);
		else if (err < 0 && post->count + post->end_count > 0)
			reply_error(post->request, 500, "store error");
		else
			answer(t, post);
		server_done(post->request);
	}
	release(t);
	json_arena_end();
	if (err == 0) {
		server->stored_since_prune += (int64_t)count;
		upkeep_tick(server, store);
	}
}

static void ingest(struct job *jobs, struct store *store)
{
	while (jobs) {
		struct transaction t = { .post_count = 0 };
		struct job *next;

		json_arena_begin();
		for (; jobs && t.post_count < POSTS_MAX && t.bytes < BYTES_ENOUGH &&
		     t.count < ENTRIES_ENOUGH; jobs = next) {
			next = jobs->next;
			take_post(&t, (struct request *)((char *)jobs -
							 offsetof(struct request, job)));
		}
		finish(&t, store, store_all(&t, store));
	}
}

void api_logs_add(struct request *request, struct store *store)
{
	const char *encoding = request_header(request, "Content-Encoding");

	(void)store;
	if (!limits_take(request->server->limits, request->source, NULL)) {
		reply_error(request, 429, "rate limited");
		reply_header(request, "Retry-After", "1");
	} else if ((!has_header(request, "Content-Type", "application/json") &&
		    !has_header(request, "Content-Type", "application/x-ndjson")) ||
		   (encoding[0] != '\0' && !has_header(request, "Content-Encoding", "gzip") &&
		    !has_header(request, "Content-Encoding", "identity"))) {
		reply_text(request, 415, NULL, "");
	} else if (request->body_too_long) {
		reply_error(request, 400, "failed to read body");
	} else {
		request->job.run_all = ingest;
		server_defer(request, request->server->writer);
	}
}
