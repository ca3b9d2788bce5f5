/* store_sqlite.c - the store in one file, with a write-ahead log: readers never wait for the
 * writer.  A commit is in the log before it is told; killed at any time, the file stays whole. */
#include "dashboard/store.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "dashboard/rfc3339.h"

enum { STATEMENTS = 64, BUSY_MS = 5000, OPCODES_BETWEEN_LOOKS = 100000 };

/* A question that takes longer is one too many for everybody else. */
#define QUESTION_NS (30 * NS_PER_S)

struct statement {
	char *sql;
	sqlite3_stmt *handle;
	uint64_t used;
};

struct sqlite_store {
	struct store store;
	sqlite3 *db;
	struct statement statements[STATEMENTS];
	uint64_t clock;
	int64_t until_ns;               /* of the running question; 0: no end */
};

/* One number, raised with every change of the schema; an update is a step from each to the next. */
static const char *const schema[] = {
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"INSERT INTO meta VALUES ('next_id', 0);"
	"CREATE TABLE subject(id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE,"
	" verdict INTEGER NOT NULL, component TEXT, name TEXT, source_ip TEXT,"
	" destination_ip TEXT, hostname TEXT, reason TEXT, json TEXT NOT NULL,"
	" search TEXT NOT NULL, count INTEGER NOT NULL, last_seen INTEGER NOT NULL);"
	"CREATE VIRTUAL TABLE subject_search USING fts5(search, content='subject',"
	" content_rowid='id', tokenize='trigram', columnsize=0);"
	"CREATE TRIGGER subject_added AFTER INSERT ON subject BEGIN"
	" INSERT INTO subject_search(rowid, search) VALUES (new.id, new.search); END;"
	"CREATE TRIGGER subject_removed AFTER DELETE ON subject BEGIN"
	" INSERT INTO subject_search(subject_search, rowid, search)"
	" VALUES ('delete', old.id, old.search); END;"
	"CREATE TABLE event(id INTEGER PRIMARY KEY, time INTEGER NOT NULL,"
	" verdict INTEGER NOT NULL, subject INTEGER NOT NULL, bytes INTEGER NOT NULL,"
	" duration INTEGER, remote TEXT NOT NULL, rest TEXT NOT NULL);"
	"CREATE INDEX event_subject ON event(subject, id);"
	"CREATE INDEX event_time ON event(time, verdict, subject, bytes, duration);"
	"CREATE TABLE unblock(id TEXT PRIMARY KEY, type TEXT NOT NULL, value TEXT NOT NULL,"
	" target TEXT NOT NULL, state TEXT NOT NULL, remove INTEGER NOT NULL,"
	" once INTEGER NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,"
	" completed INTEGER NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL,"
	" error TEXT NOT NULL, policy_hash TEXT NOT NULL, acked_by TEXT NOT NULL,"
	" undoes TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX unblock_state ON unblock(state, completed);"
	"CREATE TABLE audit(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, who TEXT NOT NULL,"
	" source TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL, detail TEXT NOT NULL);"
	"CREATE TABLE api_key(id TEXT PRIMARY KEY, label TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,"
	" scope TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE account(name TEXT PRIMARY KEY, hash TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE session(hash TEXT PRIMARY KEY, name TEXT NOT NULL,"
	" created INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE instance(id TEXT PRIMARY KEY, hostname TEXT NOT NULL,"
	" last_seen INTEGER NOT NULL, json TEXT NOT NULL) WITHOUT ROWID;",
	/* Only of connections that have not ended: a small index. */
	"ALTER TABLE event ADD COLUMN link INTEGER;"
	"CREATE INDEX event_link ON event(link, id) WHERE link IS NOT NULL;",
};

static struct sqlite_store *of(struct store *store)
{
	return (struct sqlite_store *)store;    /* its first member */
}

static int explain(sqlite3 *db, int result, char error[STORE_ERROR_MAX])
{
	const char *said = db ? sqlite3_errmsg(db) : sqlite3_errstr(result);

	switch (result & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		snprintf(error, STORE_ERROR_MAX,
			 "locked (%s): is another program writing to the file?", said);
		return -EBUSY;
	case SQLITE_FULL:
		snprintf(error, STORE_ERROR_MAX,
			 "full (%s): make room on its disk, or lower LOG_RETENTION", said);
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		snprintf(error, STORE_ERROR_MAX,
			 "damaged (%s): move the file away, or restore it from a backup", said);
		return -EBADMSG;
	case SQLITE_INTERRUPT:
		snprintf(error, STORE_ERROR_MAX, "slow: a question took more than 30 s");
		return -EIO;
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		snprintf(error, STORE_ERROR_MAX,
			 "not writable (%s): check the owner and mode of the file and its folder",
			 said);
		return -EIO;
	case SQLITE_IOERR:
		/* A full tmpfs or quota shows as a failed write. */
		snprintf(error, STORE_ERROR_MAX, "%s: is its disk full?", said);
		return -EIO;
	default:
		snprintf(error, STORE_ERROR_MAX, "%s", said);
		return -EIO;
	}
}

/* The statement for sql, prepared once and kept while it is used. */
static int prepare(struct sqlite_store *s, const char *sql, sqlite3_stmt **handle)
{
	struct statement *oldest = &s->statements[0];
	int result;

	for (unsigned i = 0; i < STATEMENTS; i++) {
		struct statement *at = &s->statements[i];

		if (at->sql && strcmp(at->sql, sql) == 0) {
			at->used = ++s->clock;
			*handle = at->handle;
			return 0;
		}
		if (at->used < oldest->used)
			oldest = at;
	}
	sqlite3_finalize(oldest->handle);
	free(oldest->sql);
	*oldest = (struct statement){ 0 };
	result = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &oldest->handle,
				    NULL);
	if (result != SQLITE_OK)
		return explain(s->db, result, s->store.error);
	oldest->sql = strdup(sql);
	oldest->used = ++s->clock;
	*handle = oldest->handle;
	return oldest->sql ? 0 : -ENOMEM;
}

static void bind(sqlite3_stmt *handle, int at, const struct store_value *value)
{
	if (value->type == STORE_INT)
		sqlite3_bind_int64(handle, at, value->number);
	else if (value->type == STORE_TEXT)
		sqlite3_bind_text64(handle, at, value->text.at ? value->text.at : "",
				    value->text.len, SQLITE_STATIC, SQLITE_UTF8);
	else
		sqlite3_bind_null(handle, at);
}

static void read_columns(sqlite3_stmt *handle, struct store_value *columns)
{
	int count = sqlite3_column_count(handle);

	assert(count <= STORE_COLUMNS_MAX);
	for (int i = 0; i < count; i++) {
		int type = sqlite3_column_type(handle, i);

		columns[i] = store_null();
		if (type == SQLITE_INTEGER || type == SQLITE_FLOAT) {
			columns[i] = store_int(sqlite3_column_int64(handle, i));
		} else if (type == SQLITE_TEXT) {
			const char *text = (const char *)sqlite3_column_text(handle, i);

			columns[i] = store_text(((struct str){
				text, (size_t)sqlite3_column_bytes(handle, i) }));
		}
	}
}

static int sqlite_run(struct store *store, const char *sql, const struct store_value *params,
		      unsigned count, store_row_fn *on_row, void *arg)
{
	struct store_value columns[STORE_COLUMNS_MAX];
	struct sqlite_store *s = of(store);
	sqlite3_stmt *handle;
	int result, err = prepare(s, sql, &handle);

	if (err < 0)
		return err;
	for (unsigned i = 0; i < count; i++)
		bind(handle, (int)i + 1, &params[i]);
	s->until_ns = sqlite3_stmt_readonly(handle) ? clock_steady_ns() + QUESTION_NS : 0;
	while ((result = sqlite3_step(handle)) == SQLITE_ROW) {
		if (!on_row)
			continue;
		read_columns(handle, columns);
		if (on_row(arg, columns) != 0) {
			result = SQLITE_DONE;
			break;
		}
	}
	if (result != SQLITE_DONE)
		err = explain(s->db, result, store->error);
	sqlite3_reset(handle);
	sqlite3_clear_bindings(handle);
	return err;
}

static int sqlite_begin(struct store *store)
{
	return sqlite_run(store, "BEGIN IMMEDIATE", NULL, 0, NULL, NULL);
}

static int sqlite_add_events(struct store *store, const struct store_event_row *rows, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && err == 0; i++) {
		const struct store_event_row *row = &rows[i];

		err = store_exec(store,
				 "INSERT INTO event(id, time, verdict, subject, bytes, duration,"
				 " remote, rest, link) VALUES ($1, $2, $3, $4, $5, $6, $7, $8,"
				 " $9)",
				 store_int(row->id), store_int(row->time_ns),
				 store_int(row->verdict), store_int(row->subject),
				 store_int(row->bytes),
				 row->duration_ms < 0 ? store_null() : store_int(row->duration_ms),
				 store_text(row->remote), store_text(row->rest),
				 row->link ? store_int(row->link) : store_null());
	}
	return err;
}

/* There is no other dashboard on this file. */
static int sqlite_notify(struct store *store, const char *what)
{
	(void)store;
	(void)what;
	return 0;
}

static void sqlite_close(struct store *store)
{
	struct sqlite_store *s = of(store);

	for (unsigned i = 0; i < STATEMENTS; i++) {
		sqlite3_finalize(s->statements[i].handle);
		free(s->statements[i].sql);
	}
	sqlite3_close(s->db);
	free(s);
}

static const struct store_ops sqlite_ops = {
	sqlite_run, sqlite_begin, sqlite_add_events, sqlite_notify, sqlite_close,
};

static int script(struct sqlite_store *s, const char *sql)
{
	int result = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return result == SQLITE_OK ? 0 : explain(s->db, result, s->store.error);
}

static int is_over(void *arg)
{
	const struct sqlite_store *s = arg;

	return s->until_ns > 0 && clock_steady_ns() > s->until_ns;
}

static int update_schema(struct sqlite_store *s)
{
	int64_t version = 0;
	char mark[64];
	int err;

	err = store_begin(&s->store);
	if (err == 0)
		err = store_number(&s->store, "PRAGMA user_version", &version);
	if (err == 0 && version > (int64_t)ARRAY_LEN(schema)) {
		snprintf(s->store.error, STORE_ERROR_MAX,
			 "made by a later version of this program: use that one");
		err = -EIO;
	}
	for (int64_t i = version; i < (int64_t)ARRAY_LEN(schema) && err == 0; i++)
		err = script(s, schema[i]);
	snprintf(mark, sizeof(mark), "PRAGMA user_version = %zu", ARRAY_LEN(schema));
	if (err == 0)
		err = script(s, mark);
	if (err == 0)
		return store_commit(&s->store);
	store_rollback(&s->store);
	return err;
}

int store_sqlite_open(const struct store_config *config, struct store **store,
		      char error[STORE_ERROR_MAX])
{
	bool memory = strncmp(config->path, "memory:", 7) == 0;
	struct sqlite_store *s = calloc(1, sizeof(*s));
	char name[4096];
	int result, err;

	if (!s)
		return -ENOMEM;
	s->store.ops = &sqlite_ops;
	s->store.has_text_index = true;
	/* All connections to a memdb of one name share it. */
	snprintf(name, sizeof(name), memory ? "file:/%s?vfs=memdb" : "%s",
		 config->path + (memory ? 7 : 0));
	result = sqlite3_open_v2(name, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				 SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
				 (memory ? SQLITE_OPEN_URI : 0), NULL);
	err = result == SQLITE_OK ? 0 : explain(s->db, result, s->store.error);
	if (err == 0) {
		sqlite3_busy_timeout(s->db, BUSY_MS);
		sqlite3_progress_handler(s->db, OPCODES_BETWEEN_LOOKS, is_over, s);
		err = script(s, memory ? "PRAGMA journal_mode=MEMORY"
				       : "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
					 "PRAGMA journal_size_limit=67108864;"
					 "PRAGMA mmap_size=268435456;");
	}
	if (err == 0)
		err = script(s, "PRAGMA cache_size=-32768; PRAGMA temp_store=MEMORY");
	if (err == 0)
		err = update_schema(s);
	if (err < 0) {
		snprintf(error, STORE_ERROR_MAX, "DB_PATH: %.128s: the store is %.350s",
			 config->path, s->store.error);
		sqlite_close(&s->store);
		return err;
	}
	*store = &s->store;
	return 0;
}
