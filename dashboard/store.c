/* store.c - what is the same for both stores. */
#include "dashboard/store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dashboard/store_subjects.h"

int store_open(const struct store_config *config, struct store **store,
	       char error[STORE_ERROR_MAX])
{
	if (config->url[0] != '\0')
		return store_pg_open(config, store, error);
	return store_sqlite_open(config, store, error);
}

void store_close(struct store *store)
{
	if (!store)
		return;
	store_subjects_free(store->subjects);
	store->ops->close(store);
}

const char *store_error(const struct store *store)
{
	return store->error;
}

int store_run(struct store *store, const char *sql, const struct store_value *params,
	      unsigned count, store_row_fn *on_row, void *arg)
{
	assert(count <= STORE_PARAMS_MAX);
	return store->ops->run(store, sql, params, count, on_row, arg);
}

int store_begin(struct store *store)
{
	return store->ops->begin(store);
}

int store_commit(struct store *store)
{
	int err = store_run(store, "COMMIT", NULL, 0, NULL, NULL);

	if (err < 0)
		store_rollback(store);
	return err;
}

void store_rollback(struct store *store)
{
	char error[STORE_ERROR_MAX];

	/* What went wrong before is what matters. */
	text_copy(error, sizeof(error), store->error);
	(void)store_run(store, "ROLLBACK", NULL, 0, NULL, NULL);
	text_copy(store->error, sizeof(store->error), error);
	/* Ids that were given out in the transaction are void. */
	store_subjects_free(store->subjects);
	store->subjects = NULL;
}

int store_notify(struct store *store, const char *what)
{
	return store->ops->notify(store, what);
}

static int on_number(void *arg, const struct store_value *columns)
{
	*(int64_t *)arg = columns[0].number;
	return 0;
}

int store_number(struct store *store, const char *sql, int64_t *number)
{
	return store_run(store, sql, NULL, 0, on_number, number);
}

void sql_init(struct sql *sql, const char *text)
{
	out_init(&sql->text, 64 << 10);
	sql->count = 0;
	out_text(&sql->text, text);
}

void sql_finish(struct sql *sql)
{
	out_finish(&sql->text);
}

void sql_put(struct sql *sql, const char *text)
{
	out_text(&sql->text, text);
}

void sql_param(struct sql *sql, struct store_value value)
{
	assert(sql->count < STORE_PARAMS_MAX);
	sql->params[sql->count++] = value;
	out_print(&sql->text, "$%u", sql->count);
}

int sql_run(struct store *store, struct sql *sql, store_row_fn *on_row, void *arg)
{
	if (sql->text.failed)
		return -ENOMEM;
	return store_run(store, sql->text.at, sql->params, sql->count, on_row, arg);
}
