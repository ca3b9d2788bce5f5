/* udp_table.c - flows by who speaks to which of our addresses and ports. */
#include "forward/udp_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int udp_table_init(struct udp_table *table, uint32_t entries)
{
	uint32_t slots = 64;

	while (slots < entries)
		slots *= 2;
	*table = (struct udp_table){ .mask = slots - 1 };
	if (getrandom(&table->secret, sizeof(table->secret), 0) != sizeof(table->secret))
		return -EIO;
	table->slots = calloc(slots, sizeof(struct udp_entry *));
	return table->slots ? 0 : -ENOMEM;
}

void udp_table_finish(struct udp_table *table)
{
	free(table->slots);
	*table = (struct udp_table){ 0 };
}

void udp_key_make(struct udp_key *key, const union addr *from, const struct udp_local *local,
		  uint16_t listener)
{
	uint64_t ends = (uint64_t)listener << 16;

	if (from->sa.sa_family == AF_INET) {
		key->words = 2;
		key->word[0] = (uint64_t)from->v4.sin_addr.s_addr << 32 | local->v4.s_addr;
		key->word[1] = ends | from->v4.sin_port;
		return;
	}
	key->words = 5;
	memcpy(&key->word[0], &from->v6.sin6_addr, 16);
	memcpy(&key->word[2], &local->v6, 16);
	/* Link-local addresses are only unique on their link. */
	key->word[4] = (uint64_t)from->v6.sin6_scope_id << 32 | ends | from->v6.sin6_port;
}

struct udp_entry *udp_table_find(const struct udp_table *table, const struct udp_key *key,
				 uint64_t *hash)
{
	struct udp_entry *entry;

	*hash = siphash(&table->secret, key->word, key->words * sizeof(key->word[0]));
	for (entry = table->slots[*hash & table->mask]; entry; entry = entry->next)
		if (entry->hash == *hash && udp_key_equal(&entry->key, key))
			break;
	return entry;
}

void udp_table_put(struct udp_table *table, struct udp_entry *entry)
{
	struct udp_entry **slot = &table->slots[entry->hash & table->mask];

	entry->next = *slot;
	*slot = entry;
}

void udp_table_remove(struct udp_table *table, struct udp_entry *entry)
{
	struct udp_entry **link = &table->slots[entry->hash & table->mask];

	while (*link != entry) {
		assert(*link != NULL);
		link = &(*link)->next;
	}
	*link = entry->next;
	entry->next = NULL;
}
