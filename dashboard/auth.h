/* auth.h - who asks: keys, sessions, a proxy's word.
 *
 * Keys and sessions are in the store as SHA-256 only, and in memory, where every request is held
 * against them; comparing takes the same time whatever is wrong.  That of a session is of the
 * account's name and password hash too: when these change, all sessions are over. */
#ifndef DASHBOARD_AUTH_H
#define DASHBOARD_AUTH_H

#include "dashboard/server.h"

enum {
	AUTH_DIGEST_HEX = 65,           /* SHA-256 in hexadecimal, and a NUL */
	AUTH_SECRET_MAX = 64,           /* a new key or token, and a NUL */
	AUTH_KEYS_MAX = 1000, AUTH_SESSIONS_MAX = 1024,
};

/* Reads keys and sessions from the store; makes the first key and password, and tells them once.
 * 0 or -errno with a sentence in error. */
int auth_open(const struct options *options, struct store *store, struct auth **auth,
	      char error[STORE_ERROR_MAX]);
void auth_close(struct auth *auth);
/* Keys or sessions changed in the store. */
int auth_reload(struct auth *auth, struct store *store);

/* Sets request->who; false: it may not do that, and there is a reply. */
bool auth_check(struct request *request);
/* Of what goes on for long: does its session still live, is its key still there? */
bool auth_still_good(struct auth *auth, const struct who *who);

/* 32 random bytes as text. */
void auth_secret(char out[AUTH_SECRET_MAX]);
void auth_digest(struct str secret, char hex[AUTH_DIGEST_HEX]);
/* "agent", "read", "admin": what such a key may do; 0: no such word. */
unsigned auth_scope(struct str word);

/* The name of the cookie, which also says that only https may carry it. */
const char *auth_cookie_name(const struct options *options);

/*
 * A login, on a thread with a store: takes as long as hashing takes.  0: token is the new
 * session's; -EACCES: wrong; -EAGAIN: too many tries from this source, or from all together; else
 * the store's error.
 */
int auth_login(struct auth *auth, struct store *store, const char *source, const char *name,
	       const char *password, char token[AUTH_SECRET_MAX]);

#endif
