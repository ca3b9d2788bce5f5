/* udp_table.h - flows by who speaks to which of our addresses and ports; hashed with a key of our
 * own, so that nobody can choose addresses that fall into one slot. */
#ifndef FORWARD_UDP_TABLE_H
#define FORWARD_UDP_TABLE_H

#include "core/siphash.h"
#include "forward/udp_receive.h"

enum { UDP_KEY_WORDS = 5 };

struct udp_key {
	uint64_t word[UDP_KEY_WORDS];   /* the first `words` count; IPv4 needs two */
	uint32_t words;
};

/* Part of what is in a table. */
struct udp_entry {
	struct udp_entry *next;
	uint64_t hash;
	struct udp_key key;
};

struct udp_table {
	struct udp_entry **slots;
	uint32_t mask;
	struct siphash_key secret;
};

/* For about so many entries.  0 or -errno. */
int udp_table_init(struct udp_table *table, uint32_t entries);
void udp_table_finish(struct udp_table *table);

/* listener: a number of its own for each. */
void udp_key_make(struct udp_key *key, const union addr *from, const struct udp_local *local,
		  uint16_t listener);

static inline bool udp_key_equal(const struct udp_key *a, const struct udp_key *b)
{
	if (a->words != b->words)
		return false;
	for (uint32_t i = 0; i < a->words; i++)
		if (a->word[i] != b->word[i])
			return false;
	return true;
}

/* NULL: there is none, and *hash is what it would be put in by. */
struct udp_entry *udp_table_find(const struct udp_table *table, const struct udp_key *key,
				 uint64_t *hash);
/* With key and hash set. */
void udp_table_put(struct udp_table *table, struct udp_entry *entry);
void udp_table_remove(struct udp_table *table, struct udp_entry *entry);

#endif
