/* splice.h - a direction that runs bulk is moved through a pipe by splice(2), without a copy.
 *
 *   copying ──▶ stopping (the receive is being cancelled) ──▶ pumped every tick ◀──▶ dozing
 *      ◀────────────────────────────────────────────────────────────┘ little came
 *
 * A direction that has gone quiet dozes: it has no pipe, and is waited for by poll.  When it wakes
 * with much to move it is pumped again, without a detour by copying.
 *
 * A direction of large messages, each answered before the next (16 KiB of a database, no stream),
 * dozes between them too and is moved as soon as it wakes: two system calls cost less than copying
 * so much twice.
 *
 * splice(2) is called from the loop, on a timer and not for every segment: each call then moves
 * hundreds of KiB (IORING_OP_SPLICE would go to a worker thread each time).  Sockets must not
 * block: SPLICE_F_NONBLOCK is about the pipe only. */
#ifndef FORWARD_SPLICE_H
#define FORWARD_SPLICE_H

#include "forward/conn.h"

enum {
	SPLICE_AFTER = 128 << 10,       /* bytes one way without an answer: bulk */
	SPLICE_TICK_US = 400,
	/* The longest interval, in ticks, when little comes; the most with many directions. */
	SPLICE_TICKS_LEAST = 4, SPLICE_TICKS_MOST = 12,
	SPLICE_TURN = 8 << 20,          /* bytes a turn, for all directions together */
	SPLICE_QUIET = 16,              /* pumps without a byte: doze */
	SPLICE_LITTLE = 32 << 10,       /* woken for less: copy again */
	SPLICE_MESSAGE = 12 << 10,      /* bytes of a large message, at the least */
	SPLICE_MESSAGES = 4,            /* so many in a row: the next ones are moved */
};

struct bulk {                           /* one direction; from the filter's pool */
	struct side *from;
	struct bulk *next, **link;      /* link NULL: not pumped */
	struct pipe pipe;
	uint32_t in_pipe;               /* bytes between the two sockets */
	uint8_t quiet, blocked, ticks;  /* pumps without input, without output; interval */
	bool has_woken, is_little;      /* from its doze just now, and for less than is worth it */
	uint64_t at_us;                 /* of the next pump */
};

/* Bytes of this direction have come; it may become bulk. */
void splice_consider(struct side *from, unsigned received);
/* The queue of a direction that has a splice is empty: pump as soon as its receive has ended. */
void splice_start(struct side *from);
/* Wait for more of a direction that was bulk. */
void splice_doze(struct side *from);
/* Once a turn: pump what is due. */
void splice_turn(struct filter *filter);
/* The connection is going. */
void splice_drop(struct side *from);

#endif
