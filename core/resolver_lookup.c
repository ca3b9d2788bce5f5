/* resolver_lookup.c - the addresses of a name: what is known of its A and AAAA, as one answer.
 *
 *   both known --> returned
 *   else: each that is not is asked; told when both are in, when one says that there is no such
 *   name, or when one has addresses and the other keeps silent. */
#include <assert.h>

#include "core/resolver_inside.h"

enum {
	FAMILY_WAIT_MS = 500,           /* for the second family, when the first has addresses */
	PARTIAL_MS = 30 * 1000,         /* a family that failed is left alone beside the other */
	NEVER = 0,
};

#define shared resolver_shared

struct found {
	uint64_t hash;                  /* of the name */
	struct record_key keys[2];
	struct record_entry *entries[2];        /* NULL: nothing is known */
};

static const uint16_t types[2] = { DNS_TYPE_A, DNS_TYPE_AAAA };

static void find(struct found *found, struct str name, uint64_t now_ms)
{
	found->hash = record_hash(shared.table, name);
	for (unsigned i = 0; i < 2; i++) {
		found->keys[i] = record_key(found->hash, name, types[i]);
		found->entries[i] = record_find(shared.table, &found->keys[i], now_ms);
	}
}

/* since_ms: what was learned since is good, be its time over or not. */
static bool is_good(const struct record_entry *entry, uint64_t now_ms, uint64_t since_ms)
{
	return entry && (record_may_be_dialled(entry, now_ms) ||
			 (since_ms != NEVER && entry->records.learned_ms >= since_ms));
}

static bool has_addrs(const struct record_entry *entry, uint64_t now_ms, uint64_t since_ms)
{
	return is_good(entry, now_ms, since_ms) && entry->records.count > 0;
}

/* "No such type" holds as long as the other's addresses do: both are asked anew together, so that a
 * busy name without one of them never waits for it. */
static bool is_known(const struct found *found, unsigned i, uint64_t now_ms, uint64_t since_ms)
{
	const struct record_entry *entry = found->entries[i];

	if (is_good(entry, now_ms, since_ms))
		return true;
	if (!entry || entry->records.count > 0 || !has_addrs(found->entries[!i], now_ms, since_ms))
		return false;
	return !entry->records.failed || now_ms < entry->records.learned_ms + PARTIAL_MS;
}

static bool says_no_name(const struct record_entry *entry, uint64_t now_ms, uint64_t since_ms)
{
	return is_good(entry, now_ms, since_ms) && entry->records.rcode == DNS_RCODE_NXDOMAIN;
}

static bool is_enough(const struct found *found, uint64_t now_ms, uint64_t since_ms)
{
	return (is_known(found, 0, now_ms, since_ms) && is_known(found, 1, now_ms, since_ms)) ||
	       says_no_name(found->entries[0], now_ms, since_ms) ||
	       says_no_name(found->entries[1], now_ms, since_ms);
}

/* The answer */

static unsigned add(union addr *to, unsigned have, const union addr *addrs, unsigned count)
{
	if (count > RESOLVER_ADDRS_MAX - have)
		count = RESOLVER_ADDRS_MAX - have;
	if (count > 0)
		memcpy(to + have, addrs, count * sizeof(*to));
	return have + count;
}

/* Of both families; when they are too many, each gets at least half of the room. */
static unsigned add_both(union addr *to, const union addr *const addrs[2], const unsigned counts[2])
{
	enum { HALF = RESOLVER_ADDRS_MAX / 2 };
	unsigned have = 0;

	for (unsigned i = 0; i < 2; i++) {
		unsigned other = counts[!i] < HALF ? counts[!i] : HALF;
		unsigned room = RESOLVER_ADDRS_MAX - other;

		have = add(to, have, addrs[i], counts[i] < room ? counts[i] : room);
	}
	return have;
}

/* Addresses that clients may have of the name's HTTPS records, and those of a family whose time is
 * over while nothing new has come. */
static void add_old(struct resolver *resolver, const struct record_entry *entry, uint64_t now_ms)
{
	struct answer *answer = &resolver->answer;

	if (!entry)
		return;
	if (now_ms < entry->dial_until_ms + RECORDS_GRACE_MS)
		answer->recent_count = (uint16_t)add(resolver->recent, answer->recent_count,
						     entry->records.addrs, entry->records.count);
	answer->recent_count = (uint16_t)add(resolver->recent, answer->recent_count,
					     entry->records.recent, entry->records.recent_count);
}

static const struct answer *answer_of(struct resolver *resolver, const struct found *found,
				      uint64_t since_ms)
{
	uint64_t now_ms = resolver->owner.loop->now_ms;
	const union addr *addrs[2] = { 0 }, *recent[2] = { 0 };
	unsigned counts[2] = { 0 }, recent_counts[2] = { 0 };
	struct record_key https = record_key(found->hash, found->keys[0].name, DNS_TYPE_HTTPS);
	struct answer *answer = &resolver->answer;
	bool failed = false, no_name = false, timed_out = false;

	for (unsigned i = 0; i < 2; i++) {
		const struct record_entry *entry = found->entries[i];

		no_name = no_name || says_no_name(entry, now_ms, since_ms);
		timed_out = timed_out || (entry && entry->records.timed_out);
		if (!is_good(entry, now_ms, since_ms)) {
			failed = true;
			continue;
		}
		failed = failed || entry->records.failed;
		addrs[i] = entry->records.addrs;
		counts[i] = entry->records.count;
		recent[i] = entry->records.recent;
		recent_counts[i] = entry->records.recent_count;
	}
	*answer = (struct answer){ .addrs = resolver->addrs, .recent = resolver->recent };
	answer->count = (uint16_t)add_both(resolver->addrs, addrs, counts);
	answer->recent_count = (uint16_t)add_both(resolver->recent, recent, recent_counts);
	for (unsigned i = 0; i < 2; i++)
		if (!is_good(found->entries[i], now_ms, since_ms))
			add_old(resolver, found->entries[i], now_ms);
	add_old(resolver, record_find(shared.table, &https, now_ms), now_ms);
	answer->failed = answer->count == 0 && failed && !no_name;
	answer->timed_out = answer->failed && timed_out;
	return answer;
}

/* Waiting */

static void lookup_unlink(struct lookup *lookup)
{
	*lookup->link = lookup->next;
	if (lookup->next)
		lookup->next->link = lookup->link;
	lookup->link = NULL;
	timer_cancel(&lookup->resolver->owner.loop->timers, &lookup->patience);
	for (unsigned i = 0; i < 2; i++)
		records_cancel(&lookup->families[i]);
}

static void lookup_tell(struct lookup *lookup, const struct found *found)
{
	const struct answer *answer = answer_of(lookup->resolver, found, lookup->began_ms);
	struct owner *owner = lookup->owner;
	lookup_fn *done = lookup->done;

	lookup_unlink(lookup);
	lookup->done = NULL;                    /* first: done() may look up again */
	if (!owner->closing)
		done(lookup, answer);
	owner_release(owner);
}

static void on_patience(struct timer *timer)
{
	struct lookup *lookup = container_of(timer, struct lookup, patience);
	unsigned waits = lookup->families[0].done ? 0 : 1;
	struct found found;

	find(&found, records_name(&lookup->families[waits]),
	     lookup->resolver->owner.loop->now_ms);
	lookup_tell(lookup, &found);
}

/* A family that nobody answers for must not keep the other's addresses waiting. */
static void patience_set(struct lookup *lookup, const struct found *found)
{
	struct loop *loop = lookup->resolver->owner.loop;

	if (!timer_armed(&lookup->patience) &&
	    (has_addrs(found->entries[0], loop->now_ms, lookup->began_ms) ||
	     has_addrs(found->entries[1], loop->now_ms, lookup->began_ms)))
		timer_arm(&loop->timers, &lookup->patience, loop->now_ms + FAMILY_WAIT_MS);
}

static void family_in(struct lookup *lookup, const struct records_lookup *family)
{
	uint64_t now_ms = lookup->resolver->owner.loop->now_ms;
	struct found found, in;

	find(&found, records_name(family), now_ms);
	in = found;
	for (unsigned i = 0; i < 2; i++)
		if (lookup->families[i].done)   /* what it is asked anew for says nothing */
			in.entries[i] = NULL;
	if ((!lookup->families[0].done && !lookup->families[1].done) ||
	    is_enough(&in, now_ms, lookup->began_ms))
		lookup_tell(lookup, &found);
	else
		patience_set(lookup, &found);
}

static void on_a(struct records_lookup *family, const struct records *records)
{
	(void)records;                          /* in the table, with the other's */
	family_in(container_of(family, struct lookup, families[0]), family);
}

static void on_aaaa(struct records_lookup *family, const struct records *records)
{
	(void)records;
	family_in(container_of(family, struct lookup, families[1]), family);
}

static void lookup_begin(struct lookup *lookup, struct resolver *resolver)
{
	lookup->resolver = resolver;
	lookup->patience = (struct timer){ .fire = on_patience };
	lookup->began_ms = resolver->owner.loop->now_ms;
	for (unsigned i = 0; i < 2; i++)
		lookup->families[i] = (struct records_lookup){ .owner = &resolver->owner };
}

/* False: everything is known by now, or nobody can be asked. */
static bool lookup_ask(struct lookup *lookup, struct found *found)
{
	static records_fn *const on_family[2] = { on_a, on_aaaa };
	struct resolver *resolver = lookup->resolver;
	uint64_t now_ms = lookup->began_ms;
	bool joined = false;

	for (unsigned i = 0; i < 2; i++) {
		struct records_lookup *family = &lookup->families[i];

		if (is_known(found, i, now_ms, NEVER))
			continue;
		family->done = on_family[i];
		switch (question_join(resolver, &found->keys[i], family, false,
				      &found->entries[i])) {
		case JOINED:
			joined = true;
			continue;
		case JOIN_KNOWN:
			break;
		case JOIN_SHED:
			resolver_add(resolver, RESOLVER_SHED, 1);
		}
		family->done = NULL;
	}
	return joined;
}

static void refresh(struct resolver *resolver, const struct found *found, uint64_t now_ms)
{
	for (unsigned i = 0; i < 2; i++) {
		if (!found->entries[i] || !record_wants_refresh(found->entries[i], now_ms))
			continue;
		question_refresh(resolver, &found->keys[i]);
		if (found->entries[!i] && found->entries[!i]->records.count == 0)
			question_refresh(resolver, &found->keys[!i]);
	}
}

const struct answer *resolver_lookup(struct resolver *resolver, struct str name,
				     struct lookup *lookup, lookup_fn *done)
{
	uint64_t now_ms = resolver->owner.loop->now_ms;
	struct found found;

	assert(lookup->done == NULL && !resolver->owner.closing);
	resolver_add(resolver, RESOLVER_LOOKUPS, 1);
	find(&found, name, now_ms);
	if (is_enough(&found, now_ms, NEVER)) {
		resolver_add(resolver, RESOLVER_HITS, 1);
		refresh(resolver, &found, now_ms);
		return answer_of(resolver, &found, NEVER);
	}
	lookup_begin(lookup, resolver);
	if (!lookup_ask(lookup, &found))
		return answer_of(resolver, &found, NEVER);
	lookup->done = done;
	owner_hold(lookup->owner);
	lookup->next = resolver->lookups;
	lookup->link = &resolver->lookups;
	if (lookup->next)
		lookup->next->link = &lookup->next;
	resolver->lookups = lookup;
	patience_set(lookup, &found);
	return NULL;
}

void lookups_close(struct resolver *resolver)
{
	struct lookup *lookup;

	while ((lookup = resolver->lookups)) {
		struct owner *owner = lookup->owner;

		lookup_unlink(lookup);
		lookup->done = NULL;
		owner_release(owner);
	}
}
