/* udp_flow.h - one client address and port, and the socket that speaks to the target for it.
 *
 *   RESOLVING ──▶ OPEN ──▶ freed
 *
 * RESOLVING may go straight to freed; a target that is an address begins with OPEN. */
#ifndef FORWARD_UDP_FLOW_H
#define FORWARD_UDP_FLOW_H

#include "forward/target.h"
#include "forward/udp.h"
#include "forward/udp_train.h"

enum udp_state { UDP_RESOLVING, UDP_OPEN };
enum { UDP_UP, UDP_DOWN, UDP_LANES };

/* One direction. */
struct udp_lane {
	struct udp_lane *next_busy;
	uint8_t index;                  /* UDP_UP or UDP_DOWN */
	bool busy;                      /* in udp->busy; holds the owner */
	uint16_t first, last;           /* buffers that wait to be passed on; BUF_NONE: none */
	uint16_t segment_max;           /* see udp_train.h */
	uint64_t datagrams, bytes;      /* passed on */
	uint64_t received;              /* bytes */
};

struct udp_flow {
	struct owner owner;             /* first: pool.h keeps it readable */
	struct udp_entry entry;
	struct udp *udp;
	struct udp_listener *listener;
	struct udp_rx rx;               /* answers; fd -1: not yet connected */
	struct op cancel;
	struct timer timer;             /* idle; holds the owner while armed */
	struct target_ask ask;
	enum udp_state state;
	enum close_reason reason;
	struct udp_lane lanes[UDP_LANES];
	uint16_t held;                  /* RESOLVING: buffers kept, and their bytes */
	uint32_t held_bytes;
	union addr client, dialled;
	struct udp_local local;
	uint64_t id, opened_ms, active_ms;
};

static inline struct metrics *udp_metrics(const struct udp *udp)
{
	return &udp->filter->worker->metrics;
}

static inline const struct forward_settings *udp_forward(const struct udp *udp)
{
	return udp->filter->settings->forward;
}

/* udp_flow.c */
/* A datagram that a listener got: to its flow, which may be new. */
void udp_flow_client(struct udp_listener *listener, const struct datagram *datagram);
/* May be called anywhere, twice too: the first reason wins. */
void udp_flow_close(struct udp_flow *flow, enum close_reason reason);
/* An event with what is known of the flow; and that it has been connected. */
void udp_flow_event(const struct udp_flow *flow, struct event *event, enum event_kind kind);
void udp_flow_opened(struct udp_flow *flow);

/* udp_dial.c: find the target, now or later; RESOLVING becomes OPEN, or the flow is closed. */
void udp_dial(struct udp_flow *flow);

/* udp_lane.c */
void udp_lane_put(struct udp_lane *lane, const struct datagram *datagram);
/* It has something to pass on at the end of the turn. */
void udp_lane_busy(struct udp_lane *lane);
void udp_lane_flush(struct udp_lane *lane);
void udp_lane_drop(struct udp_lane *lane);

#endif
