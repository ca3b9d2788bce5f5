/* api_auth.c - logins, keys, and the record of who changed what. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/log.h"
#include "dashboard/accounts.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/rfc3339.h"
#include "dashboard/route.h"

enum { LABEL_MAX = 64, PASSWORD_MAX = 1024, AUDIT_ROWS = 200, COOKIE_MAX = 256 };

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

/* A browser takes a cookie for https only, but over plain http to this very machine. */
static bool cookie_would_be_lost(const struct request *request)
{
	const char *origin = request_header(request, "Origin");

	return strcmp(request->server->options->cookie_secure, "false") != 0 &&
	       strncasecmp(origin, "http://", 7) == 0 &&
	       strncasecmp(origin + 7, "localhost", 9) != 0 &&
	       strncmp(origin + 7, "127.", 4) != 0 && strncmp(origin + 7, "[::1]", 5) != 0;
}

static void set_cookie(struct request *request, const char *token, uint64_t seconds)
{
	const struct options *options = request->server->options;
	bool secure = strcmp(options->cookie_secure, "false") != 0;
	char cookie[COOKIE_MAX];

	snprintf(cookie, sizeof(cookie), "%s=%s; Path=/; Max-Age=%llu; HttpOnly; "
		 "SameSite=Strict%s", auth_cookie_name(options), token,
		 (unsigned long long)seconds, secure ? "; Secure" : "");
	reply_header(request, "Set-Cookie", cookie);
}

static void reply_me(struct request *request, const char *name, const char *kind, unsigned may)
{
	struct out out;

	out_init(&out, 1024);
	out_put(&out, "{", 1);
	out_member(&out, "kind", str_of(kind));
	out_text(&out, ",\"may\":[");
	if (may & MAY_READ)
		out_text(&out, "\"read\"");
	if (may & MAY_CHANGE)
		out_text(&out, may & MAY_READ ? ",\"change\"" : "\"change\"");
	if (may & MAY_AGENT)
		out_text(&out, may & (MAY_READ | MAY_CHANGE) ? ",\"agent\"" : "\"agent\"");
	out_put(&out, "]", 1);
	out_member(&out, "username", str_of(name));
	out_put(&out, "}", 1);
	reply_out(request, 200, &out);
}

static void login(struct request *request, struct store *store, const json_t *object)
{
	const struct options *options = request->server->options;
	const char *name = text(object, "username"), *password = text(object, "password");
	char token[AUTH_SECRET_MAX];
	int err;

	if (name[0] == '\0' || password[0] == '\0' || strlen(password) > PASSWORD_MAX) {
		reply_error(request, 400, "username and password cannot be empty");
		return;
	}
	err = auth_login(request->server->auth, store, request->source, name, password, token);
	if (err == -EAGAIN) {
		reply_error(request, 429, "too many tries: wait a little");
		reply_header(request, "Retry-After", "5");
	} else if (err == -EACCES) {
		reply_error(request, 401, "wrong username or password");
	} else if (err < 0) {
		reply_store_error(request, store);
	} else {
		text_copy(request->who.name, sizeof(request->who.name), name);
		(void)api_audit(request, store, "login", name, "");
		set_cookie(request, token, options->session_ttl / 1000);
		reply_me(request, name, "session", MAY_READ | MAY_CHANGE);
	}
	sodium_memzero(token, sizeof(token));
}

void api_auth_login(struct request *request, struct store *store)
{
	json_t *object;

	if (request->server->options->auth_mode != AUTH_SESSION) {
		reply_error(request, 404, "there is no login: AUTH_MODE is not session");
		return;
	}
	if (cookie_would_be_lost(request)) {
		reply_error(request, 400, "a login over plain http from another machine needs "
			    "COOKIE_SECURE=false; better put https before the dashboard");
		return;
	}
	object = request_object(request);
	if (object)
		login(request, store, object);
	json_decref(object);
}

void api_auth_logout(struct request *request, struct store *store)
{
	int err = 0;

	if (request->who.kind == WHO_SESSION) {
		err = accounts_remove_session(store, request->who.hash);
		if (err == 0)
			err = auth_reload(request->server->auth, store);
	}
	if (err < 0) {
		reply_store_error(request, store);
		return;
	}
	set_cookie(request, "", 0);
	reply_text(request, 204, NULL, "");
}

void api_auth_me(struct request *request, struct store *store)
{
	static const char *const kinds[] = {
		[WHO_NOBODY] = "nobody", [WHO_ANYONE] = "anyone", [WHO_KEY] = "key",
		[WHO_SESSION] = "session", [WHO_PROXY] = "proxy",
	};

	(void)store;
	reply_me(request, request->who.name, kinds[request->who.kind], request->who.may);
}

static void put_key(struct out *out, struct str id, struct str label, struct str scope,
		    int64_t created)
{
	out_put(out, "{", 1);
	out_member(out, "id", id);
	out_key(out, "label");
	out_json_str(out, label);
	out_member(out, "scope", scope);
	out_member_time(out, "created_at", created);
	out_put(out, "}", 1);
}

static int on_key(void *arg, const struct store_value *columns)
{
	struct out *out = arg;

	if (out->at[out->len - 1] == '}')
		out_put(out, ",", 1);
	put_key(out, columns[3].text, columns[2].text, columns[1].text, columns[4].number);
	return out->failed;
}

void api_keys_list(struct request *request, struct store *store)
{
	struct out out;

	out_init(&out, REPLY_MAX);
	out_put(&out, "[", 1);
	if (accounts_keys(store, on_key, &out) == 0) {
		out_put(&out, "]", 1);
		reply_out(request, 200, &out);
	} else {
		reply_store_error(request, store);
	}
	out_finish(&out);
}

/* Changes of keys, in a transaction with their record. */
static int change(struct request *request, struct store *store, int err, const char *action,
		  const char *object, const char *detail)
{
	if (err == 0)
		err = api_audit(request, store, action, object, detail);
	if (err == 0)
		err = store_commit(store);
	else
		store_rollback(store);
	return err < 0 ? err : auth_reload(request->server->auth, store);
}

static void add_key(struct request *request, struct store *store, const char *label,
		    const char *scope)
{
	char key[AUTH_SECRET_MAX], hash[AUTH_DIGEST_HEX], id[17];
	unsigned char bytes[8];
	int64_t count = 0;
	struct out out;
	int err = store_number(store, "SELECT COUNT(*) FROM api_key", &count);

	if (err == 0 && count >= AUTH_KEYS_MAX) {
		reply_error(request, 429, "too many keys: remove some");
		return;
	}
	auth_secret(key);
	auth_digest(str_of(key), hash);
	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(id, sizeof(id), bytes, sizeof(bytes));
	if (err == 0)
		err = store_begin(store);
	if (err == 0)
		err = change(request, store, accounts_add_key(store, id, label, hash, scope),
			     "apikey.add", id, label);
	if (err < 0) {
		reply_store_error(request, store);
		return;
	}
	out_init(&out, 4096);
	out_text(&out, "{\"api_key\":");
	put_key(&out, str_of(id), str_of(label), str_of(scope), clock_now_ns());
	out_member(&out, "key", str_of(key));
	out_put(&out, "}", 1);
	reply_out(request, 201, &out);
	sodium_memzero(key, sizeof(key));
}

void api_keys_add(struct request *request, struct store *store)
{
	json_t *object = request_object(request);
	const char *label, *scope;

	if (!object)
		return;
	label = text(object, "label");
	scope = text(object, "scope");
	if (scope[0] == '\0')
		scope = "agent";
	if (label[0] == '\0' || strlen(label) > LABEL_MAX)
		reply_error(request, 400, "label must have 1 to 64 bytes");
	else if (auth_scope(str_of(scope)) == 0)
		reply_error(request, 400, "scope must be one of agent, read, admin");
	else
		add_key(request, store, label, scope);
	json_decref(object);
}

static int on_removed(void *arg, const struct store_value *columns)
{
	(void)columns;
	*(bool *)arg = true;
	return 0;
}

void api_keys_remove(struct request *request, struct store *store)
{
	bool there = false;
	int err = store_begin(store);

	if (err == 0) {
		err = store_run(store, "DELETE FROM api_key WHERE id = $1 RETURNING id",
				(const struct store_value[]){ store_text(str_of(request->id)) }, 1,
				on_removed, &there);
		if (err == 0)
			err = store_notify(store, "auth");
		err = change(request, store, err, "apikey.remove", request->id, "");
	}
	if (err < 0)
		reply_store_error(request, store);
	else if (!there)
		reply_error(request, 404, "key not found");
	else
		reply_json_text(request, 200, "{\"status\":\"ok\"}\n");
}

static int on_audit(void *arg, const struct store_value *columns)
{
	static const char *const names[] = { "who", "source", "action", "object", "detail" };
	struct out *out = arg;

	out_text(out, out->at[out->len - 1] == '}' ? ",{" : "{");
	out_member_int(out, "id", columns[0].number);
	out_member_time(out, "time", columns[1].number);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		out_member(out, names[i], columns[2 + i].text);
	out_put(out, "}", 1);
	return out->failed;
}

void api_audit_list(struct request *request, struct store *store)
{
	int64_t limit = request_number(request, "limit", 1, 5000, AUDIT_ROWS);
	int64_t before = request_number(request, "before_id", 1, INT64_MAX, INT64_MAX);
	struct out out;
	int err;

	out_init(&out, REPLY_MAX);
	out_put(&out, "[", 1);
	err = store_run(store, "SELECT id, time, who, source, action, object, detail FROM audit"
			" WHERE id < $1 ORDER BY id DESC LIMIT $2",
			(const struct store_value[]){ store_int(before), store_int(limit) }, 2,
			on_audit, &out);
	out_put(&out, "]", 1);
	if (err == 0)
		reply_out(request, 200, &out);
	else
		reply_store_error(request, store);
	out_finish(&out);
}
