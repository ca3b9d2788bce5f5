/* shapes.h - logged packets counted by their shape: a flow but for its source port, because clients
 * try again and again from another one.
 * The table is of fixed size.  A flood of ever new shapes is told as one event with the number of
 * packets that found no place. */
#ifndef NETFILTER_SHAPES_H
#define NETFILTER_SHAPES_H

#include "netfilter/nflog.h"

enum {
	SHAPES_MAX = 1024,
	SHAPE_SLOTS = 2 * SHAPES_MAX,   /* a power of two, never more than half full */
	SHAPE_KINDS = 3,                /* BLOCKED, ALLOWED, REDIRECTED */
};

struct shape {
	enum event_kind kind;
	uint8_t protocol;
	uint16_t payload_len;           /* this, time and source port: of the first packet */
	uint32_t count;
	uint64_t time_ns;
	union addr src, dst;
};

struct shapes {                         /* all zero: empty */
	unsigned count;
	uint32_t overflow[SHAPE_KINDS];
	struct shape shapes[SHAPES_MAX];
	uint16_t slots[SHAPE_SLOTS];    /* index into shapes, plus 1; 0: free */
};

/* Count a packet, as nflog_decode() gave it. */
void shapes_add(struct shapes *shapes, const struct event *event);
/* Tell each shape in the order of its first packet, then what overflowed; empty the table. */
void shapes_tell(struct shapes *shapes, nflog_fn *tell, void *context);

#endif
