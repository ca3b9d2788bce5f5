/* api_unblocks.c - let something through: asked for by people, done by agents.
 * /api/v1/unblocks, spec g0efilter 12 and 13.2. */
#include <errno.h>

#include "core/addr.h"
#include "core/log.h"
#include "dashboard/api.h"
#include "dashboard/rfc3339.h"
#include "dashboard/route.h"
#include "dashboard/sse.h"
#include "dashboard/store_unblocks.h"
#include "dashboard/suffix.h"
#include "dashboard/waiters.h"

enum { TEXT_MAX = 200, EXPIRES_MAX_S = 366 * 24 * 3600 };

static struct str member(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_string(value))
		return (struct str){ "", 0 };
	return (struct str){ json_string_value(value), json_string_length(value) };
}

static struct str trim(struct str text)
{
	while (text.len > 0 && strchr(" \t\r\n", text.at[0])) {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && strchr(" \t\r\n", text.at[text.len - 1]))
		text.len--;
	return text;
}

enum change { CHANGE_TO_DO, CHANGE_DONE };      /* for agents; by one of them */

/* Everybody who looks at requests is told; other dashboards by the store.  What one agent has done
 * is nothing that others wait for: with each of many looking when each other is done, all would be
 * busy with that. */
static void tell(struct request *request, const struct store *store, enum change change)
{
	if (!store->is_pg)
		streams_say(request->server->hub, "{\"type\":\"unblock_status\"}");
	if (change == CHANGE_TO_DO)
		waiters_wake(request->server);
}

/* NULL: good; value gets the form that is stored. */
static const char *check_value(struct str type, struct str text, char value[SUFFIX_NAME_MAX])
{
	union addr addr;

	if (!str_equal(type, STR("domain")) && !str_equal(type, STR("ip")))
		return "type must be 'domain' or 'ip'";
	if (text.len == 0)
		return "value cannot be empty";
	if (str_equal(type, STR("ip"))) {
		char shown[ADDR_TEXT_MAX];

		if (!addr_parse(text, &addr))
			return "invalid ip address";
		text_copy(value, SUFFIX_NAME_MAX, addr_format_ip(&addr, shown));
		return NULL;
	}
	if (!suffix_normal(text, value))
		return "invalid domain";
	return suffix_refusal(value);
}

/* NULL: good. */
static const char *read_request(const json_t *object, struct unblock *unblock,
				char value[SUFFIX_NAME_MAX])
{
	const json_t *expires = json_object_get(object, "expires_in");
	const char *wrong;
	int64_t seconds;

	unblock->type = member(object, "type");
	unblock->target = trim(member(object, "target_hostname"));
	unblock->reason = trim(member(object, "reason"));
	unblock->once = json_is_true(json_object_get(object, "once"));
	wrong = check_value(unblock->type, trim(member(object, "value")), value);
	if (wrong)
		return wrong;
	unblock->value = str_of(value);
	if (!host_text_ok(unblock->target) || memchr(unblock->target.at, ';', unblock->target.len))
		return "invalid target_hostname";
	if (unblock->reason.len > TEXT_MAX)
		return "reason is too long: at most 200 bytes";
	if (!expires || json_is_null(expires))
		return NULL;
	seconds = json_is_integer(expires) ? json_integer_value(expires) : 0;
	if (seconds < 1 || seconds > EXPIRES_MAX_S)
		return "expires_in must be a number of seconds, up to a year";
	unblock->expires_ns = clock_now_ns() + seconds * NS_PER_S;
	return NULL;
}

static void reply_id(struct request *request, unsigned status, const char *id)
{
	struct out out;

	out_init(&out, 256);
	out_put(&out, "{", 1);
	out_member(&out, "id", str_of(id));
	out_member(&out, "status", STR("pending"));
	out_put(&out, "}", 1);
	reply_out(request, status, &out);
}

/* The end of a change: committed and told, or undone. */
static int finish(struct request *request, struct store *store, enum change change, int err)
{
	if (err == 0)
		err = store_notify(store, change == CHANGE_TO_DO ? "unblocks" : "acks");
	if (err == 0) {
		err = store_commit(store);
	} else {
		store_rollback(store);
	}
	if (err == 0)
		tell(request, store, change);
	return err;
}

static int add(struct request *request, struct store *store, const struct unblock *unblock,
	       char id[UNBLOCK_ID_MAX])
{
	struct out detail;
	int err = store_begin(store);

	if (err < 0)
		return err;
	out_init(&detail, 4096);
	out_put(&detail, "{", 1);
	out_member(&detail, "type", unblock->type);
	out_member(&detail, "value", unblock->value);
	out_member(&detail, "target_hostname", unblock->target);
	out_member(&detail, "reason", unblock->reason);
	out_member_time(&detail, "expires_at", unblock->expires_ns);
	if (unblock->once)
		out_text(&detail, ",\"once\":true");
	out_put(&detail, "}", 1);
	err = unblock_add(store, unblock, id);
	if (err == 0)
		err = api_audit(request, store, "unblock.request", id, detail.at);
	out_finish(&detail);
	return finish(request, store, CHANGE_TO_DO, err);
}

void api_unblocks_add(struct request *request, struct store *store)
{
	json_t *object = request_object(request);
	struct unblock unblock = { .who = str_of(request->who.name), .undoes = { "", 0 } };
	char value[SUFFIX_NAME_MAX], id[UNBLOCK_ID_MAX];
	const char *wrong;
	int err;

	if (!object)
		return;
	wrong = read_request(object, &unblock, value);
	if (wrong) {
		reply_error(request, 400, wrong);
	} else {
		err = add(request, store, &unblock, id);
		if (err == 0)
			reply_id(request, 201, id);
		else if (err == -EAGAIN)
			reply_error(request, 429, "too many pending requests");
		else
			reply_store_error(request, store);
	}
	json_decref(object);
}

void api_unblocks_undo(struct request *request, struct store *store)
{
	char undo[UNBLOCK_ID_MAX] = "";
	int err = store_begin(store);

	if (err == 0) {
		err = unblock_undo(store, str_of(request->id), str_of(request->who.name), undo);
		if (err == 0)
			err = api_audit(request, store, "unblock.undo", request->id, undo);
		err = finish(request, store, CHANGE_TO_DO, err);
	}
	if (err == -ENOENT)
		reply_error(request, 404, "unblock request not found");
	else if (err == -EALREADY)
		reply_error(request, 409, "there is nothing to undo: it is not in force");
	else if (err == -EAGAIN)
		reply_error(request, 429, "too many pending requests");
	else if (err < 0)
		reply_store_error(request, store);
	else if (undo[0] != '\0')
		reply_id(request, 200, undo);
	else
		reply_json_text(request, 200, "{\"status\":\"ok\"}\n");
}

static void reply_lists(struct request *request, struct store *store,
			const struct unblock_view *view)
{
	struct out out;
	int err;

	out_init(&out, REPLY_MAX);
	out_text(&out, "{\"completed\":");
	err = unblock_completed(store, &out);
	out_text(&out, ",\"pending\":");
	if (err == 0)
		err = unblock_pending(store, view, &out);
	out_put(&out, "}", 1);
	if (err == 0)
		reply_out(request, 200, &out);
	else
		reply_store_error(request, store);
	out_finish(&out);
}

void api_unblocks_status(struct request *request, struct store *store)
{
	reply_lists(request, store, &(struct unblock_view){ .all = true });
}

void api_unblocks_fetch(struct request *request, struct store *store)
{
	reply_lists(request, store, &(struct unblock_view){
		.hostname = request_arg(request, "hostname"),
		.plain_only = request_arg(request, "features").len == 0,
	});
}

static int take_ack(struct request *request, struct store *store, const struct unblock_ack *ack)
{
	int err = store_begin(store);

	if (err < 0)
		return err;
	err = unblock_ack(store, ack);
	if (err == 0)
		err = api_audit(request, store, ack->error.len > 0 ? "unblock.failed"
								   : "unblock.applied",
				ack->id.at, ack->error.len > 0 ? ack->error.at
							       : ack->policy_hash.at);
	return finish(request, store, CHANGE_DONE, err);
}

void api_unblocks_ack(struct request *request, struct store *store)
{
	json_t *object = request_object(request);
	struct unblock_ack ack;
	int err;

	if (!object)
		return;
	ack = (struct unblock_ack){
		.id = member(object, "id"), .hostname = trim(member(object, "hostname")),
		.error = member(object, "error"), .policy_hash = member(object, "policy_hash"),
	};
	if (str_equal(member(object, "status"), STR("failed")) && ack.error.len == 0)
		ack.error = STR("the agent does not say why");
	if (ack.id.len == 0) {
		reply_error(request, 400, "id cannot be empty");
	} else if (!host_text_ok(ack.hostname) || memchr(ack.hostname.at, ';', ack.hostname.len)) {
		reply_error(request, 400, "invalid hostname");
	} else {
		err = take_ack(request, store, &ack);
		if (err == 0)
			reply_json_text(request, 200, "{\"status\":\"ok\"}\n");
		else if (err == -ENOENT)
			reply_error(request, 404, "unblock request not found");
		else
			reply_store_error(request, store);
	}
	json_decref(object);
}
