/* filter.h - what one worker needs to filter: settings, pools, listeners, resolver.
 * The way of a connection: listen -> vet -> decide -> dial -> relay; each word is a file. */
#ifndef FORWARD_FILTER_H
#define FORWARD_FILTER_H

#include "core/loop.h"
#include "core/options.h"
#include "core/pipes.h"
#include "core/pool.h"
#include "core/resolver.h"
#include "core/worker.h"
#include "forward/listen.h"

struct dns;
struct dns_settings;
struct forward_port;
struct udp;
struct forward_settings;

struct filter_listener {
	union addr addr;
	enum conn_kind kind;
	struct forward_port *port;      /* CONN_PLAIN */
};

struct filter_settings {                /* shared by all workers, never changed */
	unsigned listener_count;
	const struct filter_listener *listeners;        /* outlives the workers */
	const struct forward_settings *forward;         /* port.h; NULL in a filter */
	const struct dns_settings *dns; /* dns.h; NULL: names are not answered here */
	uint32_t mark, uid;             /* uid 0: sockets stay ours */
	uint32_t conns_max;             /* each listener, all workers together; 0: no limit */
	enum destination_check destination_check;
	bool private_answers;           /* names may resolve to private addresses */
	bool block_explain;
	bool ech_block;
	bool splice;                    /* bulk through pipes */
	/* Where the client wanted to go; false: nowhere, it was not redirected. */
	bool (*original_destination)(int fd, sa_family_t family, union addr *dst);
	uint64_t hello_timeout_ms, connect_timeout_ms;
	uint64_t idle_timeout_ms, lifetime_ms;          /* 0: no limit */
	uint64_t keepalive_ms;          /* silence before a peer is asked for a sign; 0: never */
	_Atomic uint32_t *open;         /* [CONN_KINDS]: open over all workers */
};

/* A fact that may come thousands of times a second: told once in it, with how many there were. */
struct flood {
	uint64_t told_s;                /* the second it was last told in */
	uint32_t untold;
};

/* It happened again.  How many to tell now, 0: nothing. */
static inline uint32_t flood_count(struct flood *flood, uint64_t now_ms)
{
	uint32_t count = ++flood->untold;

	if (now_ms / 1000 == flood->told_s)
		return 0;
	*flood = (struct flood){ .told_s = now_ms / 1000 };
	return count;
}

struct own_addr {                       /* see target.c */
	union addr addr;
	uint64_t until_ms;
	bool is_ours;
};

struct filter {
	struct worker *worker;
	const struct filter_settings *settings;
	struct resolver *resolver;
	struct pool conns;
	struct pool parked;             /* clients that wait: see park.h */
	struct pool vets, vet_pages;    /* see vet.h */
	struct listener *listeners;     /* those that have not ended */
	struct udp *udp;                /* a forward of UDP; else NULL */
	struct dns *dns;                /* the resolver for the workload; may be NULL */
	struct side *ready, *ready_last; /* have received, are pumped after the turn */
	struct side *starved;           /* wait for a receive buffer */
	struct timer starving;          /* looks after them */
	struct pipes pipes;
	bool dumps;                     /* VERBOSE=2: see dump.h */
	struct pool bulks;              /* directions that run bulk */
	struct bulk *pumped;            /* those that are pumped */
	uint64_t next_conn;             /* ids, unique over workers */
	struct flood strangers, refused, accept_errors, parkings;
	struct own_addr own[4];
	struct filter_drain *drain;     /* stopping: told when nothing is open any more */
};

/* Any thread: listeners close, and who waits for a slot; open connections go on until they end.
 * When none is left, done is set and worker->event_fd is written. */
struct filter_drain {
	struct worker *worker;
	_Atomic bool done;
	struct post post;
};
void filter_drain_post(struct filter_drain *drain);

/* The kernel's answer: SO_ORIGINAL_DST of a redirected connection. */
bool filter_redirected_from(int fd, sa_family_t family, union addr *dst);

/* The job of a worker: begin, end, idle, finish (worker.h).  context is a filter_settings. */
extern const struct worker_job filter_job;

/* Any thread: have a worker look at every open connection again, because the policy has changed.
 * A call while an earlier one is still to be run is one with it. */
struct filter_recheck {
	struct worker *worker;
	_Atomic bool pending;
	struct post post;
};
void filter_recheck_post(struct filter_recheck *recheck);

#endif
