/* target.h - TARGET's addresses, for connections and for UDP flows: looked up in the hosts file,
 * then asked for under each name that port.h has; never one that leads back to ourselves. */
#ifndef FORWARD_TARGET_H
#define FORWARD_TARGET_H

#include "forward/filter.h"

struct target_ask;
typedef void target_fn(struct target_ask *ask, const struct answer *answer);

struct target_ask {                     /* embed it in what waits */
	struct lookup lookup;           /* owner: set it before target_ask() */
	struct filter *filter;          /* private from here on */
	target_fn *done;
	uint8_t name_at;
	bool failed;
};

/* By name only.  Returns the answer at once, or NULL and calls done() once later, unless the owner
 * closes; it is good until the worker's next quiet point.  count 0: no such name, or nobody
 * answered (failed). */
const struct answer *target_ask(struct target_ask *ask, struct filter *filter, target_fn *done);

/* Which of these may be dialled for this port, with it: IPv4 first, of each family from another one
 * on for each `turn`.  Fills out with at most max.  *self: some were left out because they are ours
 * and lead back to a port of ours. */
unsigned target_candidates(struct filter *filter, const struct forward_port *port,
			   const union addr *addrs, unsigned count, uint64_t turn,
			   union addr *out, unsigned max, bool *self);

/* Does a packet to this address stay on this host?  Asks the kernel, sends nothing. */
bool target_is_ours(const union addr *addr);

#endif
