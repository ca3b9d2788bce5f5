/* channel.h - a c-ares channel as every question of ours has it: told all that the environment
 * (RES_OPTIONS, LOCALDOMAIN) or a file could set, asking nobody but the servers it is given, and
 * remembering nothing. */
#ifndef CORE_CHANNEL_H
#define CORE_CHANNEL_H

#define CARES_NO_DEPRECATED 1           /* 1.28 and newer would rather have other names */
#include <ares.h>

#include "core/resolv_conf.h"

struct channel_how {
	const struct upstreams *servers;
	unsigned first;                 /* the server to begin with; the others follow in turn */
	int try_ms;                     /* for the first round of servers; c-ares doubles it */
	ares_sock_state_cb wants;       /* what it waits for; with context */
	void *context;
};

/* *channel is for ares_destroy().  0; -EINVAL without a server; -ENOMEM. */
int channel_open(ares_channel *channel, const struct channel_how *how);

#endif
