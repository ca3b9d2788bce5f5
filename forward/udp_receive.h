/* udp_receive.h - datagrams in: one at a time, or as a train of equals that the kernel has put
 * together (UDP_GRO), each in a buffer of the loop's. */
#ifndef FORWARD_UDP_RECEIVE_H
#define FORWARD_UDP_RECEIVE_H

#include "core/addr.h"
#include "core/loop.h"
#include "core/metrics.h"

/* Of one loop: who waits for buffers, and where things are counted. */
struct udp_inlet {
	struct metrics *metrics;
	struct udp_rx *starved;
};

struct datagram {
	uint8_t *data;
	uint16_t len;                   /* of all of a train */
	uint16_t segment;               /* bytes of each of a train but the last; len: it is one */
	uint16_t buf;                   /* the receiver's, until bufs_return() */
	const union addr *from;         /* a listener's: who sent it */
	struct udp_local {              /* and to which of our addresses */
		union {
			struct in_addr v4;
			struct in6_addr v6;
		};
		uint32_t interface;
	} local;
};

/* A socket that is received from; part of its owner. */
struct udp_rx {
	struct op op;
	struct udp_inlet *inlet;
	int fd;
	bool named;                     /* wants from and local */
	bool starved;                   /* waits for buffers; holds the owner */
	struct udp_rx *next_starved;
	void (*got)(struct udp_rx *rx, const struct datagram *datagram);
	bool (*failed)(struct udp_rx *rx, int err);     /* -errno; true: go on at once */
};

/* Begin, on a socket that was prepared. */
void udp_receive(struct udp_rx *rx);
/* Once a turn, when what came in the turn has been passed on: those that had no buffer go on. */
void udp_feed_starved(struct udp_inlet *inlet);

/* Ask the kernel for what a datagram says of itself.  0 or -errno. */
int udp_receive_prepare(int fd, sa_family_t family, bool named);

#endif
