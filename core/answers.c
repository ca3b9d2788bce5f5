/* answers.c - what names resolved to: one table for all workers.
 * A set is two cache lines, tags and pointers; a hit reads those two and the entry's first lines.
 * Tag and pointer are not written together, so a reader may miss an entry that is just being put;
 * it then looks again under the resolver's lock on its way to ask.  It never takes one name for
 * another, because the name itself is compared. */
#include "core/answers.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/siphash.h"

struct answer_set {
	_Alignas(64) _Atomic uint32_t tags[ANSWERS_WAYS];
	_Alignas(64) _Atomic(struct answer_entry *) entries[ANSWERS_WAYS];
};

struct answers {
	struct answer_set sets[ANSWERS_SETS];
	struct siphash_key key;
	pthread_mutex_t lock;           /* writers */
	uint64_t random;
};

static_assert((ANSWERS_SETS & (ANSWERS_SETS - 1)) == 0, "a set is picked by mask");

int answers_init(struct answers **out)
{
	struct answers *answers = aligned_alloc(64, sizeof(*answers));

	if (!answers)
		return -ENOMEM;
	memset(answers, 0, sizeof(*answers));
	if (getrandom(&answers->key, sizeof(answers->key), 0) != sizeof(answers->key) ||
	    getrandom(&answers->random, sizeof(answers->random), 0) != sizeof(answers->random)) {
		free(answers);
		return -EIO;
	}
	pthread_mutex_init(&answers->lock, NULL);
	*out = answers;
	return 0;
}

void answers_finish(struct answers *answers)
{
	if (!answers)
		return;
	for (unsigned set = 0; set < ANSWERS_SETS; set++)
		for (unsigned way = 0; way < ANSWERS_WAYS; way++) {
			struct answer_entry *entry = atomic_load(&answers->sets[set].entries[way]);

			if (entry)
				answers_release(entry);
		}
	pthread_mutex_destroy(&answers->lock);
	free(answers);
}

uint64_t answers_hash(const struct answers *answers, struct str name)
{
	return siphash(&answers->key, name.at, name.len);
}

static struct answer_set *set_of(struct answers *answers, uint64_t hash)
{
	return &answers->sets[hash & (ANSWERS_SETS - 1)];
}

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

/* -1: not there. */
static int way_of(struct answer_set *set, uint64_t hash, struct str name,
		  struct answer_entry **found)
{
	for (int way = 0; way < ANSWERS_WAYS; way++) {
		struct answer_entry *entry;

		if (atomic_load_explicit(&set->tags[way], memory_order_relaxed) != tag_of(hash))
			continue;
		entry = atomic_load(&set->entries[way]); /* in order: see quiet.c */
		if (entry && entry->hash == hash && entry->name_len == name.len &&
		    memcmp(entry->name, name.at, name.len) == 0) {
			*found = entry;
			return way;
		}
	}
	return -1;
}

void answers_release(struct answer_entry *entry)
{
	if (atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) == 1)
		free(entry);
}

static void entry_quiet(struct quiet_item *item)
{
	answers_release(container_of(item, struct answer_entry, item));
}

static void set_way(struct answer_set *set, int way, struct answer_entry *entry)
{
	struct answer_entry *old = atomic_exchange(&set->entries[way], entry);

	atomic_store_explicit(&set->tags[way], tag_of(entry->hash), memory_order_relaxed);
	if (old)
		quiet_free(&old->item, entry_quiet);
}

/* A free place, else the one whose entry was not used for longest. */
static int victim_of(struct answer_set *set)
{
	uint32_t oldest = UINT32_MAX;
	int victim = 0;

	for (int way = 0; way < ANSWERS_WAYS; way++) {
		struct answer_entry *entry = atomic_load_explicit(&set->entries[way],
								  memory_order_relaxed);
		uint32_t used;

		if (!entry)
			return way;
		used = atomic_load_explicit(&entry->used_s, memory_order_relaxed);
		if (used < oldest) {
			oldest = used;
			victim = way;
		}
	}
	return victim;
}

/* Written only when the second changes, so that a busy entry's line stays shared by all cores. */
static void entry_touch(struct answer_entry *entry, uint64_t now_ms)
{
	uint32_t now_s = (uint32_t)(now_ms / 1000);

	if (atomic_load_explicit(&entry->used_s, memory_order_relaxed) != now_s)
		atomic_store_explicit(&entry->used_s, now_s, memory_order_relaxed);
}

/* xorshift64; nothing secret depends on it. */
static uint64_t random_between(struct answers *answers, uint64_t low, uint64_t high)
{
	answers->random |= 1;
	answers->random ^= answers->random << 13;
	answers->random ^= answers->random >> 7;
	answers->random ^= answers->random << 17;
	return low + answers->random % (high - low + 1);
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
	return value < low ? low : value > high ? high : value;
}

static uint64_t fresh_ms(struct answers *answers, const struct answer_news *news)
{
	if (news->failed)
		return random_between(answers, ANSWER_FAILED_MIN_MS, ANSWER_FAILED_MAX_MS);
	if (news->count == 0)
		return clamp(news->ttl_ms, ANSWER_NONE_MIN_MS, ANSWER_NONE_MAX_MS);
	return clamp(news->ttl_ms, ANSWER_FRESH_MIN_MS, ANSWER_FRESH_MAX_MS);
}

static bool has_addr(const union addr *addrs, unsigned count, const union addr *addr)
{
	for (unsigned i = 0; i < count; i++)
		if (addr_equal_ip(&addrs[i], addr))
			return true;
	return false;
}

struct recents {
	unsigned count;
	union addr addrs[RESOLVER_ADDRS_MAX];
	uint64_t until_ms[RESOLVER_ADDRS_MAX];
};

static void recents_add(struct recents *recents, const struct answer_news *news,
			const union addr *addr, uint64_t until_ms, uint64_t now_ms)
{
	if (until_ms <= now_ms || recents->count == RESOLVER_ADDRS_MAX ||
	    has_addr(news->addrs, news->count, addr))
		return;
	recents->addrs[recents->count] = *addr;
	recents->until_ms[recents->count++] = until_ms;
}

/* What the name had before the news, its own addresses first: they were seen last, so a full list
 * loses the oldest. */
static void recents_collect(struct recents *recents, const struct answer_news *news,
			    const struct answer_entry *old, uint64_t now_ms)
{
	recents->count = 0;
	if (!old)
		return;
	for (unsigned i = 0; i < old->answer.count; i++)
		recents_add(recents, news, &old->answer.addrs[i],
			    old->fresh_until_ms + ANSWER_GRACE_MS, now_ms);
	for (unsigned i = 0; i < old->answer.recent_count; i++)
		recents_add(recents, news, &old->answer.recent[i], old->recent_until_ms[i], now_ms);
}

static struct answer_entry *entry_new(uint64_t hash, struct str name,
				      const struct answer_news *news,
				      const struct answer_entry *old, uint64_t now_ms)
{
	struct answer_entry *entry;
	struct recents recents;
	size_t addrs_size, size;

	recents_collect(&recents, news, old, now_ms);
	addrs_size = (news->count + recents.count) * sizeof(union addr);
	addrs_size = (addrs_size + 7) & ~(size_t)7;     /* 64-bit times follow */
	size = sizeof(*entry) + addrs_size + recents.count * sizeof(uint64_t);
	entry = calloc(1, size);
	if (!entry)
		return NULL;
	entry->hash = hash;
	entry->references = 2;                          /* the table's and the caller's */
	entry->name_len = (uint8_t)name.len;
	memcpy(entry->name, name.at, name.len);
	entry->answer = (struct answer){
		.count = (uint16_t)news->count, .failed = news->failed, .addrs = entry->addrs,
		.recent_count = (uint16_t)recents.count, .recent = entry->addrs + news->count,
	};
	if (news->count > 0)
		memcpy(entry->addrs, news->addrs, news->count * sizeof(union addr));
	memcpy(entry->addrs + news->count, recents.addrs, recents.count * sizeof(union addr));
	entry->recent_until_ms = (uint64_t *)(void *)((char *)entry->addrs + addrs_size);
	memcpy(entry->recent_until_ms, recents.until_ms, recents.count * sizeof(uint64_t));
	entry->trim_at_ms = UINT64_MAX;
	for (unsigned i = 0; i < recents.count; i++)
		if (recents.until_ms[i] < entry->trim_at_ms)
			entry->trim_at_ms = recents.until_ms[i];
	return entry;
}

struct answer_entry *answers_put(struct answers *answers, uint64_t hash, struct str name,
				 const struct answer_news *news, uint64_t now_ms)
{
	struct answer_set *set = set_of(answers, hash);
	struct answer_entry *old = NULL, *entry;
	uint64_t fresh;
	int way;

	assert(name.len > 0 && name.len <= sizeof(entry->name));
	assert(news->count <= RESOLVER_ADDRS_MAX);
	pthread_mutex_lock(&answers->lock);
	way = way_of(set, hash, name, &old);
	fresh = fresh_ms(answers, news);
	if (news->failed && old && !old->answer.failed && now_ms < old->fresh_until_ms) {
		atomic_store_explicit(&old->refresh_at_ms, now_ms + fresh, memory_order_relaxed);
		atomic_fetch_add_explicit(&old->references, 1, memory_order_relaxed);
		pthread_mutex_unlock(&answers->lock);
		return old;
	}
	entry = entry_new(hash, name, news, old, now_ms);
	if (entry) {
		entry->fresh_until_ms = now_ms + fresh;
		entry->refresh_at_ms = news->count > 0 ? now_ms + fresh * 4 / 5 : UINT64_MAX;
		entry->used_s = (uint32_t)(now_ms / 1000);
		set_way(set, way >= 0 ? way : victim_of(set), entry);
	}
	pthread_mutex_unlock(&answers->lock);
	return entry;
}

/* The same answer without the `recent` addresses whose time is over.  Seldom: an answer with an
 * hour to live, ten minutes after the one before it ended. */
static struct answer_entry *entry_trim(struct answers *answers, uint64_t hash, struct str name,
				       uint64_t now_ms)
{
	struct answer_set *set = set_of(answers, hash);
	struct answer_entry *old = NULL, *entry = NULL;
	int way;

	pthread_mutex_lock(&answers->lock);
	way = way_of(set, hash, name, &old);
	if (way >= 0 && now_ms >= old->trim_at_ms) {
		struct answer_news same = { .count = old->answer.count,
					    .failed = old->answer.failed,
					    .addrs = old->answer.addrs };

		entry = entry_new(hash, name, &same, old, now_ms);
		if (entry) {
			entry->references = 1;  /* the table's alone */
			entry->fresh_until_ms = old->fresh_until_ms;
			entry->refresh_at_ms = old->refresh_at_ms;
			entry->used_s = old->used_s;
			set_way(set, way, entry);
		}
	} else if (way >= 0) {
		entry = old;                    /* somebody else did it just now */
	}
	pthread_mutex_unlock(&answers->lock);
	return entry;
}

struct answer_entry *answers_find(struct answers *answers, uint64_t hash, struct str name,
				  uint64_t now_ms)
{
	struct answer_entry *entry = NULL;

	if (way_of(set_of(answers, hash), hash, name, &entry) < 0)
		return NULL;
	if (now_ms < entry->fresh_until_ms && now_ms >= entry->trim_at_ms)
		entry = entry_trim(answers, hash, name, now_ms);
	if (!entry || now_ms >= entry->fresh_until_ms)
		return NULL;
	entry_touch(entry, now_ms);
	return entry;
}

bool answers_refresh(struct answer_entry *entry, uint64_t now_ms)
{
	uint64_t at = atomic_load_explicit(&entry->refresh_at_ms, memory_order_relaxed);

	return now_ms >= at &&
	       atomic_compare_exchange_strong_explicit(&entry->refresh_at_ms, &at,
						       now_ms + ANSWER_REFRESH_RETRY_MS,
						       memory_order_relaxed, memory_order_relaxed);
}

unsigned answers_count(struct answers *answers)
{
	unsigned count = 0;

	for (unsigned set = 0; set < ANSWERS_SETS; set++)
		for (unsigned way = 0; way < ANSWERS_WAYS; way++)
			count += atomic_load(&answers->sets[set].entries[way]) != NULL;
	return count;
}
