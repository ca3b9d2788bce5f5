/* sets.h - sets of addresses and ports that the rules look things up in.
 * The content of most is fixed when they are made (flag "constant"): another list is another set,
 * put in by another transaction, and nobody can slip an element in unseen while a rule uses the
 * set.  What names have opened comes and goes by the minute: those sets are the others, their
 * elements have timeouts, and nft_verify() counts them. */
#ifndef NETFILTER_SETS_H
#define NETFILTER_SETS_H

#include <stdio.h>

#include "core/addr.h"
#include "core/options.h"
#include "netfilter/batch.h"
#include "netfilter/nft.h"

enum set_kind { SET_PORTS, SET_V4, SET_V6, SET_V4_PORTS, SET_V6_PORTS };

/* One element of a learned set: an address, or an address and ports. */
struct opened {
	union addr addr;
	struct learned_ports ports;             /* protocol 0: none, it is all of them */
	uint64_t left_ms;                       /* until it goes by itself */
};

/* What the kernel takes: room for those that have run out and are not swept up yet. */
enum { OPENED_SIZE = 2 * LEARNED_MAX };

/* The learned sets: of addresses, then of addresses and ports; IPv4 first each time. */
enum { OPENED_ADDRS = 0, OPENED_PORTS = 2, OPENED_SETS = 4 };
extern const enum set_kind opened_kinds[OPENED_SETS];
/* Which of them such an element belongs to. */
unsigned opened_set(const struct opened *opened);

struct opened_sets {
	const struct opened *elements[OPENED_SETS];
	size_t count[OPENED_SETS];
};

struct set {
	const char *name;
	enum set_kind kind;
	bool interval;                          /* of ranges; otherwise of single values */
	bool learned;                           /* of struct opened */
	size_t count;
	const struct port_range *ports;          /* SET_PORTS: sorted, disjoint, borrowed */
	const struct addr_range *ranges;        /* SET_V4, SET_V6: likewise */
	const struct opened *opened;            /* learned: borrowed too */
};

/* Add the empty set, the id-th of this transaction, from 1.  0 or -ENOMEM. */
int set_create(const struct set *set, const char *table, uint32_t id, struct batch *batch);
/* Add one message with elements from *from on and move it behind them, at most to set->count.
 * 0 or -ENOMEM. */
int set_fill(const struct set *set, const char *table, size_t *from, struct batch *batch);
/* The same to add (NFT_MSG_NEWSETELEM, NLM_F_EXCL: none of them is there) or to delete
 * (NFT_MSG_DELSETELEM) elements of a learned set that is in force. */
int set_change(const struct set *set, const char *table, uint16_t type, uint16_t flags,
	       size_t *from, struct batch *batch);

/* As `nft list` writes it. */
void set_print(const struct set *set, FILE *out);

#endif
