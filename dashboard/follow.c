/* follow.c - several dashboards on one PostgreSQL: what any of them stored is streamed by all.
 *
 * A thread looks at a few numbers in the store, the newest event's id and how often unblocks, keys
 * and such have changed, whenever it is told that there is something, and twice a second where the
 * server cannot tell.  Events come out of the store in the order of their ids. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/log.h"
#include "dashboard/auth.h"
#include "dashboard/sse.h"
#include "dashboard/store_events.h"
#include "dashboard/store_pg.h"
#include "dashboard/upkeep.h"
#include "dashboard/waiters.h"

enum { TOLD_MS = 5000, LOOK_MS = 500, AT_ONCE = 1000 };

struct follower {
	struct server *server;
	struct store *store;
	pthread_t thread;
	int stop_fd;
	bool told, complained;
	struct marks {
		int64_t next_id, ended, cleared, unblocks, acks, auth;
	} seen;
};

static int on_mark(void *arg, const struct store_value *columns)
{
	struct marks *marks = arg;
	const struct {
		struct str key;
		int64_t *value;
	} all[] = {
		{ STR("next_id"), &marks->next_id }, { STR("cleared"), &marks->cleared },
		{ STR("unblocks"), &marks->unblocks }, { STR("auth"), &marks->auth },
		{ STR("ended"), &marks->ended }, { STR("acks"), &marks->acks },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_equal(columns[0].text, all[i].key))
			*all[i].value = columns[1].number;
	return 0;
}

static int read_marks(struct store *store, struct marks *marks)
{
	return store_run(store, "SELECT key, value FROM meta", NULL, 0, on_mark, marks);
}

static int on_event(void *arg, struct entry *entry)
{
	struct follower *follower = arg;

	streams_publish(follower->server->hub, entry);
	follower->seen.next_id = entry->id;
	return 0;
}

/* Those behind the last one, page by page; what was removed meanwhile is passed over. */
static int publish_events(struct follower *follower, int64_t newest)
{
	while (follower->seen.next_id < newest) {
		struct event_query query = { .since_id = follower->seen.next_id,
					     .limit = AT_ONCE, .oldest_first = true };
		int64_t before = follower->seen.next_id;
		int err;

		if (query.since_id == 0)
			query.since_id = -1;
		err = store_find_events(follower->store, &query, on_event, follower);
		if (err < 0)
			return err;
		if (follower->seen.next_id == before)
			follower->seen.next_id = newest;
	}
	return 0;
}

static int on_ended(void *arg, struct entry *entry)
{
	struct follower *follower = arg;

	streams_complete(follower->server->hub, entry);
	return 0;
}

/* Behind the events themselves: what is completed has been told. */
static int publish_ends(struct follower *follower, int64_t newest)
{
	while (follower->seen.ended < newest) {
		int64_t since = follower->seen.ended, until = since + AT_ONCE;
		int err;

		if (until > newest)
			until = newest;
		err = store_find_ended_events(follower->store, since, until, on_ended, follower);
		if (err < 0)
			return err;
		follower->seen.ended = until;
	}
	return 0;
}

static int look(struct follower *follower)
{
	struct marks now = follower->seen;
	int err = read_marks(follower->store, &now);

	if (err == 0)
		err = publish_events(follower, now.next_id);
	if (err == 0)
		err = publish_ends(follower, now.ended);
	if (err < 0)
		return err;
	now.next_id = follower->seen.next_id;   /* some came in meanwhile */
	if (now.cleared != follower->seen.cleared)
		streams_say(follower->server->hub, "{\"type\":\"cleared\"}");
	if (now.unblocks != follower->seen.unblocks || now.acks != follower->seen.acks)
		streams_say(follower->server->hub, "{\"type\":\"unblock_status\"}");
	if (now.unblocks != follower->seen.unblocks)
		waiters_wake(follower->server);
	if (now.auth != follower->seen.auth)
		err = auth_reload(follower->server->auth, follower->store);
	if (err == 0)
		follower->seen = now;
	return err;
}

static void *follow(void *arg)
{
	struct follower *follower = arg;
	uint64_t stop;

	while (read(follower->stop_fd, &stop, sizeof(stop)) < 0) {
		int err = look(follower);

		if (err < 0 && !follower->complained)
			log_error("store.error", log_str("err", store_error(follower->store)));
		follower->complained = err < 0;
		store_pg_wait(follower->store, follower->stop_fd,
			      follower->told && err == 0 ? TOLD_MS : LOOK_MS);
	}
	return NULL;
}

int upkeep_follow(struct server *server, char error[STORE_ERROR_MAX])
{
	struct follower *follower;
	sigset_t all, before;
	int err;

	if (server->store.url[0] == '\0')
		return 0;
	follower = calloc(1, sizeof(*follower));
	if (!follower)
		return -ENOMEM;
	server->follower = follower;
	follower->server = server;
	follower->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	err = store_open(&server->store, &follower->store, error);
	if (err < 0)
		return err;
	follower->told = store_pg_listen(follower->store);
	if (!follower->told)
		log_warn("store.no_notify",
			 log_str("note", "looking for events of other dashboards twice a second"));
	/* The hub begins with what there was when it was opened. */
	err = read_marks(follower->store, &follower->seen);
	if (err < 0)
		return err;
	follower->seen.next_id = server->first_id;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&follower->thread, NULL, follow, follower);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

void upkeep_stop(struct server *server)
{
	struct follower *follower = server->follower;
	uint64_t one = 1;

	if (!follower)
		return;
	if (follower->thread && write(follower->stop_fd, &one, sizeof(one)) > 0)
		pthread_join(follower->thread, NULL);
	store_close(follower->store);
	if (follower->stop_fd >= 0)
		close(follower->stop_fd);
	free(follower);
	server->follower = NULL;
}
