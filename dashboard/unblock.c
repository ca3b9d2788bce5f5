/* unblock.c - what is to be unblocked: asked for, handed on, acknowledged. */
#include "dashboard/unblock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/log.h"
#include "core/log_text.h"
#include "proto/json.h"

enum {
	ITEMS_MAX = 64,                 /* in hand, or remembered */
	WAIT_S = 25,
	FETCH_TIMEOUT_MS = 10 * 1000,   /* the seed's */
	SYNC_EVERY_MS = 30 * 1000,
	SYNC_AGAIN_MS = 10 * 60 * 1000, /* of a server that has no /sync */
	BUSY_MS = 500,
	ACK_AGAIN_MS = 5 * 1000,
	LONGEST_WAIT_MS = 30 * 1000,
	HTTP_OK = 200, HTTP_BAD_REQUEST = 400, HTTP_NOT_FOUND = 404, HTTP_METHOD = 405,
};

enum item_state { ITEM_FREE, ITEM_IN_HAND, ITEM_TO_ACK, ITEM_DONE };

struct item {
	enum item_state state;
	uint64_t number;                /* in order of coming */
	struct unblock_result result;
};

struct unblock {
	struct unblock_settings settings;
	struct web *web;
	struct web_request fetch, ack;
	struct item items[ITEMS_MAX], *acking;
	uint64_t numbers;
	bool plain;                     /* a server without our /sync: asked by GET */
	bool syncing;                   /* the fetch under way is one by /sync */
	bool failing, ack_failing;
	uint64_t now_ms, next_ms, sync_again_ms, ack_again_ms, wait_ms;
	char *report;
	char path[512], body[4096];
};

/* Texts */

static bool read_item(struct str object, struct unblock_item *item)
{
	struct str expires = json_member(object, "expires_at");

	*item = (struct unblock_item){ 0 };
	if (!json_text(json_member(object, "id"), item->id, sizeof(item->id)) || !item->id[0] ||
	    !json_text(json_member(object, "type"), item->type, sizeof(item->type)) ||
	    !json_text(json_member(object, "value"), item->value, sizeof(item->value)))
		return false;
	(void)json_text(json_member(object, "target_hostname"), item->target,
			sizeof(item->target));
	(void)json_text(json_member(object, "undoes"), item->undoes, sizeof(item->undoes));
	/* A limit that is not understood is no reason to leave it out. */
	if (expires.len > 0 && !json_text(expires, item->expires_at, sizeof(item->expires_at)))
		text_copy(item->expires_at, sizeof(item->expires_at), "?");
	item->once = json_is_true(json_member(object, "once"));
	item->remove = json_is_true(json_member(object, "remove")) ||
		       strcmp(item->type, "remove") == 0;
	return true;
}

int unblock_parse(struct str text, void (*found)(void *context, const struct unblock_item *item),
		  void *context)
{
	struct str pending, object;
	struct unblock_item item;
	size_t at = 0;
	int count = 0;

	if (!json_valid(text))
		return -1;
	pending = json_member(text, "pending");
	if (pending.len == 0 || pending.at[0] != '[')
		return -1;
	while (json_element(pending, &at, &object)) {
		count++;
		if (read_item(object, &item))
			found(context, &item);
	}
	return count;
}

static void put(struct line *line, const char *key, const char *text)
{
	line_put(line, key);
	line_put_json(line, str_of(text));
}

size_t unblock_ack_text(const struct unblock_result *result, const char *hostname, char *out,
			size_t size)
{
	struct line line = { out, out + size };
	char short_error[128];

	snprintf(short_error, sizeof(short_error), "%.127s", result->error);
	put(&line, "{\"id\":", result->id);
	/* As it says it in its report: the server waits for that name. */
	put(&line, ",\"hostname\":", hostname);
	if (result->error[0]) {
		put(&line, ",\"status\":\"failed\",\"error\":", short_error);
	} else {
		line_put(&line, ",\"status\":\"applied\"");
		put(&line, ",\"policy_hash\":", result->hash);
	}
	line_put(&line, "}");
	return (size_t)(line.at - out);
}

/* Items */

static struct item *find(struct unblock *unblock, const char *id)
{
	for (unsigned i = 0; i < ITEMS_MAX; i++)
		if (unblock->items[i].state != ITEM_FREE &&
		    strcmp(unblock->items[i].result.id, id) == 0)
			return &unblock->items[i];
	return NULL;
}

/* A free place, or that of the one that was done with longest ago; NULL: all are in hand. */
static struct item *take_place(struct unblock *unblock)
{
	struct item *best = NULL;

	for (unsigned i = 0; i < ITEMS_MAX; i++) {
		struct item *item = &unblock->items[i];

		if (item->state == ITEM_FREE)
			return item;
		if (item->state == ITEM_DONE && (!best || item->number < best->number))
			best = item;
	}
	return best;
}

static void on_found(void *context, const struct unblock_item *found)
{
	struct unblock *unblock = context;
	struct item *item = find(unblock, found->id);

	/* What every instance is asked, those do that do such things. */
	if (!unblock->settings.fetch &&
	    strcasecmp(found->target, unblock->settings.hostname) != 0)
		return;
	if (item) {
		/* Done, and still asked for: the acknowledgement went astray.  A refusal that could
		 * not be told stays what it is. */
		if (item->state == ITEM_DONE && (!unblock->plain || !item->result.error[0]))
			item->state = ITEM_TO_ACK;
		return;
	}
	item = take_place(unblock);
	if (!item)
		return;                         /* it is still there the next time */
	*item = (struct item){ .state = ITEM_IN_HAND, .number = ++unblock->numbers };
	text_copy(item->result.id, sizeof(item->result.id), found->id);
	if (unblock->settings.fetch) {
		unblock->settings.found(unblock->settings.context, found);
		return;
	}
	item->state = ITEM_TO_ACK;
	text_copy(item->result.error, sizeof(item->result.error), "ENABLE_REMOTE_UNBLOCK is off "
		  "on this instance: set it to true, or write the policy file there");
}

void unblock_answer(struct unblock *unblock, const struct unblock_result *result)
{
	struct item *item = find(unblock, result->id);

	if (!item)
		return;
	item->result = *result;
	item->state = unblock->plain && result->error[0] ? ITEM_DONE : ITEM_TO_ACK;
}

/* Acknowledging */

static void on_acked(struct web_request *request, const struct web_reply *reply)
{
	struct unblock *unblock = request->context;
	bool good = !reply->failed && (reply->status == HTTP_OK || reply->status == HTTP_NOT_FOUND);
	char status[32];

	snprintf(status, sizeof(status), "status %ld", reply->status);
	if (good) {
		unblock->acking->state = ITEM_DONE;
		unblock->ack_failing = false;
	} else {
		if (!unblock->ack_failing)
			log_warn("remote_unblock.ack_failed",
				 log_str("id", unblock->acking->result.id),
				 log_str("err", reply->failed ? reply->failed : status),
				 log_str("note", "trying again"));
		unblock->ack_failing = true;
		unblock->ack_again_ms = unblock->now_ms + ACK_AGAIN_MS;
	}
	unblock->acking = NULL;
}

static void send_ack(struct unblock *unblock)
{
	struct web_request *request = &unblock->ack;
	struct item *item = NULL;

	for (unsigned i = 0; i < ITEMS_MAX && !item; i++)
		if (unblock->items[i].state == ITEM_TO_ACK)
			item = &unblock->items[i];
	if (!item || web_started(request) || unblock->now_ms < unblock->ack_again_ms)
		return;
	unblock->acking = item;
	request->target = unblock->settings.target;
	request->path = "/api/v1/unblocks/ack";
	request->post = true;
	request->headers[0] = "Content-Type: application/json";
	request->headers[1] = unblock->settings.key_header;
	request->body = (struct str){ unblock->body,
				      unblock_ack_text(&item->result, unblock->settings.hostname,
						       unblock->body, sizeof(unblock->body)) };
	request->timeout_ms = FETCH_TIMEOUT_MS;
	request->done = on_acked;
	request->context = unblock;
	web_start(unblock->web, request);
}

/* Asking */

static void fail(struct unblock *unblock, const char *why)
{
	if (!unblock->failing && unblock->settings.fetch)
		log_warn("remote_unblock.fetch_failed", log_str("err", why),
			 log_str("host", unblock->settings.target->host_shown),
			 log_str("note", "trying again"));
	unblock->failing = true;
	unblock->wait_ms = unblock->wait_ms == 0 ? 1000 :
			   2 * unblock->wait_ms < LONGEST_WAIT_MS ? 2 * unblock->wait_ms :
								    LONGEST_WAIT_MS;
	unblock->next_ms = unblock->now_ms + (unblock->plain ? unblock->settings.poll_ms :
							       unblock->wait_ms);
}

/* Has this server no /sync, or g0efilter's, which says nothing of unblocks? */
static void ask_plainly(struct unblock *unblock, uint64_t sync_again_ms)
{
	unblock->plain = true;
	unblock->sync_again_ms = unblock->now_ms + sync_again_ms;
	unblock->next_ms = unblock->settings.fetch ? unblock->now_ms : unblock->sync_again_ms;
}

static void on_fetched(struct web_request *request, const struct web_reply *reply)
{
	struct unblock *unblock = request->context;
	char status[32];
	int count;

	snprintf(status, sizeof(status), "status %ld", reply->status);
	if (unblock->syncing && !reply->failed &&
	    (reply->status == HTTP_NOT_FOUND || reply->status == HTTP_METHOD))
		return ask_plainly(unblock, SYNC_AGAIN_MS);
	if (reply->failed || reply->status != HTTP_OK)
		return fail(unblock, reply->failed ? reply->failed : status);
	if (unblock->syncing)
		unblock->plain = false;
	count = unblock_parse(reply->body, on_found, unblock);
	if (count < 0 && unblock->syncing && json_valid(reply->body))
		return ask_plainly(unblock, SYNC_EVERY_MS);
	if (count < 0)
		return fail(unblock, "the reply is not what a dashboard says");
	if (unblock->failing && unblock->settings.fetch)
		log_info("remote_unblock.fetch_resumed",
			 log_str("host", unblock->settings.target->host_shown));
	unblock->failing = false;
	unblock->wait_ms = 0;
	/* What is in hand is still pending there, and would be told at once again. */
	if (unblock->plain)
		unblock->next_ms = unblock->now_ms + unblock->settings.poll_ms;
	else if (!unblock->settings.fetch)
		unblock->next_ms = unblock->now_ms + SYNC_EVERY_MS;
	else
		unblock->next_ms = unblock->now_ms + (count > 0 ? BUSY_MS : 0);
}

static void send_fetch(struct unblock *unblock)
{
	struct web_request *request = &unblock->fetch;
	bool fetch = unblock->settings.fetch;
	char name[3 * 256 + 1];

	unblock->syncing = unblock->report && (!unblock->plain ||
					       unblock->now_ms >= unblock->sync_again_ms);
	if (!unblock->syncing && !unblock->plain)
		return;                         /* nothing to say yet */
	request->headers[0] = unblock->settings.key_header;
	request->headers[1] = unblock->syncing ? "Content-Type: application/json" : NULL;
	request->post = unblock->syncing;
	request->timeout_ms = FETCH_TIMEOUT_MS;
	if (unblock->syncing) {
		snprintf(unblock->path, sizeof(unblock->path), "/api/v1/sync?wait=%d",
			 fetch && !unblock->plain ? WAIT_S : 0);
		request->body = str_of(unblock->report);
		request->timeout_ms += WAIT_S * 1000;
	} else {
		(void)url_encode(str_of(unblock->settings.hostname), name, sizeof(name));
		snprintf(unblock->path, sizeof(unblock->path), "/api/v1/unblocks?hostname=%.400s",
			 name);
		request->body = (struct str){ 0 };
	}
	request->target = unblock->settings.target;
	request->path = unblock->path;
	request->done = on_fetched;
	request->context = unblock;
	web_start(unblock->web, request);
}

int unblock_open(struct unblock **out, struct web *web, const struct unblock_settings *settings,
		 uint64_t now_ms)
{
	struct unblock *unblock = calloc(1, sizeof(*unblock));

	if (!unblock)
		return -ENOMEM;
	unblock->settings = *settings;
	unblock->web = web;
	unblock->now_ms = unblock->next_ms = now_ms;
	*out = unblock;
	return 0;
}

void unblock_close(struct unblock *unblock)
{
	if (!unblock)
		return;
	web_cancel(&unblock->fetch);
	web_cancel(&unblock->ack);
	free(unblock->report);
	free(unblock);
}

void unblock_report(struct unblock *unblock, char *report, bool urgent)
{
	bool waits = web_started(&unblock->fetch) && unblock->syncing;

	/* libcurl reads the old one. */
	if (waits) {
		web_cancel(&unblock->fetch);
		unblock->next_ms = unblock->now_ms;
	}
	if (urgent && !unblock->plain && !unblock->failing)
		unblock->next_ms = unblock->now_ms;
	free(unblock->report);
	unblock->report = report;
}

void unblock_run(struct unblock *unblock, uint64_t now_ms)
{
	unblock->now_ms = now_ms;
	send_ack(unblock);
	if (!web_started(&unblock->fetch) && now_ms >= unblock->next_ms)
		send_fetch(unblock);
}

uint64_t unblock_due_ms(const struct unblock *unblock)
{
	uint64_t due = UINT64_MAX;

	if (!web_started(&unblock->fetch) && (unblock->report || unblock->plain))
		due = unblock->next_ms;
	for (unsigned i = 0; i < ITEMS_MAX && !web_started(&unblock->ack); i++)
		if (unblock->items[i].state == ITEM_TO_ACK && unblock->ack_again_ms < due)
			due = unblock->ack_again_ms;
	return due;
}
