/* store.h - where events, requests and accounts are kept: SQLite, or PostgreSQL for several
 * dashboards.
 *
 * A struct store is one connection, for one thread at a time; every thread opens its own.  The SQL
 * is written once, for both: parameters are $1, $2... in the order of their first appearance.  What
 * differs (the schema, the text index, bulk inserts) is in store_sqlite.c and store_pg.c.
 *
 * Functions return 0 or -EBUSY (locked by another), -ENOSPC (full), -EBADMSG (corrupt),
 * -ENOTCONN (the server is away; the next call connects again) or -EIO; store_error() says it in a
 * sentence. */
#ifndef DASHBOARD_STORE_H
#define DASHBOARD_STORE_H

#include "dashboard/entry.h"
#include "proto/str.h"

enum { STORE_ERROR_MAX = 512, STORE_PARAMS_MAX = 32, STORE_COLUMNS_MAX = 32 };

struct store_config {
	const char *url;                /* postgres://..., or "": SQLite */
	const char *path;               /* of SQLite's file; starting with "memory:" it is none */
};

enum store_type { STORE_NULL, STORE_INT, STORE_TEXT };

struct store_value {
	enum store_type type;
	int64_t number;
	struct str text;                /* borrowed */
};

#define store_null()  ((struct store_value){ .type = STORE_NULL })
#define store_int(n)  ((struct store_value){ .type = STORE_INT, .number = (n) })
#define store_text(s) ((struct store_value){ .type = STORE_TEXT, .text = (s) })

/* A row; its texts live until it returns.  Anything but 0 ends the query, without an error. */
typedef int store_row_fn(void *arg, const struct store_value *columns);

/* A row of the table of events. */
struct store_event_row {
	int64_t id, time_ns, subject, bytes, duration_ms;       /* duration_ms -1: not known */
	int64_t link;                   /* 0: none */
	int verdict;
	struct str remote, rest;
};

struct store;
struct store_ops {
	int (*run)(struct store *store, const char *sql, const struct store_value *params,
		   unsigned count, store_row_fn *on_row, void *arg);
	int (*begin)(struct store *store);      /* for writing */
	int (*add_events)(struct store *store, const struct store_event_row *rows, size_t count);
	/* Tell the other dashboards, with the transaction: what is a word. */
	int (*notify)(struct store *store, const char *what);
	void (*close)(struct store *store);
};

struct store_subjects;
struct store {
	const struct store_ops *ops;
	bool is_pg;                     /* dialect */
	bool has_text_index;            /* pg_trgm; SQLite always has its own */
	struct store_subjects *subjects;        /* ids that this connection knows: store_events.c */
	char error[STORE_ERROR_MAX];
};

/* Connects, and makes or updates the schema. */
int store_open(const struct store_config *config, struct store **store,
	       char error[STORE_ERROR_MAX]);
void store_close(struct store *store);          /* NULL: nothing */
const char *store_error(const struct store *store);

int store_run(struct store *store, const char *sql, const struct store_value *params,
	      unsigned count, store_row_fn *on_row, void *arg);
/* store_exec(store, "DELETE FROM session WHERE hash = $1", store_text(hash)); */
#define store_exec(store, sql, ...) \
	store_run((store), (sql), (const struct store_value[]){ __VA_ARGS__ }, \
		  sizeof((const struct store_value[]){ __VA_ARGS__ }) / \
		  sizeof(struct store_value), NULL, NULL)
int store_begin(struct store *store);
int store_commit(struct store *store);
void store_rollback(struct store *store);
int store_notify(struct store *store, const char *what);
/* One number; *number is set only when there is a row. */
int store_number(struct store *store, const char *sql, int64_t *number);

/* The two kinds, for store_open(). */
int store_sqlite_open(const struct store_config *config, struct store **store,
		      char error[STORE_ERROR_MAX]);
int store_pg_open(const struct store_config *config, struct store **store,
		  char error[STORE_ERROR_MAX]);

/* SQL text that is put together, with its parameters. */
struct sql {
	struct out text;
	struct store_value params[STORE_PARAMS_MAX];
	unsigned count;
};
void sql_init(struct sql *sql, const char *text);
void sql_finish(struct sql *sql);
void sql_put(struct sql *sql, const char *text);
void sql_param(struct sql *sql, struct store_value value);      /* puts $n */
int sql_run(struct store *store, struct sql *sql, store_row_fn *on_row, void *arg);

#endif
