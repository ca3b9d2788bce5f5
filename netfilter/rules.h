/* rules.h - what our table holds, as a description that can be sent or printed. */
#ifndef NETFILTER_RULES_H
#define NETFILTER_RULES_H

#include "netfilter/expr.h"
#include "netfilter/nft.h"
#include "netfilter/sets.h"

enum { TABLE_CHAINS_MAX = 7, TABLE_SETS_MAX = 4 + OPENED_SETS, TABLE_RULES_MAX = 72 };

struct chain {
	const char *name;
	const char *type;               /* "nat" or "filter"; NULL: reached by goto only */
	uint32_t hook, policy;          /* NF_INET_LOCAL_*, NF_ACCEPT or NF_DROP */
	int32_t priority;
	const char *text;               /* its first line, in nft's words; "" without a type */
};

struct set_names {
	const char *own_ports, *inbound_ports, *allowed_v4, *allowed_v6;
	const char *learned[OPENED_SETS];
};

struct table {
	const struct set_names *names;
	unsigned chain_count, set_count, rule_count;
	struct chain chains[TABLE_CHAINS_MAX];
	struct set sets[TABLE_SETS_MAX];
	struct rule rules[TABLE_RULES_MAX];     /* in order within each chain */
	struct port_range own_ports[3];
};

enum { PRIORITY_RAW = -300, PRIORITY_MANGLE = -150, PRIORITY_FILTER = 0 };

enum { DNS_PORT = 53, DNS_TLS_PORT = 853 };     /* also QUIC's */

/* Describe the real rules, or only the closed door.  The lists of *rules and what *opened (NULL:
 * nothing) points to are borrowed.  side, 0 or 1, chooses the names of the sets, so that those of
 * two tables do not clash.  0 or -ENOMEM; table_finish() is due either way. */
int table_init(struct table *table, const struct nft_rules *rules, unsigned side,
	       const struct opened_sets *opened);
int table_init_drop_all(struct table *table);
void table_finish(struct table *table);

/* As `nft list table inet ringfence` writes it, with counters at 0. */
void table_print(const struct table *table, FILE *out);

/* What the files with rules share. */
extern const struct chain chain_refuse, chain_stray;
void table_add_chain(struct table *table, const struct chain *chain);
/* A rule at the end of chain, still without a word. */
struct rule *table_add_rule(struct table *table, const struct chain *chain);
void table_add_nat_out(struct table *table, const struct nft_rules *rules);
void table_add_nat_stray(struct table *table, const struct nft_rules *rules);
void table_add_out(struct table *table, const struct nft_rules *rules, bool inbound);
void table_add_out_drop_all(struct table *table);
/* meta mark M meta skuid U */
void rule_match_ours(struct rule *rule, const struct nft_rules *rules);
/* limit rate 200/second burst 400 packets log prefix "..." group G snaplen S queue-threshold Q */
void rule_log(struct rule *rule, const struct nft_rules *rules, const char *prefix);

#endif
