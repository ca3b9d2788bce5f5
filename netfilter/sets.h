/* sets.h - sets of addresses and ports that the rules look things up in.
 * Their content is fixed when they are made (flag "constant"): another list is another set, put in
 * by another transaction, and nobody can slip an element in unseen while a rule uses the set. */
#ifndef NETFILTER_SETS_H
#define NETFILTER_SETS_H

#include <stdio.h>

#include "core/addr.h"
#include "core/options.h"
#include "netfilter/batch.h"

enum set_kind { SET_PORTS, SET_V4, SET_V6 };

struct set {
	const char *name;
	enum set_kind kind;
	bool interval;                          /* of ranges; otherwise of single values */
	size_t count;
	const struct port_range *ports;          /* SET_PORTS: sorted, disjoint, borrowed */
	const struct addr_range *ranges;        /* SET_V4, SET_V6: likewise */
};

/* Add the empty set, the id-th of this transaction, from 1.  0 or -ENOMEM. */
int set_create(const struct set *set, const char *table, uint32_t id, struct batch *batch);
/* Add one message with elements from *from on and move it behind them, at most to set->count.
 * 0 or -ENOMEM. */
int set_fill(const struct set *set, const char *table, size_t *from, struct batch *batch);

/* As `nft list` writes it. */
void set_print(const struct set *set, FILE *out);

#endif
