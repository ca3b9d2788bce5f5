/* relay.h - copy both ways until both sides have finished.
 * A side that ends early is half-closed; its peer may go on talking. */
#ifndef FORWARD_RELAY_H
#define FORWARD_RELAY_H

#include "forward/conn.h"

/* Start receiving from a side. */
void relay_receive(struct side *side);
/* The same from a server just connected to, which waits to be asked. */
void relay_receive_first(struct side *upstream);
/* Move what can move in the direction that begins at `from`. */
void relay_pump(struct side *from);
/* Sending to this side failed: pass on what it sent before, then end. */
void relay_send_failed(struct side *to);
/* Give back the buffers of a side that is going. */
void relay_drop_queue(struct side *side);
/* After each turn: what was received in it moves on. */
void relay_pump_ready(struct filter *filter);
/* After each turn: sides that found no receive buffer try again. */
void relay_feed_starved(struct filter *filter);

#endif
