/* ask_udp.h - questions as datagrams, each from a port that a forger must guess.
 *
 * Sockets are connected, so the kernel drops what others send.  As long as there are few questions
 * each has a socket of its own, and its port goes with its answer.  With many they share a pool, in
 * which each train takes one at random: the questions of one turn to one server that are of one
 * length, which the kernel takes at once (ask_train.h).  UDP_OPENS_PER_S sockets a second are new,
 * so that a whole pool lives for a fraction of a second. */
#ifndef CORE_ASK_UDP_H
#define CORE_ASK_UDP_H

#include "core/ask.h"
#include "core/ask_train.h"

enum {
	UDP_SHARE_MAX = 64,             /* sockets of a worker to the servers of one set */
	UDP_PORTS_MAX = 2 * UDP_SHARE_MAX, /* and to both */
	UDP_OPENS_PER_S = 500,
	UDP_OPENS_BURST = 250,
	UDP_DATAGRAM_MAX = 2048,        /* we offer 1232; one that fills it is asked for by TCP */
};

struct udp_port {
	struct op receive, cancel;
	int fd;                         /* -1: none */
	bool retired;                   /* takes no more tries; closed when none waits */
	uint8_t place;                  /* in its pool, unless retired */
	unsigned waiting;
	struct server *server;
	struct try *tries;
	uint8_t buf[UDP_DATAGRAM_MAX];
};

struct udp_pool {                       /* of one server */
	uint8_t open;                   /* sockets, with the retired ones */
	uint8_t count;                  /* those that take tries: places in udp_ports.all */
	uint8_t ports[UDP_SHARE_MAX];
};

struct udp_ports {
	struct udp_port all[UDP_PORTS_MAX];
	struct udp_pool pools[SERVERS_MAX];     /* by server.index */
	uint8_t free[UDP_PORTS_MAX];    /* places without a socket */
	unsigned free_count;
	uint64_t refill_ms;             /* when opens was counted */
	uint32_t opens;                 /* that may be made now, in thousandths */
	struct timer idle;              /* then those that nobody uses go */
	struct ask_trains trains;
	uint8_t next[UDP_DATAGRAM_MAX]; /* taken from a port beside its receive */
};

void udp_ports_init(struct resolver *resolver);
/* Send it, by the end of the turn.  0, or -errno: it has not been sent, and is on no list.
 * -EEXIST: draw another id. */
int udp_try(struct resolver *resolver, struct try *try);
/* Wait no longer. */
void udp_forget(struct try *try);
/* For ask_train.c: by itself. */
void udp_send_alone(struct try *try);
/* Cancel what is under way; the descriptors go with udp_ports_finish(). */
void udp_ports_close(struct resolver *resolver);
void udp_ports_finish(struct resolver *resolver);

#endif
