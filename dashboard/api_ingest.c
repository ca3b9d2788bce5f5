/* api_ingest.c - POST /api/v1/logs: what agents ship.
 * Posts that wait at the same time share one transaction; each is answered when it is committed, so
 * what was answered survives a kill. */
#include <stdlib.h>
#include <strings.h>

#include "core/log.h"
#include "dashboard/api.h"
#include "dashboard/limits.h"
#include "dashboard/payload.h"
#include "dashboard/rfc3339.h"
#include "dashboard/route.h"
#include "dashboard/sse.h"
#include "dashboard/upkeep.h"

enum {
	POSTS_MAX = 64,                 /* in one transaction */
	BYTES_ENOUGH = 8 << 20,         /* and no further post when it has so many already */
};

struct post {
	struct request *request;
	size_t first, count;            /* its entries */
	const char *error;              /* NULL: none */
};

struct transaction {
	struct post posts[POSTS_MAX];
	unsigned post_count;
	struct entry *entries;
	size_t count, cap, bytes;
};

static bool grow(struct transaction *t)
{
	size_t cap = t->cap ? t->cap * 2 : 256;
	struct entry *entries;

	if (t->count < t->cap)
		return true;
	entries = realloc(t->entries, cap * sizeof(*entries));
	if (!entries)
		return false;
	t->entries = entries;
	t->cap = cap;
	return true;
}

static bool has_header(const struct request *request, const char *name, const char *word)
{
	const char *value = request_header(request, name);
	size_t len = strlen(word);

	return strncasecmp(value, word, len) == 0 && strchr("; \t", value[len]);
}

/* The items of one post become entries; those without a verdict are left out. */
static void take_items(struct transaction *t, struct post *post, const json_t *items)
{
	int64_t now = clock_now_ns();

	for (size_t i = 0; i < json_array_size(items); i++) {
		struct entry entry;

		if (!grow(t)) {
			post->error = "no memory";
			return;
		}
		if (entry_init(&entry, json_array_get(items, i), post->request->remote, now)) {
			t->entries[t->count++] = entry;
			post->count++;
		} else {
			entry_finish(&entry);
		}
	}
}

static void take_post(struct transaction *t, struct request *request)
{
	struct post *post = &t->posts[t->post_count++];
	struct str body = { request->body.at ? request->body.at : "", request->body.len };
	struct out plain;
	json_t *items;

	*post = (struct post){ .request = request, .first = t->count };
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
	items = payload_parse(body, has_header(request, "Content-Type", "application/x-ndjson"),
			      &post->error);
	out_finish(&plain);
	if (items)
		take_items(t, post, items);
	json_decref(items);
}

static int store_all(struct transaction *t, struct store *store)
{
	int err;

	if (t->count == 0)
		return 0;
	err = store_begin(store);
	if (err < 0)
		return err;
	err = store_add_events(store, t->entries, t->count);
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
	size_t created = 0;

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
	out_text(&out, "]}");
	/* RFC 9110 12.5.3: an agent may pack what it sends next. */
	reply_header(post->request, "Accept-Encoding", "gzip");
	reply_out(post->request, 201, &out);
}

static void finish(struct transaction *t, struct store *store, int err)
{
	struct server *server = t->posts[0].request->server;

	if (err < 0)
		log_error("store.error", log_str("err", store_error(store)),
			  log_uint("events_refused", t->count));
	for (size_t i = 0; i < t->count && err == 0 && !store->is_pg; i++)
		if (t->entries[i].id != 0)
			streams_publish(server->hub, &t->entries[i]);
	for (unsigned i = 0; i < t->post_count; i++) {
		struct post *post = &t->posts[i];

		if (post->error)
			reply_error(post->request, 400, post->error);
		else if (err < 0 && post->count > 0)
			reply_error(post->request, 500, "store error");
		else
			answer(t, post);
		server_done(post->request);
	}
	for (size_t i = 0; i < t->count; i++)
		entry_finish(&t->entries[i]);
	free(t->entries);
	if (err == 0)
		upkeep_tick(server, store);
}

static void ingest(struct job *jobs, struct store *store)
{
	while (jobs) {
		struct transaction t = { .post_count = 0 };
		struct job *next;

		for (; jobs && t.post_count < POSTS_MAX && t.bytes < BYTES_ENOUGH; jobs = next) {
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
