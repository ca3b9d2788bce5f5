/* udp_train.h - datagrams out: those of one size that follow one another in one call (UDP_SEGMENT),
 * never waiting. */
#ifndef FORWARD_UDP_TRAIN_H
#define FORWARD_UDP_TRAIN_H

#include <sys/uio.h>

#include "forward/udp_receive.h"

enum {
	TRAIN_MAX = 64,                 /* datagrams that we put together: what Linux 4.18 allows */
	TRAIN_BYTES_MAX = 65507,        /* what an IPv4 packet holds */
};

/* Where to. */
struct udp_way {
	int fd;
	const union addr *to;           /* NULL: where it is connected */
	const struct udp_local *from;   /* with to: of our addresses the one it comes from */
	uint16_t segment_max;           /* larger ones are sent one by one; goes down by itself */
};

struct udp_sent {
	uint32_t datagrams, bytes;
	uint32_t dropped;               /* no room, or no way */
	uint32_t errors;                /* ICMP told of earlier ones; these went out all the same */
};

/* Is this what ICMP says of an earlier datagram? */
bool udp_is_icmp(int err);

/*
 * Datagrams of segment bytes each, the last of all may be shorter, in parts that each hold whole
 * ones.  Adds to *sent.
 */
void udp_train_send(struct udp_way *way, const struct iovec *parts, unsigned count,
		    uint32_t segment, struct udp_sent *sent);

#endif
