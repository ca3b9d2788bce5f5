/* record_table.c - what is known of names and types: one table for all workers.
 * A set is two cache lines, tags and pointers; a hit reads those two and the entry's first lines.
 * Tag and pointer are not written together, so a reader may miss an entry that is just being put;
 * it then looks again under the resolver's lock on its way to ask.  It never takes one name for
 * another, because the name itself is compared. */
#include "core/record_table.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/siphash.h"

enum {
	NONE_MS = 5 * 1000,             /* "no" without SOA */
	USED_S = 600,                   /* what was asked for again so long ago is not in use */
};

struct record_set {
	_Alignas(64) _Atomic uint32_t tags[RECORD_WAYS];
	_Alignas(64) _Atomic(struct record_entry *) entries[RECORD_WAYS];
};

struct record_table {
	struct record_set sets[RECORD_SETS];
	struct siphash_key key;
	pthread_mutex_t lock;           /* writers, and what follows */
	uint64_t random;
	size_t bytes;
	unsigned hand;                  /* the place that pays next for too many bytes */
};

static_assert((RECORD_SETS & (RECORD_SETS - 1)) == 0, "a set is picked by mask");

int record_table_init(struct record_table **out)
{
	struct record_table *table = aligned_alloc(64, sizeof(*table));

	if (!table)
		return -ENOMEM;
	memset(table, 0, sizeof(*table));
	if (getrandom(&table->key, sizeof(table->key), 0) != sizeof(table->key) ||
	    getrandom(&table->random, sizeof(table->random), 0) != sizeof(table->random)) {
		free(table);
		return -EIO;
	}
	pthread_mutex_init(&table->lock, NULL);
	*out = table;
	return 0;
}

void record_table_finish(struct record_table *table)
{
	if (!table)
		return;
	for (unsigned set = 0; set < RECORD_SETS; set++)
		for (unsigned way = 0; way < RECORD_WAYS; way++) {
			struct record_entry *entry = atomic_load(&table->sets[set].entries[way]);

			if (entry)
				record_release(entry);
		}
	pthread_mutex_destroy(&table->lock);
	free(table);
}

uint64_t record_hash(const struct record_table *table, struct str name)
{
	return siphash(&table->key, name.at, name.len);
}

struct record_key record_key(uint64_t name_hash, struct str name, uint16_t type)
{
	/* The name's part is secret, so nobody can choose two that fall together. */
	uint64_t hash = name_hash ^ type * 0x9e3779b97f4a7c15ULL;

	return (struct record_key){ .hash = hash ^ hash >> 29, .name = name, .type = type };
}

static struct record_set *set_of(struct record_table *table, uint64_t hash)
{
	return &table->sets[hash & (RECORD_SETS - 1)];
}

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

/* -1: not there. */
static int way_of(struct record_set *set, const struct record_key *key, struct record_entry **found)
{
	for (int way = 0; way < RECORD_WAYS; way++) {
		struct record_entry *entry;

		if (atomic_load_explicit(&set->tags[way], memory_order_relaxed) !=
		    tag_of(key->hash))
			continue;
		entry = atomic_load(&set->entries[way]); /* in order: see quiet.c */
		if (entry && entry->hash == key->hash && entry->type == key->type &&
		    entry->name_len == key->name.len &&
		    memcmp(entry->name, key->name.at, key->name.len) == 0) {
			*found = entry;
			return way;
		}
	}
	return -1;
}

void record_release(struct record_entry *entry)
{
	if (atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) == 1)
		free(entry);
}

static void entry_quiet(struct quiet_item *item)
{
	record_release(container_of(item, struct record_entry, item));
}

/* entry NULL: none any more. */
static void set_way(struct record_table *table, struct record_set *set, int way,
		    struct record_entry *entry)
{
	struct record_entry *old = atomic_exchange(&set->entries[way], entry);

	if (entry) {
		atomic_store_explicit(&set->tags[way], tag_of(entry->hash), memory_order_relaxed);
		table->bytes += entry->size;
	}
	if (old) {
		table->bytes -= old->size;
		quiet_free_light(&old->item, entry_quiet);
	}
}

static bool says_no(const struct record_entry *entry)
{
	const struct dns_records *block = entry->records.block;

	return (!block || block->rcode != 0 || block->count == 0) &&
	       entry->records.recent_count == 0;
}

/* The higher, the sooner it goes: what is over, then what says "no", then what nobody has asked for
 * again, each the oldest first. */
static uint64_t dispensable(const struct record_entry *entry, uint64_t now_ms)
{
	uint32_t used_s = atomic_load_explicit(&entry->used_s, memory_order_relaxed);
	uint32_t since_s = used_s ? used_s : (uint32_t)(entry->records.learned_ms / 1000);
	bool has_addrs = entry->records.count > 0 || entry->records.recent_count > 0;
	uint64_t over_ms = entry->dial_until_ms + (has_addrs ? RECORDS_GRACE_MS : 0);
	uint64_t unused = used_s == 0 || used_s + USED_S < now_ms / 1000;

	return (uint64_t)(now_ms >= over_ms) << 34 | (uint64_t)(says_no(entry)) << 33 |
	       unused << 32 | (UINT32_MAX - since_s);
}

/* A free place, else the one whose entry is least worth keeping. */
static int victim_of(struct record_set *set, uint64_t now_ms)
{
	uint64_t most = 0;
	int victim = 0;

	for (int way = 0; way < RECORD_WAYS; way++) {   /* cold, all of them: fetched together */
		const struct record_entry *entry = atomic_load_explicit(&set->entries[way],
									memory_order_relaxed);

		if (!entry)
			return way;
		__builtin_prefetch(&entry->records);
		__builtin_prefetch(&entry->used_s);
	}
	for (int way = 0; way < RECORD_WAYS; way++) {
		struct record_entry *entry = atomic_load_explicit(&set->entries[way],
								  memory_order_relaxed);
		uint64_t rank = dispensable(entry, now_ms);

		if (rank > most) {
			most = rank;
			victim = way;
		}
	}
	return victim;
}

/* Too many bytes: from place to place, each loses its entry unless it is the one just put. */
static void shrink(struct record_table *table, const struct record_entry *spared)
{
	while (table->bytes > RECORD_BYTES_MAX) {
		unsigned place = table->hand++ % (RECORD_SETS * RECORD_WAYS);
		struct record_set *set = &table->sets[place / RECORD_WAYS];
		int way = (int)(place % RECORD_WAYS);
		struct record_entry *entry = atomic_load(&set->entries[way]);

		if (entry && entry != spared)
			set_way(table, set, way, NULL);
	}
}

/* Written only when the second changes, so that a busy entry's line stays shared by all cores. */
static void entry_touch(struct record_entry *entry, uint64_t now_ms)
{
	uint32_t now_s = (uint32_t)(now_ms / 1000);

	if (atomic_load_explicit(&entry->used_s, memory_order_relaxed) != now_s)
		atomic_store_explicit(&entry->used_s, now_s, memory_order_relaxed);
}

/* xorshift64; nothing secret depends on it. */
static uint64_t random_between(struct record_table *table, uint64_t low, uint64_t high)
{
	table->random |= 1;
	table->random ^= table->random << 13;
	table->random ^= table->random >> 7;
	table->random ^= table->random << 17;
	return low + table->random % (high - low + 1);
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
	return value < low ? low : value > high ? high : value;
}

struct lifetime {
	uint64_t fresh_ms, dial_ms;
};

static struct lifetime lifetime_of(struct record_table *table, const struct record_news *news)
{
	uint64_t ttl_ms, most = news->fresh_max_ms ? news->fresh_max_ms : RECORDS_MAX_MS;
	struct lifetime life;

	if (news->failed) {
		life.fresh_ms = random_between(table, RECORDS_FAILED_MIN_MS, RECORDS_FAILED_MAX_MS);
		life.dial_ms = life.fresh_ms;
		return life;
	}
	ttl_ms = (uint64_t)news->block->ttl_s * 1000;
	if (news->block->rcode != 0 || news->block->count == 0) {
		most = most < RECORDS_NONE_MAX_MS ? most : RECORDS_NONE_MAX_MS;
		life.fresh_ms = clamp(news->block->has_ttl ? ttl_ms : NONE_MS, RECORDS_MIN_MS,
				      most);
		life.dial_ms = life.fresh_ms;
		return life;
	}
	life.fresh_ms = clamp(ttl_ms, RECORDS_MIN_MS, most);
	life.dial_ms = clamp(ttl_ms, RECORDS_DIAL_MIN_MS, most);
	return life;
}

static bool has_addr(const union addr *addrs, unsigned count, const union addr *addr)
{
	for (unsigned i = 0; i < count; i++)
		if (addr_equal_ip(&addrs[i], addr))
			return true;
	return false;
}

struct addrs {
	unsigned count;
	union addr all[RECORD_ADDRS_MAX];
	uint64_t until_ms[RECORD_ADDRS_MAX];    /* of recent ones */
};

static void addrs_collect(struct addrs *addrs, const struct dns_records *block)
{
	struct dns_addr_walk walk = { 0 };
	struct dns_addr one;

	addrs->count = 0;
	while (block && addrs->count < RECORD_ADDRS_MAX &&
	       dns_records_next_addr(block, &walk, &one)) {
		union addr addr = { 0 };

		if (one.len == 4) {
			addr.v4.sin_family = AF_INET;
			memcpy(&addr.v4.sin_addr, one.bytes, 4);
		} else {
			addr.v6.sin6_family = AF_INET6;
			memcpy(&addr.v6.sin6_addr, one.bytes, 16);
		}
		if (!has_addr(addrs->all, addrs->count, &addr))
			addrs->all[addrs->count++] = addr;
	}
}

static void recents_add(struct addrs *recents, const struct addrs *now, const union addr *addr,
			uint64_t until_ms, uint64_t now_ms)
{
	if (until_ms <= now_ms || recents->count == RECORD_ADDRS_MAX ||
	    has_addr(now->all, now->count, addr))
		return;
	recents->all[recents->count] = *addr;
	recents->until_ms[recents->count++] = until_ms;
}

/* What there was before the news, its own addresses first: they were seen last, so a full list
 * loses the oldest. */
static void recents_collect(struct addrs *recents, const struct addrs *now,
			    const struct record_entry *old, uint64_t now_ms)
{
	recents->count = 0;
	if (!old)
		return;
	for (unsigned i = 0; i < old->records.count; i++)
		recents_add(recents, now, &old->records.addrs[i],
			    old->dial_until_ms + RECORDS_GRACE_MS, now_ms);
	for (unsigned i = 0; i < old->records.recent_count; i++)
		recents_add(recents, now, &old->records.recent[i], old->recent_until_ms[i], now_ms);
}

/* Behind the entry: times, addresses, recent ones, the block, the name. */
static void entry_fill(struct record_entry *entry, const struct record_key *key,
		       const struct record_news *news, const struct addrs *now,
		       const struct addrs *recents, size_t block_size)
{
	uint64_t *times = (uint64_t *)(void *)(entry + 1);
	union addr *addrs = (union addr *)(void *)(times + recents->count);
	char *block = (char *)(addrs + now->count + recents->count);
	char *name = block + block_size;

	memcpy(times, recents->until_ms, recents->count * sizeof(*times));
	memcpy(addrs, now->all, now->count * sizeof(*addrs));
	memcpy(addrs + now->count, recents->all, recents->count * sizeof(*addrs));
	if (block_size > 0)
		memcpy(block, news->block, block_size);
	memcpy(name, key->name.at, key->name.len);
	entry->recent_until_ms = times;
	entry->name = name;
	entry->records = (struct records){
		.failed = news->failed, .timed_out = news->timed_out, .rcode = news->rcode,
		.block = block_size > 0 ? (const struct dns_records *)(const void *)block : NULL,
		.count = (uint16_t)now->count, .addrs = addrs,
		.recent_count = (uint16_t)recents->count, .recent = addrs + now->count,
		.took_us = news->took_us, .upstream = news->upstream ? news->upstream : "",
	};
}

static_assert(sizeof(struct record_entry) % 8 == 0 && sizeof(union addr) % 4 == 0 &&
	      _Alignof(struct dns_records) <= 4, "each part begins aligned");

static struct record_entry *entry_new(const struct record_key *key, const struct record_news *news,
				      const struct record_entry *old, uint64_t now_ms)
{
	size_t block_size = news->failed ? 0 : dns_records_size(news->block), size;
	struct record_entry *entry;
	struct addrs now, recents;

	addrs_collect(&now, news->failed ? NULL : news->block);
	recents_collect(&recents, &now, old, now_ms);
	size = sizeof(*entry) + recents.count * sizeof(uint64_t) +
	       (now.count + recents.count) * sizeof(union addr) + block_size + key->name.len;
	entry = malloc(size);
	if (!entry)
		return NULL;
	memset(entry, 0, sizeof(*entry));
	entry->size = (uint32_t)size;
	entry->hash = key->hash;
	entry->type = key->type;
	entry->references = 2;                          /* the table's and the caller's */
	entry->name_len = (uint8_t)key->name.len;
	entry_fill(entry, key, news, &now, &recents, block_size);
	entry->trim_at_ms = UINT64_MAX;
	for (unsigned i = 0; i < recents.count; i++)
		if (recents.until_ms[i] < entry->trim_at_ms)
			entry->trim_at_ms = recents.until_ms[i];
	return entry;
}

struct record_entry *record_put(struct record_table *table, const struct record_key *key,
				const struct record_news *news, uint64_t now_ms)
{
	struct record_set *set = set_of(table, key->hash);
	struct record_entry *old = NULL, *entry;
	struct lifetime life;
	int way;

	assert(key->name.len > 0 && key->name.len < 256 && (news->failed || news->block));
	pthread_mutex_lock(&table->lock);
	way = way_of(set, key, &old);
	life = lifetime_of(table, news);
	if (news->failed && old && !old->records.failed && record_may_be_dialled(old, now_ms)) {
		atomic_store_explicit(&old->refresh_at_ms, now_ms + life.fresh_ms,
				      memory_order_relaxed);
		atomic_fetch_add_explicit(&old->references, 1, memory_order_relaxed);
		pthread_mutex_unlock(&table->lock);
		return old;
	}
	entry = entry_new(key, news, old, now_ms);
	if (entry) {
		entry->records.learned_ms = now_ms;
		entry->records.fresh_until_ms = now_ms + life.fresh_ms;
		entry->dial_until_ms = now_ms + life.dial_ms;
		entry->refresh_at_ms = !news->failed && news->block->count > 0 ?
				       now_ms + life.dial_ms * 4 / 5 : UINT64_MAX;
		entry->used_s = old ? old->used_s : 0;
		set_way(table, set, way >= 0 ? way : victim_of(set, now_ms), entry);
		shrink(table, entry);
	}
	pthread_mutex_unlock(&table->lock);
	return entry;
}

/* The same without the `recent` addresses whose time is over.  Seldom: an answer with an hour to
 * live, ten minutes after the one before it ended. */
static struct record_entry *entry_trim(struct record_table *table, const struct record_key *key,
				       uint64_t now_ms)
{
	struct record_set *set = set_of(table, key->hash);
	struct record_entry *old = NULL, *entry = NULL;
	int way;

	pthread_mutex_lock(&table->lock);
	way = way_of(set, key, &old);
	if (way >= 0 && now_ms >= old->trim_at_ms) {
		struct record_news same = {
			.failed = old->records.failed, .timed_out = old->records.timed_out,
			.rcode = old->records.rcode, .block = old->records.block,
			.upstream = old->records.upstream, .took_us = old->records.took_us,
		};

		struct record_entry before = { .records = {
			.recent_count = old->records.recent_count, .recent = old->records.recent,
		}, .recent_until_ms = old->recent_until_ms };

		entry = entry_new(key, &same, &before, now_ms);
		if (entry) {
			entry->references = 1;  /* the table's alone */
			entry->records.learned_ms = old->records.learned_ms;
			entry->records.fresh_until_ms = old->records.fresh_until_ms;
			entry->dial_until_ms = old->dial_until_ms;
			entry->refresh_at_ms = old->refresh_at_ms;
			entry->used_s = old->used_s;
			set_way(table, set, way, entry);
		}
	} else if (way >= 0) {
		entry = old;                    /* somebody else did it just now */
	}
	pthread_mutex_unlock(&table->lock);
	return entry;
}

struct record_entry *record_find(struct record_table *table, const struct record_key *key,
				 uint64_t now_ms)
{
	struct record_entry *entry = NULL;

	if (way_of(set_of(table, key->hash), key, &entry) < 0)
		return NULL;
	if (now_ms >= entry->trim_at_ms)
		entry = entry_trim(table, key, now_ms);
	if (entry && record_may_be_dialled(entry, now_ms))
		entry_touch(entry, now_ms);
	return entry;
}

bool record_wants_refresh(struct record_entry *entry, uint64_t now_ms)
{
	uint64_t at = atomic_load_explicit(&entry->refresh_at_ms, memory_order_relaxed);

	return now_ms >= at &&
	       atomic_compare_exchange_strong_explicit(&entry->refresh_at_ms, &at,
						       now_ms + RECORD_REFRESH_RETRY_MS,
						       memory_order_relaxed, memory_order_relaxed);
}

unsigned record_count(struct record_table *table, size_t *bytes)
{
	unsigned count = 0;

	pthread_mutex_lock(&table->lock);
	for (unsigned set = 0; set < RECORD_SETS; set++)
		for (unsigned way = 0; way < RECORD_WAYS; way++)
			count += atomic_load(&table->sets[set].entries[way]) != NULL;
	*bytes = table->bytes;
	pthread_mutex_unlock(&table->lock);
	return count;
}
