/* server.c - a DNS server that we ask, and how it fares. */
#include "core/server.h"

#include <stdio.h>

enum {
	CASE_LOST_MAX = 3, CASE_DOUBTS_MAX = 16,
	EARLY_CLOSES_MAX = 2,           /* an ask that meets them goes on */
	ONE_BY_ONE_MS = 60 * 1000,
	EDNS_LOST_MAX = 3,
	NO_EDNS_MS = 10 * 60 * 1000,    /* then it may be another server */
};

void servers_init(struct servers *servers, const struct upstreams *upstreams, unsigned first_index)
{
	char addr[ADDR_TEXT_MAX];
	size_t len = 0;

	memset(servers, 0, sizeof(*servers));
	servers->count = upstreams->count;
	for (unsigned i = 0; i < upstreams->count; i++) {
		struct server *server = &servers->all[i];

		server->addr = upstreams->addrs[i];
		server->tls = upstreams->tls[i];
		server->index = (uint8_t)(first_index + i);
		server->set_size = (uint8_t)upstreams->count;
		snprintf(server->text, sizeof(server->text), "%s%s",
			 server->tls.on ? "tls://" : "", addr_format(&server->addr, addr));
		len += (size_t)snprintf(servers->text + len, sizeof(servers->text) - len, "%s%s",
					i > 0 ? "," : "", server->text);
	}
}

void servers_order(struct servers *servers, uint8_t order[UPSTREAMS_MAX])
{
	unsigned alive = 0, dead = 0;
	uint8_t last[UPSTREAMS_MAX];

	for (unsigned i = 0; i < servers->count; i++) {
		if (atomic_load_explicit(&servers->all[i].dead, memory_order_relaxed))
			last[dead++] = (uint8_t)i;
		else
			order[alive++] = (uint8_t)i;
	}
	memcpy(order + alive, last, dead);
}

void server_heard(struct server *server, uint64_t now_ms)
{
	/* Written only when it changes: all workers read the line. */
	if (atomic_load_explicit(&server->heard_ms, memory_order_relaxed) != now_ms)
		atomic_store_explicit(&server->heard_ms, now_ms, memory_order_relaxed);
	if (atomic_load_explicit(&server->dead, memory_order_relaxed))
		atomic_store_explicit(&server->dead, false, memory_order_relaxed);
}

void server_silent(struct server *server, uint64_t asked_ms, uint64_t now_ms)
{
	if (atomic_load_explicit(&server->heard_ms, memory_order_relaxed) < asked_ms)
		server_refused(server, now_ms);
}

void server_refused(struct server *server, uint64_t now_ms)
{
	if (atomic_exchange_explicit(&server->dead, true, memory_order_relaxed))
		return;
	atomic_store_explicit(&server->probe_at_ms, now_ms + SERVER_PROBE_MS,
			      memory_order_relaxed);
}

bool server_wants_probe(struct server *server, uint64_t now_ms)
{
	uint64_t at = atomic_load_explicit(&server->probe_at_ms, memory_order_relaxed);

	return atomic_load_explicit(&server->dead, memory_order_relaxed) && now_ms >= at &&
	       atomic_compare_exchange_strong_explicit(&server->probe_at_ms, &at,
						       now_ms + SERVER_PROBE_MS,
						       memory_order_relaxed, memory_order_relaxed);
}

bool server_takes_case(const struct server *server)
{
	return atomic_load_explicit(&server->echoes_case, memory_order_relaxed) ||
	       atomic_load_explicit(&server->case_lost, memory_order_relaxed) < CASE_LOST_MAX;
}

void server_keeps_case(struct server *server)
{
	if (!atomic_load_explicit(&server->echoes_case, memory_order_relaxed))
		atomic_store_explicit(&server->echoes_case, true, memory_order_relaxed);
	if (atomic_load_explicit(&server->case_doubts, memory_order_relaxed) > 0)
		atomic_store_explicit(&server->case_doubts, 0, memory_order_relaxed);
}

/* Nobody guesses port and id that often between two answers; but what is behind an address can be
 * exchanged. */
bool server_may_lose_case(struct server *server)
{
	if (!atomic_load_explicit(&server->echoes_case, memory_order_relaxed))
		return true;
	if (atomic_fetch_add_explicit(&server->case_doubts, 1, memory_order_relaxed) + 1 <
	    CASE_DOUBTS_MAX)
		return false;
	atomic_store_explicit(&server->echoes_case, false, memory_order_relaxed);
	atomic_store_explicit(&server->case_lost, 0, memory_order_relaxed);
	return true;
}

void server_loses_case(struct server *server)
{
	if (server_takes_case(server))
		atomic_fetch_add_explicit(&server->case_lost, 1, memory_order_relaxed);
}

bool server_takes_edns(const struct server *server, uint64_t now_ms)
{
	return now_ms >= atomic_load_explicit(&server->no_edns_until_ms, memory_order_relaxed);
}

void server_answered(struct server *server, bool edns, uint64_t now_ms)
{
	if (edns) {
		if (atomic_load_explicit(&server->edns_lost, memory_order_relaxed) > 0)
			atomic_store_explicit(&server->edns_lost, 0, memory_order_relaxed);
		return;
	}
	if (!server_takes_edns(server, now_ms) ||
	    atomic_fetch_add_explicit(&server->edns_lost, 1, memory_order_relaxed) + 1 <
	    EDNS_LOST_MAX)
		return;
	atomic_store_explicit(&server->edns_lost, 0, memory_order_relaxed);
	atomic_store_explicit(&server->no_edns_until_ms, now_ms + NO_EDNS_MS,
			      memory_order_relaxed);
}

bool server_wants_one_by_one(const struct server *server, uint64_t now_ms)
{
	return now_ms < atomic_load_explicit(&server->one_by_one_until_ms, memory_order_relaxed);
}

void server_closed_early(struct server *server, uint64_t now_ms)
{
	if (atomic_fetch_add_explicit(&server->early_closes, 1, memory_order_relaxed) + 1 >=
	    EARLY_CLOSES_MAX)
		atomic_store_explicit(&server->one_by_one_until_ms, now_ms + ONE_BY_ONE_MS,
				      memory_order_relaxed);
}

void server_takes_many(struct server *server)
{
	if (atomic_load_explicit(&server->early_closes, memory_order_relaxed) == 0)
		return;
	atomic_store_explicit(&server->early_closes, 0, memory_order_relaxed);
	atomic_store_explicit(&server->one_by_one_until_ms, 0, memory_order_relaxed);
}
