/* admit.h - may a client that was accepted come in: allow list, the port's limit, then room. */
#ifndef FORWARD_ADMIT_H
#define FORWARD_ADMIT_H

struct filter;
struct listener;

/* Take over an accepted descriptor: it becomes a connection now, or waits for its turn (park.h), or
 * is closed. */
void admit(struct listener *listener, int fd);
/* No room: the client sees RST, one event a second says how many. */
void admit_refuse(struct filter *filter, int fd);

/* Close it so that the peer sees RST. */
void close_with_reset(int fd);

#endif
