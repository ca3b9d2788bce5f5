/* upkeep.c - retention. */
#include "dashboard/upkeep.h"

#include "core/log.h"
#include "dashboard/rfc3339.h"
#include "dashboard/store_events.h"

/* Counting what is kept costs little, but not nothing. */
#define PRUNE_EVERY_NS (NS_PER_S / 4)

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
	upkeep_prune(arg, store);
}

int upkeep_follow(struct server *server, char error[STORE_ERROR_MAX])
{
	(void)server;
	(void)error;
	return 0;
}

void upkeep_stop(struct server *server)
{
	(void)server;
}
