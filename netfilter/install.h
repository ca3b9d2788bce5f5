/* install.h - what nft.c and install.c share. */
#ifndef NETFILTER_INSTALL_H
#define NETFILTER_INSTALL_H

#include "netfilter/batch.h"
#include "netfilter/learned.h"
#include "netfilter/nft.h"
#include "netfilter/rules.h"

struct nft {
	struct mnl_socket *netlink;
	uint32_t seq;
	char error[BATCH_ERROR_MAX];

	bool was_changed;               /* by somebody else: for nft_was_changed() */
	bool installed;                 /* by us, and what follows is about it */
	uint32_t generation;            /* of the ruleset when our table was last seen whole */
	uint64_t fingerprint;           /* of our table then */
	unsigned side;                  /* whose names its sets have: see table_init() */
	unsigned chain_count, set_count;
	const char *chains[TABLE_CHAINS_MAX], *sets[TABLE_SETS_MAX];
	const char *learned_sets[OPENED_SETS];  /* NULL: not dns-strict */
	struct learned_table learned;   /* no memory before dns-strict is installed */
};

/* Note what failed for nft_error(); returns err. */
int nft_fail(struct nft *nft, int err, const char *what);

/* A transaction on top of that generation of the ruleset (0: any).  0 or -ENOMEM. */
int transaction_begin(struct nft *nft, struct batch *batch, uint32_t generation);
/* Commit it, or only drop it when err says that it could not be put together.  0 or -errno. */
int transaction_end(struct nft *nft, struct batch *batch, int err);
/* The generation that our transaction makes of this one. */
uint32_t generation_after(uint32_t generation);
/* CLOCK_MONOTONIC. */
uint64_t learned_now_ms(void);
/* Does the kernel hold what was learned, nothing else and nothing longer?  1, 0 or -errno; -EINTR:
 * it changed while we read. */
int learned_verify(struct nft *nft);
/* A message about our table itself. */
int transaction_table(struct batch *batch, uint16_t type, uint16_t flags);

#endif
