/* learned.h - what names have opened: which addresses and ports, for whom, until when.
 * What the kernel holds can be lost with the table, so it is remembered here.  Of fixed size.
 *
 * A claim is one name's to one address and one range of ports; an address is open until the last
 * claim to it ends.  At most four names are kept for each: those that keep it longest.  A name has
 * a share of the table, so that no server of one can fill it with ever new addresses. */
#ifndef NETFILTER_LEARNED_H
#define NETFILTER_LEARNED_H

#include "core/siphash.h"
#include "netfilter/sets.h"

enum { CLAIM_NAME_MAX = 255, CLAIMS_EACH_MAX = 4, CLAIM_CHAINS = 2 * LEARNED_MAX,
       CLAIM_SHARES = 65536 };

struct claim {
	union addr addr;
	struct learned_ports ports;
	uint64_t until_ms;              /* CLOCK_MONOTONIC */
	uint32_t next;                  /* in its chain or among the free: index plus 1 */
	uint32_t share;                 /* its name's */
	uint8_t used, name_len;
	char name[CLAIM_NAME_MAX];
};

/* Where ranges of ports may begin and end, one bit a port: two ranges that share a port and are not
 * equal would not fit into one set, so they are taken in pieces. */
struct port_cuts { uint64_t begins[(UINT16_MAX + 1) / 64]; };

struct learned_table {
	struct claim *claims;           /* LEARNED_MAX; memory is used as it fills */
	struct siphash_key key;         /* whoever answers for a listed name chooses addresses */
	uint32_t *chains;               /* by address and ports */
	uint16_t *shares;               /* how many claims a name has, CLAIM_SHARES: by its hash,
					 * two names in one are rare and only have less */
	uint32_t free;                  /* dropped ones */
	size_t count, high;             /* claims used, ended ones too; and that ever were */
	uint64_t swept_ms;
	struct port_cuts tcp, udp;
};

/* 0, -ENOMEM or -EIO; learned_finish() is due either way. */
int learned_init(struct learned_table *table);
void learned_finish(struct learned_table *table);

/* These ranges begin and end pieces from now on; what is remembered is cut likewise. */
void learned_cut(struct learned_table *table, const struct learned_ports *ports, size_t count);
/* The piece that begins where *rest does; *rest becomes what is behind it, false: nothing was left.
 * protocol 0 is one piece.  -EINVAL: no cut was made where the range begins or ends. */
int learned_check_ports(const struct learned_table *table, const struct learned_ports *ports);
bool learned_piece(const struct learned_table *table, struct learned_ports *rest,
		   struct learned_ports *piece);

/* Until when it is open, 0: it is not. */
uint64_t learned_until(const struct learned_table *table, const struct opened *key);
/* Does the name have a claim to it that lasts? */
bool learned_has(const struct learned_table *table, struct str name, const struct opened *key,
		 uint64_t now_ms);
/* How many claims beyond its share would the name have with so many more? */
size_t learned_beyond(const struct learned_table *table, struct str name, size_t more);
/* Drop so many claims of the name, those that end first.  *dropped has room for as many: what they
 * were to, and how long they had left.  Returns how many, fewer when it had no more. */
size_t learned_evict(struct learned_table *table, struct str name, size_t count, uint64_t now_ms,
		     struct opened *dropped);
/* Is there room for so many claims more?  Ended ones make some. */
bool learned_has_room(struct learned_table *table, size_t claims, uint64_t now_ms);
/* Note a claim, or that it lasts longer.  There must be room. */
void learned_claim(struct learned_table *table, struct str name, const struct opened *key,
		   uint64_t until_ms);
/* Drop ended claims and those keep() says no to; returns how many of the latter had not ended. */
size_t learned_keep(struct learned_table *table, uint64_t now_ms, learned_keep_fn *keep,
		    void *context);

/* Everything that is open, each address and range once; *elements (to be freed) holds what *sets
 * points into.  0 or -ENOMEM. */
int learned_list(const struct learned_table *table, uint64_t now_ms, struct opened **elements,
		 struct opened_sets *sets);
/* How many elements are open for longer than so many milliseconds. */
size_t learned_count(const struct learned_table *table, uint64_t now_ms, uint64_t longer_ms);

#endif
