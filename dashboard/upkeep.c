/* upkeep.c - retention, of events and of what else gets old. */
#include "dashboard/upkeep.h"

#include "core/log.h"
#include "dashboard/rfc3339.h"
#include "dashboard/store_events.h"
#include "dashboard/store_unblocks.h"

/* Counting what is kept costs little, but not nothing. */
#define PRUNE_EVERY_NS (NS_PER_S / 4)
enum { PRUNE_SOONER = 5000 };   /* when so many have been stored since */

#define EXPIRE_EVERY_NS (30 * NS_PER_S)
#define INSTANCE_KEPT_NS (30 * 24 * 3600 * NS_PER_S)

static int forget_instances(struct store *store)
{
	return store_exec(store, "DELETE FROM instance WHERE last_seen < $1",
			  store_int(clock_now_ns() - INSTANCE_KEPT_NS));
}

static int64_t kept(const struct server *server)
{
	const struct options *options = server->options;

	if (options->ephemeral || strncmp(server->store.path, "memory:", 7) == 0)
		return options->buffer_size > 0 ? options->buffer_size : 1;
	return options->log_retention;
}

void upkeep_prune(struct server *server, struct store *store)
{
	/* Twice what came: however much that is, what is kept shrinks to its bound.  What was too
	 * much before, where the bound was lowered, goes bit by bit: nobody waits long for it. */
	int64_t left = 2 * server->stored_since_prune;
	bool more = true;

	if (kept(server) == 0 || (clock_steady_ns() < server->next_prune_ns &&
				  server->stored_since_prune < PRUNE_SOONER))
		return;
	for (; more && left >= 0; left -= STORE_PRUNED_AT_ONCE) {
		if (store_prune(store, kept(server), &more) < 0) {
			log_error("store.prune_failed", log_str("err", store_error(store)));
			more = false;
		}
	}
	server->stored_since_prune = 0;
	server->next_prune_ns = more ? 0 : clock_steady_ns() + PRUNE_EVERY_NS;
}

void upkeep_tick(void *arg, struct store *store)
{
	struct server *server = arg;
	int64_t now = clock_steady_ns();

	upkeep_prune(server, store);
	if (now < server->next_expiry_ns)
		return;
	server->next_expiry_ns = now + EXPIRE_EVERY_NS;
	if (unblock_expire(store) < 0 || forget_instances(store) < 0 ||
	    store_forget_subjects(store) < 0)
		log_error("store.error", log_str("err", store_error(store)));
}
