/* api_fleet.c - the instances: what they say of themselves (/sync), and what people see of them. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/limits.h"
#include "dashboard/rfc3339.h"
#include "dashboard/route.h"
#include "dashboard/store_unblocks.h"
#include "dashboard/waiters.h"

enum {
	INSTANCES_MAX = 10000, WAIT_MAX_S = 30,
	/* What one says, when there are few; and what all say together, or some more. */
	INSTANCE_JSON_MAX = 512 << 10, INSTANCE_JSON_MIN = 4 << 10, FLEET_JSON = 32 << 20,
};

/* From what an agent says to what is shown; in the order in which they are shown.  The store looks
 * for the first one at the beginning (store_unblocks.c). */
static const struct {
	const char *said, *shown;
	json_type type;
} keys[] = {
	{ "unblocks", "unblocks", JSON_STRING },
	{ "version", "version", JSON_STRING },
	{ "filter_mode", "mode", JSON_STRING },
	{ "config_hash", "policy_hash", JSON_STRING },
	{ "started", "started", JSON_STRING },
	{ "counters", "counters", JSON_OBJECT },
	{ "policy", "policy", JSON_OBJECT },
	{ "warnings", "warnings", JSON_ARRAY },
};

static void instance_id(struct str hostname, char id[17])
{
	unsigned char digest[crypto_generichash_BYTES_MIN];

	crypto_generichash(digest, sizeof(digest), (const unsigned char *)hostname.at,
			   hostname.len, NULL, 0);
	sodium_bin2hex(id, 17, digest, 8);
}

static bool put_members(const json_t *object, bool with_policy, struct out *out)
{
	out_put(out, "{", 1);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const json_t *value = json_object_get(object, keys[i].said);

		if (!value || json_typeof(value) != keys[i].type)
			continue;
		if (!with_policy && strcmp(keys[i].said, "policy") == 0)
			continue;
		out_key(out, keys[i].shown);
		out_json(out, value);
	}
	out_put(out, "}", 1);
	return !out->failed;
}

static size_t longest_json(int64_t instances)
{
	int64_t each = FLEET_JSON / (instances + 1);

	if (each > INSTANCE_JSON_MAX)
		return INSTANCE_JSON_MAX;
	return each < INSTANCE_JSON_MIN ? INSTANCE_JSON_MIN : (size_t)each;
}

static int on_id(void *arg, const struct store_value *columns)
{
	(void)columns;
	*(bool *)arg = true;
	return 0;
}

/* One that is there is never one too many. */
static int put_instance(struct store *store, struct str hostname, struct str json, int64_t count)
{
	struct str id;
	int64_t now = clock_now_ns();
	bool there = false;
	char text[17];
	int err;

	instance_id(hostname, text);
	id = str_of(text);
	err = store_run(store, "UPDATE instance SET last_seen = $1, json = $2 WHERE id = $3"
			" RETURNING id",
			(const struct store_value[]){ store_int(now), store_text(json),
						      store_text(id) }, 3, on_id, &there);
	if (err < 0 || there)
		return err;
	if (count >= INSTANCES_MAX)
		return -EAGAIN;
	return store_exec(store, "INSERT INTO instance(id, hostname, last_seen, json)"
			  " VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET"
			  " last_seen = excluded.last_seen, json = excluded.json",
			  store_text(id), store_text(hostname), store_int(now),
			  store_text(json));
}

/* -EMSGSIZE: too long; -EAGAIN: too many instances. */
static int store_instance(struct store *store, struct str hostname, const json_t *object)
{
	int64_t count = 0;
	struct out out;
	int err = store_number(store, "SELECT COUNT(*) FROM instance", &count);

	if (err < 0)
		return err;
	out_init(&out, longest_json(count));
	if (!put_members(object, true, &out)) {
		/* An agent with a long policy still gets its requests. */
		out_finish(&out);
		out_init(&out, longest_json(count));
		(void)put_members(object, false, &out);
	}
	err = out.failed ? -EMSGSIZE
		: put_instance(store, hostname, (struct str){ out.at, out.len }, count);
	out_finish(&out);
	return err;
}

/* The answer, or, when there is nothing and it may wait, none yet. */
static void answer(struct request *request, struct store *store, struct str hostname)
{
	struct unblock_view view = { .hostname = hostname };
	struct out out;
	size_t head;

	waiters_look(request);
	out_init(&out, REPLY_MAX);
	out_text(&out, "{\"changed\":false,\"managed\":false,\"pending\":");
	head = out.len;
	if (unblock_pending(store, &view, &out) < 0) {
		reply_store_error(request, store);
	} else if (out.len == head + 2 && clock_steady_ns() < request->park_until_ns) {
		request->parked = true;
	} else {
		out_put(&out, "}", 1);
		reply_out(request, 200, &out);
	}
	out_finish(&out);
}

/* false: there is a reply.  Limited as posts of events are, and apart from them; one that waited
 * may have lost its key meanwhile. */
static bool may_sync(struct request *request, bool again)
{
	char source[ADDR_TEXT_MAX + 8];

	if (again && !auth_still_good(request->server->auth, &request->who)) {
		reply_error(request, 401, "unauthorized");
		return false;
	}
	snprintf(source, sizeof(source), "sync %s", request->source);
	if (!again && !limits_take(request->server->limits, source, NULL)) {
		reply_error(request, 429, "rate limited");
		reply_header(request, "Retry-After", "1");
		return false;
	}
	return true;
}

void api_sync(struct request *request, struct store *store)
{
	bool again = request->park_until_ns > 0;
	json_t *object = may_sync(request, again) ? request_object(request) : NULL, *name;
	struct str hostname;
	int err = 0;

	if (!object)
		return;
	name = json_object_get(object, "hostname");
	hostname = (struct str){ json_string_value(name), json_string_length(name) };
	if (hostname.len == 0 || !host_text_ok(hostname) ||
	    memchr(hostname.at, ';', hostname.len)) {
		reply_error(request, 400, "invalid hostname");
		json_decref(object);
		return;
	}
	if (!again) {
		request->park_until_ns = clock_steady_ns() +
			request_number(request, "wait", 0, WAIT_MAX_S, 0) * NS_PER_S;
		err = store_instance(store, hostname, object);
	}
	if (err == -EMSGSIZE)
		reply_error(request, 400, "version, counters and warnings are too long");
	else if (err == -EAGAIN)
		reply_error(request, 429, "too many instances");
	else if (err < 0)
		reply_store_error(request, store);
	else
		answer(request, store, hostname);
	json_decref(object);
}

struct listing {
	struct out *out;
	bool some;
};

static int on_instance(void *arg, const struct store_value *columns)
{
	struct listing *listing = arg;
	struct out *out = listing->out;
	struct str rest = columns[3].text;

	out_text(out, listing->some ? ",{" : "{");
	listing->some = true;
	out_member(out, "id", columns[0].text);
	out_member(out, "hostname", columns[1].text);
	out_member_time(out, "last_seen", columns[2].number);
	if (rest.len > 2) {             /* more than {} */
		out_put(out, ",", 1);
		out_put(out, rest.at + 1, rest.len - 2);
	}
	out_put(out, "}", 1);
	return out->failed;
}

void api_fleet_list(struct request *request, struct store *store)
{
	struct out out;
	struct listing listing = { &out, false };
	int err;

	if (!request->server->options->fleet_enabled) {
		reply_error(request, 404, "the fleet view is off: FLEET_ENABLED=false");
		return;
	}
	out_init(&out, REPLY_MAX);
	out_put(&out, "[", 1);
	err = store_run(store, "SELECT id, hostname, last_seen, json FROM instance"
			" ORDER BY hostname", NULL, 0, on_instance, &listing);
	out_put(&out, "]", 1);
	if (err == 0)
		reply_out(request, 200, &out);
	else
		reply_store_error(request, store);
	out_finish(&out);
}

void api_fleet_remove(struct request *request, struct store *store)
{
	bool there = false;
	int err = store_begin(store);

	if (err == 0) {
		err = store_run(store, "DELETE FROM instance WHERE id = $1 RETURNING id",
				(const struct store_value[]){ store_text(str_of(request->id)) }, 1,
				on_id, &there);
		if (err == 0 && there)
			err = api_audit(request, store, "instance.remove", request->id, "");
		if (err == 0)
			err = store_commit(store);
		else
			store_rollback(store);
	}
	if (err < 0)
		reply_store_error(request, store);
	else if (!there)
		reply_error(request, 404, "instance not found");
	else
		reply_json_text(request, 200, "{\"status\":\"ok\"}\n");
}
