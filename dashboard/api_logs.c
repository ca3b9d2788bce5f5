/* api_logs.c - events in and out: /api/v1/logs, /api/v1/events. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "core/log.h"
#include "dashboard/api.h"
#include "dashboard/payload.h"
#include "dashboard/rfc3339.h"
#include "dashboard/route.h"
#include "dashboard/sse.h"
#include "dashboard/upkeep.h"

enum { ANSWER_MAX = 24 << 20, Q_MAX = 200, BROWSE_ROWS = 50 };

/* Listing: until the answer is long enough for anybody. */
struct listing {
	struct out out;
	bool some;
};

static int on_listed(void *arg, struct entry *entry)
{
	struct listing *listing = arg;

	if (listing->some)
		out_put(&listing->out, ",", 1);
	listing->some = true;
	entry_json(entry, &listing->out);
	return listing->out.len > ANSWER_MAX;
}

bool api_event_query(struct request *request, struct event_query *query)
{
	struct str from = request_arg(request, "from"), to = request_arg(request, "to");

	*query = (struct event_query){
		.q = request_arg(request, "q"),
		.action = request_arg(request, "action"),
		.component = request_arg(request, "component"),
		.hostname = request_arg(request, "hostname"),
		.name = request_arg(request, "name"),
		.since_id = request_number(request, "since_id", 0, INT64_MAX, 0),
		.before_id = request_number(request, "before_id", 1, INT64_MAX, 0),
	};
	if (query->q.len > Q_MAX) {
		reply_error(request, 400, "q is too long: at most 200 bytes");
		return false;
	}
	if (query_has_too_many_words(query->q)) {
		reply_error(request, 400, "q has too many words: at most 16");
		return false;
	}
	if ((from.len > 0 && !rfc3339_parse(from, &query->from_ns)) ||
	    (to.len > 0 && !rfc3339_parse(to, &query->to_ns))) {
		reply_error(request, 400,
			    "from and to are times like 2026-07-05T00:25:09Z");
		return false;
	}
	return true;
}

void api_logs_list(struct request *request, struct store *store)
{
	int64_t limit = request->server->options->read_limit;
	struct event_query query;
	struct listing listing = { .some = false };

	if (!api_event_query(request, &query))
		return;
	query.limit = request_number(request, "limit", 1, 5000, limit);
	out_init(&listing.out, REPLY_MAX);
	out_put(&listing.out, "[", 1);
	if (store_find_events(store, &query, on_listed, &listing) < 0) {
		out_finish(&listing.out);
		reply_store_error(request, store);
		return;
	}
	out_put(&listing.out, "]", 1);
	reply_out(request, 200, &listing.out);
}

void api_logs_browse(struct request *request, struct store *store)
{
	struct event_query query;
	struct listing listing = { .some = false };
	int64_t total = 0;

	if (!api_event_query(request, &query) || !api_range(request, &query))
		return;
	query.limit = request_number(request, "limit", 1, 1000, BROWSE_ROWS);
	query.offset = request_number(request, "offset", 0, INT32_MAX, 0);
	out_init(&listing.out, REPLY_MAX);
	out_text(&listing.out, "{\"rows\":[");
	if (store_count_events(store, &query, &total) < 0 ||
	    store_find_events(store, &query, on_listed, &listing) < 0) {
		out_finish(&listing.out);
		reply_store_error(request, store);
		return;
	}
	out_put(&listing.out, "]", 1);
	out_member_int(&listing.out, "total", total);
	out_put(&listing.out, "}", 1);
	reply_out(request, 200, &listing.out);
}

void api_logs_one(struct request *request, struct store *store)
{
	struct listing listing = { .some = false };
	int64_t id = api_id_number(request->id);
	int err;

	out_init(&listing.out, REPLY_MAX);
	err = id > 0 ? store_find_event(store, id, on_listed, &listing) : -ENOENT;
	if (err == 0) {
		reply_out(request, 200, &listing.out);
		return;
	}
	out_finish(&listing.out);
	if (err == -ENOENT)
		reply_error(request, 404, "event not found");
	else
		reply_store_error(request, store);
}

void api_logs_clear(struct request *request, struct store *store)
{
	int err = store_begin(store);

	if (err == 0) {
		err = store_clear_events(store);
		if (err == 0)
			err = api_audit(request, store, "logs.clear", "", "");
		if (err == 0)
			err = store_notify(store, "cleared");
		if (err == 0)
			err = store_commit(store);
		else
			store_rollback(store);
	}
	if (err < 0) {
		log_error("store.error", log_str("err", store_error(store)));
		reply_error(request, 500, "failed to clear logs");
		return;
	}
	if (!store->is_pg)
		streams_say(request->server->hub, "{\"type\":\"cleared\"}");
	reply_json_text(request, 200, "{\"status\":\"ok\"}\n");
}

void api_events(struct request *request, struct store *store)
{
	const char *last = request_header(request, "Last-Event-ID");
	int64_t since = api_id_number(last);

	(void)store;
	if (last[0] == '\0' || since < 0)
		since = request_number(request, "since_id", 0, INT64_MAX, -1);
	streams_reply(request->server->streams, request, since);
}
