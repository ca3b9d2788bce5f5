/* udp.h - the UDP side of a worker: listeners, and flows, one for each client address and port.
 *
 * A client's first datagram opens a flow with a socket of its own that is connected to the target,
 * so that answers can come from nowhere else and go to nobody else.  What comes in one turn of the
 * loop is passed on at its end, those of a flow together. */
#ifndef FORWARD_UDP_H
#define FORWARD_UDP_H

#include "core/pool.h"
#include "forward/filter.h"
#include "forward/udp_receive.h"
#include "forward/udp_table.h"

enum { UDP_BUFS = 64, UDP_BUFS_MAX = 1024 };           /* of 64 KiB, resident where used */
/* While TARGET is looked up a flow keeps so much, and all flows of a worker together so many. */
enum { UDP_HELD_MAX = 4, UDP_HELD_BYTES = 65536, UDP_HELD_ALL_MAX = UDP_BUFS_MAX / 4 };

struct udp_flow;

struct udp_listener {
	struct owner owner;
	struct udp *udp;
	struct udp_rx rx;
	struct op cancel;
	struct timer retry;             /* after an error: received from again later */
	struct forward_port *port;
	union addr addr;
	uint16_t number;
	struct udp_flow *last;          /* whose datagram came last: the next is often its too */
	struct udp_listener *next, **link;
};

/* What waits to be passed on, by the number of its buffer. */
struct udp_queued {
	uint8_t *data;
	uint16_t len, segment, next;
};

struct udp {
	struct filter *filter;
	struct udp_inlet inlet;
	struct udp_listener *listeners; /* those that have not ended */
	struct pool flows;
	struct udp_table table;
	struct udp_lane *busy;          /* have something to pass on this turn */
	uint16_t listener_count;
	unsigned held;                  /* buffers that wait for a lookup */
	struct flood refused, strangers, dial_errors;
	struct udp_queued queued[UDP_BUFS_MAX];
};

/* For a forward of UDP.  0 or -errno; *udp is to be finished in any case. */
int udp_open(struct filter *filter, struct udp **udp);
/* 0 or -errno. */
int udp_listen(struct udp *udp, const struct filter_listener *what);
/* Everything ends with its last request. */
void udp_close(struct udp *udp);
bool udp_idle(const struct udp *udp);
void udp_finish(struct udp *udp);

/* After each turn of the loop: pass on what came in it. */
void udp_turn(struct udp *udp);

#endif
