/* accounts.c - passwords, keys and sessions in the store. */
#include "dashboard/accounts.h"

#include <assert.h>
#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "dashboard/auth.h"
#include "dashboard/gate.h"
#include "dashboard/rfc3339.h"

enum { KEY_LEN_MIN = 16, KEY_LEN_GOOD = 32 };
static_assert(ACCOUNTS_DIGEST == crypto_hash_sha256_BYTES, "as in the header");

static bool is_bcrypt(const char *hash)
{
	return strlen(hash) == 60 && hash[0] == '$' && hash[1] == '2' &&
	       strchr("aby", hash[2]) && hash[3] == '$';
}

static bool is_argon2(const char *hash)
{
	return strncmp(hash, "$argon2id$", 10) == 0 && strlen(hash) < crypto_pwhash_STRBYTES;
}

static int check_options(const struct options *options, char error[STORE_ERROR_MAX])
{
	const char *hash = options->admin_password_hash;

	if (hash[0] != '\0' && !is_bcrypt(hash) && !is_argon2(hash)) {
		snprintf(error, STORE_ERROR_MAX, "ADMIN_PASSWORD_HASH: neither bcrypt ($2b$...) "
			 "nor argon2id ($argon2id$...): in compose files every $ is written $$");
		return -EINVAL;
	}
	if (gate_check_list(options->trusted_proxies) < 0) {
		snprintf(error, STORE_ERROR_MAX, "TRUSTED_PROXIES: \"%.128s\" is not a comma list "
			 "of addresses and CIDRs", options->trusted_proxies);
		return -EINVAL;
	}
	if (options->auth_mode == AUTH_FORWARD && options->trusted_proxies[0] == '\0') {
		snprintf(error, STORE_ERROR_MAX, "AUTH_MODE=forward: set TRUSTED_PROXIES to the "
			 "proxy's address; without it anybody could send %.64s",
			 options->forward_auth_header);
		return -EINVAL;
	}
	if (strchr(options->cors_allowed_origins, '*')) {
		snprintf(error, STORE_ERROR_MAX,
			 "CORS_ALLOWED_ORIGINS: * is refused: name the origins");
		return -EINVAL;
	}
	return 0;
}

static int read_key_file(const char *path, char key[ACCOUNTS_KEY_MAX],
			 char error[STORE_ERROR_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	ssize_t len = fd >= 0 ? read(fd, key, ACCOUNTS_KEY_MAX - 1) : -1;

	if (len < 0) {
		err = -errno;
		len = 0;
		snprintf(error, STORE_ERROR_MAX, "API_KEY_FILE: %.200s: %s", path, strerror(-err));
	}
	if (fd >= 0)
		close(fd);
	while (len > 0 && strchr(" \t\r\n", key[len - 1]))
		len--;
	key[len] = '\0';
	return err;
}

/* The key of the options, checked; "" when there is none. */
static int option_key(const struct options *options, char key[ACCOUNTS_KEY_MAX],
		      char error[STORE_ERROR_MAX])
{
	bool file = options->api_key_file[0] != '\0';
	size_t len;
	int err;

	text_copy(key, ACCOUNTS_KEY_MAX, options->api_key);
	if (file) {
		err = read_key_file(options->api_key_file, key, error);
		if (err < 0)
			return err;
	} else if (options->api_key[0] == '\0') {
		return 0;
	}
	len = file ? strlen(key) : strlen(options->api_key);
	if (len < KEY_LEN_MIN || len >= ACCOUNTS_KEY_MAX) {
		snprintf(error, STORE_ERROR_MAX, "API_KEY%s: %zu bytes long; it must have %d to "
			 "%d: make one with: openssl rand -base64 32", file ? "_FILE" : "", len,
			 KEY_LEN_MIN, ACCOUNTS_KEY_MAX - 1);
		return -EINVAL;
	}
	if (len < KEY_LEN_GOOD)
		log_warn("dashboard.short_api_key", log_uint("bytes", len),
			 log_uint("better", KEY_LEN_GOOD));
	return 0;
}

static int count_rows(struct store *store, const char *sql, int64_t *count)
{
	*count = 0;
	return store_number(store, sql, count);
}

static int first_key(struct store *store)
{
	char key[AUTH_SECRET_MAX], hash[AUTH_DIGEST_HEX];
	int err;

	auth_secret(key);
	auth_digest(str_of(key), hash);
	err = accounts_add_key(store, "bootstrap", "bootstrap", hash, "admin");
	if (err == 0)
		log_warn("dashboard.bootstrap_api_key", log_str("key", key),
			 log_str("note", "shown this once"));
	sodium_memzero(key, sizeof(key));
	return err;
}

static int first_password(const struct options *options, struct store *store)
{
	char password[AUTH_SECRET_MAX], hash[crypto_pwhash_STRBYTES];
	int err;

	auth_secret(password);
	password[24] = '\0';            /* 144 bits are plenty, and less to type */
	if (crypto_pwhash_str(hash, password, strlen(password),
			      crypto_pwhash_OPSLIMIT_INTERACTIVE,
			      crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
		return -ENOMEM;
	err = store_exec(store, "INSERT INTO account(name, hash) VALUES ($1, $2)",
			 store_text(str_of(options->admin_username)), store_text(str_of(hash)));
	if (err == 0)
		log_warn("dashboard.bootstrap_admin",
			 log_str("username", options->admin_username),
			 log_str("password", password), log_str("note", "shown this once"));
	sodium_memzero(password, sizeof(password));
	return err;
}

static int on_hash(void *arg, const struct store_value *columns)
{
	struct out *out = arg;

	out_put(out, columns[0].text.at, columns[0].text.len);
	return 1;
}

static int find_hash(struct store *store, const char *name, struct out *hash)
{
	return store_run(store, "SELECT hash FROM account WHERE name = $1",
			 (const struct store_value[]){ store_text(str_of(name)) }, 1, on_hash,
			 hash);
}

/* A hash of nothing that anybody has, for names that are not there. */
static char dummy_hash[crypto_pwhash_STRBYTES];

static int make_dummy(void)
{
	return crypto_pwhash_str(dummy_hash, "", 0, crypto_pwhash_OPSLIMIT_INTERACTIVE,
				 crypto_pwhash_MEMLIMIT_INTERACTIVE) == 0 ? 0 : -ENOMEM;
}

int accounts_start(const struct options *options, struct store *store,
		   char key[ACCOUNTS_KEY_MAX], char error[STORE_ERROR_MAX])
{
	struct out hash;
	int64_t keys;
	int err;

	key[0] = '\0';
	if (sodium_init() < 0)
		return -EIO;
	err = check_options(options, error);
	if (err == 0)
		err = option_key(options, key, error);
	if (err < 0)
		return err;
	err = count_rows(store, "SELECT COUNT(*) FROM api_key", &keys);
	if (err == 0 && keys == 0 && key[0] == '\0')
		err = first_key(store);
	if (err == 0 && options->auth_mode == AUTH_SESSION)
		err = make_dummy();
	if (err == 0 && options->auth_mode == AUTH_SESSION &&
	    options->admin_password_hash[0] == '\0') {
		out_init(&hash, 1024);
		err = find_hash(store, options->admin_username, &hash);
		if (err == 0 && hash.len == 0)
			err = first_password(options, store);
		out_finish(&hash);
	}
	if (err < 0)
		snprintf(error, STORE_ERROR_MAX, "the store is %s", store_error(store));
	return err;
}

static bool verify(const char *hash, const char *password)
{
	struct crypt_data data = { 0 };
	const char *again;
	size_t len;
	bool same;

	if (is_argon2(hash))
		return crypto_pwhash_str_verify(hash, password, strlen(password)) == 0;
	/* Not crypt_r(), which sanitizers take over even where they cannot find the real one. */
	again = crypt_rn(password, hash, &data, sizeof(data));
	len = strlen(hash);
	same = again && strlen(again) == len && sodium_memcmp(again, hash, len) == 0;
	sodium_memzero(&data, sizeof(data));
	return same;
}

int accounts_verify(const struct options *options, struct store *store, const char *name,
		    const char *password)
{
	bool known = strcmp(name, options->admin_username) == 0, right;
	struct out hash;
	int err = 0;

	out_init(&hash, 1024);
	if (known && options->admin_password_hash[0] != '\0')
		out_text(&hash, options->admin_password_hash);
	else if (known)
		err = find_hash(store, name, &hash);
	known = known && hash.len > 0;
	right = err == 0 && verify(known ? hash.at : dummy_hash, password) && known;
	out_finish(&hash);
	if (err < 0)
		return err;
	return right ? 0 : -EACCES;
}

int accounts_credential(const struct options *options, struct store *store,
			unsigned char digest[ACCOUNTS_DIGEST])
{
	crypto_hash_sha256_state state;
	const char *name = options->admin_username;
	struct out hash;
	int err = 0;

	out_init(&hash, 1024);
	if (options->admin_password_hash[0] != '\0')
		out_text(&hash, options->admin_password_hash);
	else
		err = find_hash(store, name, &hash);
	if (err == 0 && hash.failed)
		err = -ENOMEM;
	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, (const unsigned char *)name, strlen(name) + 1);
	if (hash.len > 0)
		crypto_hash_sha256_update(&state, (const unsigned char *)hash.at, hash.len);
	crypto_hash_sha256_final(&state, digest);
	out_finish(&hash);
	return err;
}

int accounts_keys(struct store *store, store_row_fn *on_key, void *arg)
{
	return store_run(store, "SELECT hash, scope, label, id, created FROM api_key"
			 " ORDER BY created, id", NULL, 0, on_key, arg);
}

int accounts_sessions(struct store *store, int64_t now_ns, store_row_fn *on_session, void *arg)
{
	return store_run(store, "SELECT hash, name, expires FROM session WHERE expires > $1"
			 " ORDER BY created DESC",
			 (const struct store_value[]){ store_int(now_ns) }, 1, on_session, arg);
}

int accounts_add_session(struct store *store, const char *hash, const char *name,
			 int64_t created_ns, int64_t expires_ns)
{
	int err = store_exec(store, "DELETE FROM session WHERE expires <= $1",
			     store_int(created_ns));

	if (err < 0)
		return err;
	err = store_exec(store, "INSERT INTO session(hash, name, created, expires)"
			 " VALUES ($1, $2, $3, $4)", store_text(str_of(hash)),
			 store_text(str_of(name)), store_int(created_ns), store_int(expires_ns));
	return err < 0 ? err : store_notify(store, "auth");
}

int accounts_remove_session(struct store *store, const char *hash)
{
	int err = store_exec(store, "DELETE FROM session WHERE hash = $1",
			     store_text(str_of(hash)));

	return err < 0 ? err : store_notify(store, "auth");
}

int accounts_add_key(struct store *store, const char *id, const char *label, const char *hash,
		     const char *scope)
{
	int err = store_exec(store, "INSERT INTO api_key(id, label, hash, scope, created)"
			     " VALUES ($1, $2, $3, $4, $5)", store_text(str_of(id)),
			     store_text(str_of(label)), store_text(str_of(hash)),
			     store_text(str_of(scope)), store_int(clock_now_ns()));

	return err < 0 ? err : store_notify(store, "auth");
}
