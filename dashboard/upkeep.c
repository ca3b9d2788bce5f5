/* upkeep.c - retention, of events and of what else gets old. */
#include "dashboard/upkeep.h"

#include "core/log.h"
#include "dashboard/rfc3339.h"
#include "dashboard/store_events.h"
#include "dashboard/store_unblocks.h"

/* Counting what is kept costs little, but not nothing. */
#define PRUNE_EVERY_NS (NS_PER_S / 4)

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
	int64_t now = clock_steady_ns();
	bool more = false;

	if (kept(server) == 0 || now < server->next_prune_ns)
		return;
	if (store_prune(store, kept(server), &more) < 0)
		log_error("store.prune_failed", log_str("err", store_error(store)));
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
