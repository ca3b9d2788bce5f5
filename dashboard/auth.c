/* auth.c - keys, sessions and a proxy's word, held against what a request brings. */
#include "dashboard/auth.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/addr.h"
#include "core/log.h"
#include "dashboard/accounts.h"
#include "dashboard/gate.h"
#include "dashboard/limits.h"
#include "dashboard/rfc3339.h"
#include "dashboard/route.h"

enum { DIGEST = crypto_hash_sha256_BYTES, GOOD_KEPT = 256 };

/* A key that was right from this source stays so, when others there guess. */
#define GOOD_FOR_NS (3600 * NS_PER_S)

struct key {
	unsigned char digest[DIGEST];
	unsigned may;
	char name[WHO_NAME_MAX];
};

struct session {
	unsigned char digest[DIGEST];
	int64_t expires_ns;
	char name[WHO_NAME_MAX];
};

struct auth {
	pthread_mutex_t lock, reloading;
	const struct options *options;
	unsigned char credential[ACCOUNTS_DIGEST];      /* of the account that may log in */
	struct key keys[AUTH_KEYS_MAX + 1];             /* the first is the environment's */
	struct session sessions[AUTH_SESSIONS_MAX];
	unsigned key_count, session_count, keys_of_options;
	struct {
		unsigned char digest[DIGEST];           /* of source and key */
		int64_t until_ns;
	} good[GOOD_KEPT];
	unsigned next_good;
	struct limits *wrong, *wrong_of_all;
};

void auth_secret(char out[AUTH_SECRET_MAX])
{
	unsigned char bytes[32];

	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2base64(out, AUTH_SECRET_MAX, bytes, sizeof(bytes),
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	sodium_memzero(bytes, sizeof(bytes));
}

static void digest_of(struct str secret, unsigned char digest[DIGEST])
{
	crypto_hash_sha256(digest, (const unsigned char *)secret.at, secret.len);
}

void auth_digest(struct str secret, char hex[AUTH_DIGEST_HEX])
{
	unsigned char digest[DIGEST];

	digest_of(secret, digest);
	sodium_bin2hex(hex, AUTH_DIGEST_HEX, digest, sizeof(digest));
}

unsigned auth_scope(struct str word)
{
	if (str_equal(word, STR("agent")))
		return MAY_AGENT;
	if (str_equal(word, STR("read")))
		return MAY_READ;
	if (str_equal(word, STR("admin")))
		return MAY_AGENT | MAY_READ | MAY_CHANGE | MAY_KEYS;
	return 0;
}

const char *auth_cookie_name(const struct options *options)
{
	return strcmp(options->cookie_secure, "false") == 0 ? "g0e_session"
							    : "__Host-g0e_session";
}

static int on_key(void *arg, const struct store_value *columns)
{
	struct auth *auth = arg;
	struct key *key = &auth->keys[auth->key_count];
	size_t len;

	if (auth->key_count == ARRAY_LEN(auth->keys))
		return 1;
	if (sodium_hex2bin(key->digest, sizeof(key->digest), columns[0].text.at,
			   columns[0].text.len, NULL, &len, NULL) != 0 || len != DIGEST)
		return 0;
	key->may = auth_scope(columns[1].text);
	snprintf(key->name, sizeof(key->name), "key:%.*s", (int)columns[2].text.len,
		 columns[2].text.at);
	auth->key_count++;
	return 0;
}

static int on_session(void *arg, const struct store_value *columns)
{
	struct auth *auth = arg;
	struct session *session = &auth->sessions[auth->session_count];
	size_t len;

	if (auth->session_count == AUTH_SESSIONS_MAX)
		return 1;
	if (sodium_hex2bin(session->digest, sizeof(session->digest), columns[0].text.at,
			   columns[0].text.len, NULL, &len, NULL) != 0 || len != DIGEST)
		return 0;
	session->expires_ns = columns[2].number;
	snprintf(session->name, sizeof(session->name), "%.*s", (int)columns[1].text.len,
		 columns[1].text.at);
	auth->session_count++;
	return 0;
}

int auth_reload(struct auth *auth, struct store *store)
{
	struct auth *fresh = calloc(1, sizeof(*fresh));
	int err;

	/* Into another one first: requests do not wait for the store. */
	if (!fresh)
		return -ENOMEM;
	fresh->key_count = auth->keys_of_options;
	/* Whoever read first must not publish last: a removed key would come back. */
	pthread_mutex_lock(&auth->reloading);
	err = accounts_keys(store, on_key, fresh);
	if (err == 0)
		err = accounts_sessions(store, clock_now_ns(), on_session, fresh);
	if (err == 0) {
		pthread_mutex_lock(&auth->lock);
		memcpy(auth->keys + auth->keys_of_options, fresh->keys + auth->keys_of_options,
		       (fresh->key_count - auth->keys_of_options) * sizeof(struct key));
		auth->key_count = fresh->key_count;
		memcpy(auth->sessions, fresh->sessions, sizeof(auth->sessions));
		auth->session_count = fresh->session_count;
		pthread_mutex_unlock(&auth->lock);
	}
	pthread_mutex_unlock(&auth->reloading);
	free(fresh);
	return err;
}

int auth_open(const struct options *options, struct store *store, struct auth **opened,
	      char error[STORE_ERROR_MAX])
{
	struct auth *auth = calloc(1, sizeof(*auth));
	char key[ACCOUNTS_KEY_MAX];
	int err;

	if (!auth)
		return -ENOMEM;
	pthread_mutex_init(&auth->lock, NULL);
	pthread_mutex_init(&auth->reloading, NULL);
	auth->options = options;
	/* Ten wrong ones, then one in five seconds; of all sources together ten passwords a
	 * second, for each costs us time. */
	auth->wrong = limits_open(0.2, 10);
	auth->wrong_of_all = limits_open(10, 200);
	err = auth->wrong && auth->wrong_of_all ? 0 : -ENOMEM;
	if (err == 0)
		err = accounts_start(options, store, key, error);
	if (err == 0 && key[0] != '\0') {
		digest_of(str_of(key), auth->keys[0].digest);
		auth->keys[0].may = auth_scope(STR("admin"));
		text_copy(auth->keys[0].name, sizeof(auth->keys[0].name), "key:API_KEY");
		auth->keys_of_options = 1;
	}
	sodium_memzero(key, sizeof(key));
	if (err == 0) {
		err = accounts_credential(options, store, auth->credential);
		if (err == 0)
			err = auth_reload(auth, store);
		if (err < 0)
			snprintf(error, STORE_ERROR_MAX, "the store is %s", store_error(store));
	}
	if (err < 0) {
		auth_close(auth);
		return err;
	}
	*opened = auth;
	return 0;
}

void auth_close(struct auth *auth)
{
	if (!auth)
		return;
	limits_close(auth->wrong);
	limits_close(auth->wrong_of_all);
	pthread_mutex_destroy(&auth->lock);
	pthread_mutex_destroy(&auth->reloading);
	sodium_memzero(auth, sizeof(*auth));
	free(auth);
}

/* Who has one IPv6 address has all of its network: they count as one. */
static const char *bucket_of(const char *source, char text[ADDR_TEXT_MAX])
{
	union addr addr;

	if (!addr_parse(str_of(source), &addr) || addr.sa.sa_family != AF_INET6)
		return source;
	memset(addr.v6.sin6_addr.s6_addr + 8, 0, 8);
	return addr_format_ip(&addr, text);
}

static void was_wrong(struct auth *auth, const char *source, const char *what)
{
	char text[ADDR_TEXT_MAX];
	bool empty_now = false;

	(void)limits_take(auth->wrong, bucket_of(source, text), &empty_now);
	if (empty_now)
		log_warn("auth.backoff", log_str("source", source), log_str("reason", what));
	else
		log_debug("auth.refused", log_str("source", source), log_str("reason", what));
}

/* Every key is looked at, whatever was found before. */
static bool find_key(struct auth *auth, const unsigned char digest[DIGEST], struct who *who)
{
	const struct key *found = NULL;

	pthread_mutex_lock(&auth->lock);
	for (unsigned i = 0; i < auth->key_count; i++)
		if (sodium_memcmp(auth->keys[i].digest, digest, DIGEST) == 0)
			found = &auth->keys[i];
	if (found) {
		who->kind = WHO_KEY;
		who->may = found->may;
		text_copy(who->name, sizeof(who->name), found->name);
		sodium_bin2hex(who->hash, sizeof(who->hash), digest, DIGEST);
	}
	pthread_mutex_unlock(&auth->lock);
	return found != NULL;
}

static void source_and_key(const char *source, const unsigned char key[DIGEST],
			   unsigned char digest[DIGEST])
{
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, key, DIGEST);
	crypto_hash_sha256_update(&state, (const unsigned char *)source, strlen(source));
	crypto_hash_sha256_final(&state, digest);
}

static bool was_good(struct auth *auth, const char *source, const unsigned char key[DIGEST],
		     bool good_now)
{
	unsigned char digest[DIGEST];
	int64_t now = clock_steady_ns();
	unsigned at = GOOD_KEPT;

	source_and_key(source, key, digest);
	pthread_mutex_lock(&auth->lock);
	for (unsigned i = 0; i < GOOD_KEPT; i++)
		if (sodium_memcmp(auth->good[i].digest, digest, DIGEST) == 0 &&
		    auth->good[i].until_ns > now)
			at = i;
	if (good_now) {
		if (at == GOOD_KEPT)
			at = auth->next_good++ % GOOD_KEPT;
		memcpy(auth->good[at].digest, digest, DIGEST);
		auth->good[at].until_ns = now + GOOD_FOR_NS;
	}
	pthread_mutex_unlock(&auth->lock);
	return at < GOOD_KEPT;
}

/* A key is there: right, wrong, or one too many. */
static bool check_key(struct request *request, const char *key)
{
	struct auth *auth = request->server->auth;
	unsigned char digest[DIGEST];
	char text[ADDR_TEXT_MAX];
	const char *bucket = bucket_of(request->source, text);

	/* Of this source only: what others guess is no reason to refuse it. */
	digest_of(str_of(key), digest);
	if (!limits_left(auth->wrong, bucket) && !was_good(auth, bucket, digest, false)) {
		reply_error(request, 429, "too many wrong keys: try again in a while");
		reply_header(request, "Retry-After", "5");
		return false;
	}
	if (find_key(auth, digest, &request->who)) {
		(void)was_good(auth, bucket, digest, true);
		return true;
	}
	was_wrong(auth, request->source, "wrong key");
	reply_error(request, 401, "unauthorized");
	return false;
}

static bool find_session(struct auth *auth, const unsigned char digest[DIGEST], struct who *who)
{
	int64_t now = clock_now_ns();
	bool found = false;

	pthread_mutex_lock(&auth->lock);
	for (unsigned i = 0; i < auth->session_count; i++) {
		const struct session *session = &auth->sessions[i];

		if (sodium_memcmp(session->digest, digest, DIGEST) != 0 ||
		    session->expires_ns <= now)
			continue;
		found = true;
		text_copy(who->name, sizeof(who->name), session->name);
	}
	pthread_mutex_unlock(&auth->lock);
	return found;
}

bool auth_still_good(struct auth *auth, const struct who *who)
{
	unsigned char digest[DIGEST];
	struct who now = *who;
	size_t len;

	if (who->kind != WHO_SESSION && who->kind != WHO_KEY)
		return true;
	if (sodium_hex2bin(digest, sizeof(digest), who->hash, strlen(who->hash), NULL, &len,
			   NULL) != 0)
		return false;
	return who->kind == WHO_KEY ? find_key(auth, digest, &now)
				    : find_session(auth, digest, &now);
}

/* What the store has of a session: another name or password, and it is nobody's any more. */
static void session_digest(const struct auth *auth, const char *token,
			   unsigned char digest[DIGEST])
{
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, auth->credential, sizeof(auth->credential));
	crypto_hash_sha256_update(&state, (const unsigned char *)token, strlen(token));
	crypto_hash_sha256_final(&state, digest);
}

static void check_session(struct request *request, struct who *who)
{
	const struct options *options = request->server->options;
	const char *token = MHD_lookup_connection_value(request->conn, MHD_COOKIE_KIND,
							auth_cookie_name(options));
	unsigned char digest[DIGEST];

	if (!token)
		return;
	session_digest(request->server->auth, token, digest);
	if (!find_session(request->server->auth, digest, who))
		return;
	who->kind = WHO_SESSION;
	who->may = MAY_READ | MAY_CHANGE | MAY_KEYS;
	sodium_bin2hex(who->hash, sizeof(who->hash), digest, sizeof(digest));
}

static void check_proxy(struct request *request, struct who *who)
{
	const char *name = request_header(request,
					  request->server->options->forward_auth_header);

	if (!request->by_proxy || name[0] == '\0')
		return;
	/* One of two is the client's own. */
	if (!gate_is_once(request, request->server->options->forward_auth_header)) {
		log_debug("auth.refused", log_str("source", request->source),
			  log_str("reason", "FORWARD_AUTH_HEADER is there twice: the proxy must "
				  "replace what a client sends"));
		return;
	}
	who->kind = WHO_PROXY;
	who->may = MAY_READ | MAY_CHANGE | MAY_KEYS;
	text_copy(who->name, sizeof(who->name), name);
}

bool auth_check(struct request *request)
{
	const char *key = request_header(request, "X-Api-Key");
	struct who *who = &request->who;
	unsigned needs = request->route->may;

	/* What is open to all needs no key, not even a wrong one. */
	if (key[0] != '\0' && needs != 0 && !check_key(request, key))
		return false;
	if (who->kind == WHO_NOBODY) {
		switch (request->server->options->auth_mode) {
		case AUTH_SESSION:
			check_session(request, who);
			break;
		case AUTH_FORWARD:
			check_proxy(request, who);
			break;
		case AUTH_NONE:
			who->kind = WHO_ANYONE;
			/* No keys: one would be good for longer than this mode. */
			who->may = MAY_READ | MAY_CHANGE;
			text_copy(who->name, sizeof(who->name), "anyone");
			break;
		}
	}
	if (needs == 0 || (who->may & needs) != 0)
		return true;
	if (who->kind == WHO_KEY) {
		reply_error(request, 403, "this key may not do that: its scope is another");
		return false;
	}
	if (who->kind == WHO_ANYONE && needs == MAY_KEYS) {
		reply_error(request, 403, "AUTH_MODE=none: anybody would have keys that outlive "
			    "it; send an admin key (API_KEY) as X-Api-Key");
		return false;
	}
	reply_error(request, 401, "unauthorized");
	return false;
}

int auth_login(struct auth *auth, struct store *store, const char *source, const char *name,
	       const char *password, char token[AUTH_SECRET_MAX])
{
	unsigned char digest[DIGEST];
	char hex[AUTH_DIGEST_HEX];
	char text[ADDR_TEXT_MAX];
	int64_t now = clock_now_ns();
	int err;

	if (!limits_left(auth->wrong, bucket_of(source, text)) ||
	    !limits_left(auth->wrong_of_all, ""))
		return -EAGAIN;
	err = accounts_verify(auth->options, store, name, password);
	if (err == -EACCES) {
		(void)limits_take(auth->wrong_of_all, "", NULL);
		was_wrong(auth, source, "wrong password");
	}
	if (err < 0)
		return err;
	auth_secret(token);
	session_digest(auth, token, digest);
	sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest));
	err = accounts_add_session(store, hex, name, now,
				   now + (int64_t)auth->options->session_ttl * NS_PER_MS);
	return err < 0 ? err : auth_reload(auth, store);
}
