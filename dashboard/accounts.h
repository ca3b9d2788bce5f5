/* accounts.h - passwords, keys and sessions in the store, and the first of them. */
#ifndef DASHBOARD_ACCOUNTS_H
#define DASHBOARD_ACCOUNTS_H

#include "core/options.h"
#include "dashboard/store.h"

enum { ACCOUNTS_KEY_MAX = 512, ACCOUNTS_DIGEST = 32 };

/*
 * Checks what the options say about keys and passwords.  key gets the environment's, or "".  Where
 * there is no key at all, or no password for AUTH_MODE=session, one is made and told in the log,
 * this once.  0 or -errno with a sentence in error.
 */
int accounts_start(const struct options *options, struct store *store,
		   char key[ACCOUNTS_KEY_MAX], char error[STORE_ERROR_MAX]);

/* A digest of the name and the hash of its password: other ones, another digest. */
int accounts_credential(const struct options *options, struct store *store,
			unsigned char digest[ACCOUNTS_DIGEST]);

/* 0, -EACCES: no such name or another password; or the store's error.  Takes as long for a name
 * that is not there. */
int accounts_verify(const struct options *options, struct store *store, const char *name,
		    const char *password);

/* Rows: hash, scope, label; id, created. */
int accounts_keys(struct store *store, store_row_fn *on_key, void *arg);
/* Rows: hash, name, expires. */
int accounts_sessions(struct store *store, int64_t now_ns, store_row_fn *on_session, void *arg);
int accounts_add_session(struct store *store, const char *hash, const char *name,
			 int64_t created_ns, int64_t expires_ns);
int accounts_remove_session(struct store *store, const char *hash);
int accounts_add_key(struct store *store, const char *id, const char *label, const char *hash,
		     const char *scope);

#endif
