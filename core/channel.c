/* channel.c - a c-ares channel as every question of ours has it. */
#include "core/channel.h"

#include <errno.h>
#include <string.h>

enum { TRIES = 4 };

static int set_servers(ares_channel channel, const struct upstreams *servers, unsigned first)
{
	struct ares_addr_port_node nodes[UPSTREAMS_MAX] = { 0 };

	for (unsigned i = 0; i < servers->count; i++) {
		const union addr *addr = &servers->addrs[(first + i) % servers->count];
		struct ares_addr_port_node *node = &nodes[i];

		node->family = addr->sa.sa_family;
		if (node->family == AF_INET)
			node->addr.addr4 = addr->v4.sin_addr;
		else
			memcpy(&node->addr.addr6, &addr->v6.sin6_addr, 16);
		node->udp_port = node->tcp_port = addr_port(addr);
		node->next = i + 1 < servers->count ? node + 1 : NULL;
	}
	return ares_set_servers_ports(channel, nodes) == ARES_SUCCESS ? 0 : -ENOMEM;
}

int channel_open(ares_channel *channel, const struct channel_how *how)
{
	static char lookups[] = "b", no_file[] = "/dev/null";
	struct ares_options options = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = how->try_ms,
		.tries = TRIES,
		.ndots = 1,
		.lookups = lookups,
		.resolvconf_path = no_file,
		.sock_state_cb = how->wants,
		.sock_state_cb_data = how->context,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
		   ARES_OPT_LOOKUPS | ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_STATE_CB |
		   ARES_OPT_NOROTATE | ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_SORTLIST;
	ares_channel made;
	int err;

#ifdef ARES_OPT_QUERY_CACHE
	mask |= ARES_OPT_QUERY_CACHE;           /* qcache_max_ttl 0: no cache but ours */
#endif
	if (how->servers->count == 0)
		return -EINVAL;
	if (ares_init_options(&made, &options, mask) != ARES_SUCCESS)
		return -ENOMEM;
	err = set_servers(made, how->servers, how->first);
	if (err < 0)
		ares_destroy(made);
	else
		*channel = made;
	return err;
}
