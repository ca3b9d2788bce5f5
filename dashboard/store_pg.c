/* store_pg.c - the store in PostgreSQL, or what speaks its protocol.
 * A lost connection fails the call that finds it so; the next one connects again. */
#include "dashboard/store_pg.h"

#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"

enum { STATEMENTS = 128, NUMBER_LEN = 24, OID_BIGINT = 20, OID_SMALLINT = 21, OID_INT = 23,
       OID_NUMERIC = 1700 };

struct pg_store {
	struct store store;
	PGconn *conn;
	char *prepared[STATEMENTS];     /* their texts; the place is the name */
	unsigned prepared_count;
	bool can_notify, listens;
};

static const char *const schema[] = {
	"CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value BIGINT NOT NULL)",
	"INSERT INTO meta(key, value) VALUES ('next_id', 0), ('cleared', 0), ('unblocks', 0),"
	" ('acks', 0), ('auth', 0), ('ended', 0) ON CONFLICT (key) DO NOTHING",
	"CREATE TABLE IF NOT EXISTS subject(id BIGSERIAL PRIMARY KEY, digest TEXT NOT NULL UNIQUE,"
	" verdict BIGINT NOT NULL, component TEXT, name TEXT, source_ip TEXT, destination_ip TEXT,"
	" hostname TEXT, reason TEXT, json TEXT NOT NULL, search TEXT NOT NULL,"
	" count BIGINT NOT NULL, last_seen BIGINT NOT NULL)",
	"CREATE TABLE IF NOT EXISTS event(id BIGINT PRIMARY KEY, time BIGINT NOT NULL,"
	" verdict BIGINT NOT NULL, subject BIGINT NOT NULL, bytes BIGINT NOT NULL,"
	" duration BIGINT, remote TEXT NOT NULL, rest TEXT NOT NULL)",
	/* Only of connections that have not ended: a small index. */
	"ALTER TABLE event ADD COLUMN IF NOT EXISTS link BIGINT",
	"CREATE INDEX IF NOT EXISTS event_link ON event(link, id) WHERE link IS NOT NULL",
	/* The newest events that were completed, for the other dashboards' streams. */
	"CREATE TABLE IF NOT EXISTS ended(number BIGINT PRIMARY KEY, event BIGINT NOT NULL)",
	"CREATE INDEX IF NOT EXISTS event_subject ON event(subject, id)",
	"CREATE INDEX IF NOT EXISTS event_time ON event(time, verdict, subject, bytes, duration)",
	"CREATE TABLE IF NOT EXISTS unblock(id TEXT PRIMARY KEY, type TEXT NOT NULL,"
	" value TEXT NOT NULL, target TEXT NOT NULL, state TEXT NOT NULL, remove BIGINT NOT NULL,"
	" once BIGINT NOT NULL, created BIGINT NOT NULL, expires BIGINT NOT NULL,"
	" completed BIGINT NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL, error TEXT NOT NULL,"
	" policy_hash TEXT NOT NULL, acked_by TEXT NOT NULL, undoes TEXT NOT NULL)",
	"CREATE INDEX IF NOT EXISTS unblock_state ON unblock(state, completed)",
	"CREATE TABLE IF NOT EXISTS audit(id BIGSERIAL PRIMARY KEY, time BIGINT NOT NULL,"
	" who TEXT NOT NULL, source TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL,"
	" detail TEXT NOT NULL)",
	"CREATE TABLE IF NOT EXISTS api_key(id TEXT PRIMARY KEY, label TEXT NOT NULL,"
	" hash TEXT NOT NULL UNIQUE, scope TEXT NOT NULL, created BIGINT NOT NULL)",
	"CREATE TABLE IF NOT EXISTS account(name TEXT PRIMARY KEY, hash TEXT NOT NULL)",
	"CREATE TABLE IF NOT EXISTS session(hash TEXT PRIMARY KEY, name TEXT NOT NULL,"
	" created BIGINT NOT NULL, expires BIGINT NOT NULL)",
	"CREATE TABLE IF NOT EXISTS instance(id TEXT PRIMARY KEY, hostname TEXT NOT NULL,"
	" last_seen BIGINT NOT NULL, json TEXT NOT NULL)",
};

static struct pg_store *of(struct store *store)
{
	return (struct pg_store *)store;        /* its first member */
}

/* The server's words are several lines, the first says it. */
static int explain(struct pg_store *s, const PGresult *result)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *said = result ? PQresultErrorMessage(result) : PQerrorMessage(s->conn);
	int len = (int)strcspn(said, "\n");

	if (PQstatus(s->conn) != CONNECTION_OK) {
		snprintf(s->store.error, STORE_ERROR_MAX,
			 "not reached (%.*s): is PostgreSQL up, and DATABASE_URL right?", len,
			 said);
		return -ENOTCONN;
	}
	snprintf(s->store.error, STORE_ERROR_MAX, "PostgreSQL: %.*s", len, said);
	if (state && strncmp(state, "53100", 5) == 0)
		return -ENOSPC;
	if (state && (strncmp(state, "40", 2) == 0 || strncmp(state, "55P03", 5) == 0))
		return -EBUSY;
	if (state && strncmp(state, "XX", 2) == 0)
		return -EBADMSG;
	return -EIO;
}

static void forget_prepared(struct pg_store *s)
{
	for (unsigned i = 0; i < s->prepared_count; i++)
		free(s->prepared[i]);
	s->prepared_count = 0;
}

static int connected(struct pg_store *s)
{
	if (PQstatus(s->conn) == CONNECTION_OK)
		return 0;
	forget_prepared(s);
	PQreset(s->conn);
	if (PQstatus(s->conn) != CONNECTION_OK)
		return explain(s, NULL);
	if (s->listens)
		PQclear(PQexec(s->conn, "LISTEN ringfence"));
	return 0;
}

/* The name under which the server knows sql; false: it does not, and is asked in full. */
static bool prepared_name(struct pg_store *s, const char *sql, char name[16])
{
	PGresult *result;
	bool good;

	for (unsigned i = 0; i < s->prepared_count; i++) {
		if (strcmp(s->prepared[i], sql) == 0) {
			snprintf(name, 16, "s%u", i);
			return true;
		}
	}
	if (s->prepared_count == STATEMENTS)
		return false;
	snprintf(name, 16, "s%u", s->prepared_count);
	result = PQprepare(s->conn, name, sql, 0, NULL);
	good = PQresultStatus(result) == PGRES_COMMAND_OK;
	PQclear(result);
	if (!good)
		return false;
	s->prepared[s->prepared_count] = strdup(sql);
	s->prepared_count += s->prepared[s->prepared_count] != NULL;
	return s->prepared_count > 0 && s->prepared[s->prepared_count - 1] != NULL;
}

/* Values as the protocol's texts: without NUL, and in UTF-8. */
struct texts {
	const char *at[STORE_PARAMS_MAX];
	char *own[STORE_PARAMS_MAX];
	char numbers[STORE_PARAMS_MAX][NUMBER_LEN];
};

static bool make_texts(struct texts *texts, const struct store_value *params, unsigned count)
{
	bool good = true;

	memset(texts->own, 0, sizeof(texts->own));
	for (unsigned i = 0; i < count; i++) {
		struct str text = params[i].text;
		struct out out;
		size_t len;

		texts->at[i] = NULL;
		if (params[i].type == STORE_INT) {
			snprintf(texts->numbers[i], NUMBER_LEN, "%" PRId64, params[i].number);
			texts->at[i] = texts->numbers[i];
		} else if (params[i].type == STORE_TEXT) {
			out_init(&out, text.len * 3);
			out_utf8(&out, (struct str){ text.at ? text.at : "", text.len });
			texts->at[i] = texts->own[i] = out_take(&out, &len);
			good = good && texts->own[i];
		}
	}
	return good;
}

static void free_texts(struct texts *texts)
{
	for (unsigned i = 0; i < STORE_PARAMS_MAX; i++)
		free(texts->own[i]);
}

static struct store_value read_value(const PGresult *result, int row, int column)
{
	const char *text = PQgetvalue(result, row, column);
	Oid type = PQftype(result, column);

	if (PQgetisnull(result, row, column))
		return store_null();
	if (type == OID_BIGINT || type == OID_INT || type == OID_SMALLINT || type == OID_NUMERIC)
		return store_int(strtoll(text, NULL, 10));
	return store_text(((struct str){ text, (size_t)PQgetlength(result, row, column) }));
}

static void give_rows(const PGresult *result, store_row_fn *on_row, void *arg)
{
	struct store_value columns[STORE_COLUMNS_MAX];
	int width = PQnfields(result);

	for (int row = 0; row < PQntuples(result); row++) {
		for (int i = 0; i < width && i < STORE_COLUMNS_MAX; i++)
			columns[i] = read_value(result, row, i);
		if (on_row(arg, columns) != 0)
			return;
	}
}

static int finish(struct pg_store *s, PGresult *result, const char *sql, store_row_fn *on_row,
		  void *arg)
{
	ExecStatusType status = PQresultStatus(result);
	int err = 0;

	if (status == PGRES_TUPLES_OK) {
		if (on_row)
			give_rows(result, on_row, arg);
	} else if (status != PGRES_COMMAND_OK) {
		err = explain(s, result);
	} else if (strcmp(sql, "COMMIT") == 0 && strcmp(PQcmdStatus(result), "COMMIT") != 0) {
		snprintf(s->store.error, STORE_ERROR_MAX, "PostgreSQL: rolled back");
		err = -EIO;
	}
	PQclear(result);
	return err;
}

static int pg_run(struct store *store, const char *sql, const struct store_value *params,
		  unsigned count, store_row_fn *on_row, void *arg)
{
	struct pg_store *s = of(store);
	struct texts texts;
	char name[16];
	PGresult *result;
	int err = connected(s);

	if (err < 0)
		return err;
	if (count == 0)
		return finish(s, PQexec(s->conn, sql), sql, on_row, arg);
	if (!make_texts(&texts, params, count)) {
		free_texts(&texts);
		return -ENOMEM;
	}
	if (PQtransactionStatus(s->conn) != PQTRANS_INERROR && prepared_name(s, sql, name))
		result = PQexecPrepared(s->conn, name, (int)count, texts.at, NULL, NULL, 0);
	else
		result = PQexecParams(s->conn, sql, (int)count, NULL, texts.at, NULL, NULL, 0);
	free_texts(&texts);
	return finish(s, result, sql, on_row, arg);
}

static int pg_begin(struct store *store)
{
	return pg_run(store, "BEGIN", NULL, 0, NULL, NULL);
}

/* An element of an array's text. */
static void put_element(struct out *out, struct str text)
{
	out_text(out, out->len > 1 ? ",\"" : "\"");
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '"' || text.at[i] == '\\')
			out_put(out, "\\", 1);
		out_put(out, &text.at[i], 1);
	}
	out_put(out, "\"", 1);
}

static void put_int(struct out *out, int64_t number)
{
	out_print(out, "%s%" PRId64, out->len > 1 ? "," : "", number);
}

/* One statement for all of them: each column is an array. */
static int pg_add_events(struct store *store, const struct store_event_row *rows, size_t count)
{
	static const char sql[] =
		"INSERT INTO event(id, time, verdict, subject, bytes, duration, remote, rest,"
		" link)"
		" SELECT a.id, a.time, a.verdict, a.subject, a.bytes, NULLIF(a.duration, -1),"
		" a.remote, a.rest, NULLIF(a.link, 0)"
		" FROM unnest($1::bigint[], $2::bigint[], $3::bigint[],"
		" $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],"
		" $9::bigint[]) AS a(id, time, verdict, subject, bytes, duration, remote, rest,"
		" link)";
	struct store_value params[9];
	struct out columns[9];
	bool failed = false;
	int err;

	for (int i = 0; i < 9; i++) {
		out_init(&columns[i], 256 << 20);
		out_put(&columns[i], "{", 1);
	}
	for (size_t i = 0; i < count; i++) {
		put_int(&columns[0], rows[i].id);
		put_int(&columns[1], rows[i].time_ns);
		put_int(&columns[2], rows[i].verdict);
		put_int(&columns[3], rows[i].subject);
		put_int(&columns[4], rows[i].bytes);
		put_int(&columns[5], rows[i].duration_ms);
		put_element(&columns[6], rows[i].remote);
		put_element(&columns[7], rows[i].rest);
		put_int(&columns[8], rows[i].link);
	}
	for (int i = 0; i < 9; i++) {
		out_put(&columns[i], "}", 1);
		failed = failed || columns[i].failed;
		params[i] = store_text(((struct str){ columns[i].at, columns[i].len }));
	}
	err = failed ? -ENOMEM : pg_run(store, sql, params, 9, NULL, NULL);
	for (int i = 0; i < 9; i++)
		out_finish(&columns[i]);
	return err;
}

/* What changed is a number in meta, for those who look; a notification only wakes them. */
static int pg_notify(struct store *store, const char *what)
{
	int err = 0;

	if (strcmp(what, "events") != 0)
		err = store_exec(store, "UPDATE meta SET value = value + 1 WHERE key = $1",
				 store_text(str_of(what)));
	if (err == 0 && of(store)->can_notify)
		err = pg_run(store, "NOTIFY ringfence", NULL, 0, NULL, NULL);
	return err;
}

static void pg_close(struct store *store)
{
	struct pg_store *s = of(store);

	forget_prepared(s);
	PQfinish(s->conn);
	free(s);
}

static const struct store_ops pg_ops = {
	pg_run, pg_begin, pg_add_events, pg_notify, pg_close,
};

static bool try(struct pg_store *s, const char *sql)
{
	PGresult *result = PQexec(s->conn, sql);
	ExecStatusType status = PQresultStatus(result);

	PQclear(result);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* Dashboards that start at the same time take turns, where the server has such a lock. */
static int update_schema(struct pg_store *s)
{
	int err = 0;

	if (!try(s, "SELECT pg_advisory_lock(7041968)"))
		log_debug("store.no_advisory_lock");
	for (size_t i = 0; i < ARRAY_LEN(schema) && err == 0; i++)
		err = pg_run(&s->store, schema[i], NULL, 0, NULL, NULL);
	/* Nobody may have the right to add it: then subjects are read through. */
	s->store.has_text_index = err == 0 &&
		(try(s, "CREATE EXTENSION IF NOT EXISTS pg_trgm") || true) &&
		try(s, "CREATE INDEX IF NOT EXISTS subject_search ON subject"
		       " USING gin (search gin_trgm_ops)");
	(void)try(s, "SELECT pg_advisory_unlock(7041968)");
	s->can_notify = err == 0 && try(s, "NOTIFY ringfence");
	return err;
}

/* Notices like "relation exists, skipping" are no news. */
static void on_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

int store_pg_open(const struct store_config *config, struct store **store,
		  char error[STORE_ERROR_MAX])
{
	static const char *const names[] = {
		"dbname", "connect_timeout", "client_encoding", "application_name",
		"keepalives_idle", "tcp_user_timeout", "options", NULL,
	};
	const char *values[] = {
		config->url, "5", "UTF8", "ringfence-dashboard", "30", "30000",
		"-c statement_timeout=30000 -c lock_timeout=10000", NULL,
	};
	struct pg_store *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->store.ops = &pg_ops;
	s->store.is_pg = true;
	/* A URL as dbname is taken apart, and what it says wins over what stands before it. */
	s->conn = PQconnectdbParams(names, values, 1);
	PQsetNoticeReceiver(s->conn, on_notice, NULL);
	err = PQstatus(s->conn) == CONNECTION_OK ? update_schema(s) : explain(s, NULL);
	if (err < 0) {
		snprintf(error, STORE_ERROR_MAX, "DATABASE_URL: the store is %.400s",
			 s->store.error);
		pg_close(&s->store);
		return err;
	}
	*store = &s->store;
	return 0;
}

bool store_pg_listen(struct store *store)
{
	struct pg_store *s = of(store);

	s->listens = s->can_notify && try(s, "LISTEN ringfence");
	return s->listens;
}

void store_pg_wait(struct store *store, int stop_fd, int timeout_ms)
{
	struct pg_store *s = of(store);
	struct pollfd fds[2] = {
		{ .fd = stop_fd, .events = POLLIN },
		{ .fd = s->listens && PQstatus(s->conn) == CONNECTION_OK ? PQsocket(s->conn) : -1,
		  .events = POLLIN },
	};
	PGnotify *notify;
	bool told = false;

	/* One may have come with an answer. */
	while ((notify = PQnotifies(s->conn))) {
		PQfreemem(notify);
		told = true;
	}
	if (told || poll(fds, 2, timeout_ms) <= 0 || !fds[1].revents)
		return;
	if (!PQconsumeInput(s->conn))
		log_warn("store.error", log_str("err", "the connection to PostgreSQL is lost"));
	while ((notify = PQnotifies(s->conn)))
		PQfreemem(notify);
}
