/* dns_reverse.c - which name was an address given out for?
 *
 * Set-associative.  An entry is words behind a counter that is odd while somebody writes (seqlock):
 * a reader that sees it change reads nothing, a second writer leaves it. */
#include "forward/dns_reverse.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/siphash.h"

enum { WAYS = 4, SETS = DNS_REVERSE_MAX / WAYS };

struct fact {
	uint8_t addr[16];               /* IPv4 as a mapped one; all zero: never used */
	uint64_t until_ms;
	uint8_t name_len;
	char name[HOSTNAME_MAX + 2];    /* no NUL */
};

enum { WORDS = (sizeof(struct fact) + 7) / 8 };
static_assert(sizeof(struct fact) % 8 == 0, "a fact is whole words");

struct entry {
	_Atomic uint32_t changes;
	_Atomic uint64_t words[WORDS];
};

struct dns_reverse {
	struct siphash_key secret;
	struct entry entries[SETS][WAYS];
};

int dns_reverse_init(struct dns_reverse **out)
{
	struct dns_reverse *reverse = calloc(1, sizeof(*reverse));

	if (!reverse)
		return -ENOMEM;
	if (getrandom(&reverse->secret, sizeof(reverse->secret), 0) != sizeof(reverse->secret)) {
		free(reverse);
		return -EIO;
	}
	*out = reverse;
	return 0;
}

void dns_reverse_finish(struct dns_reverse *reverse)
{
	free(reverse);
}

static void bytes_of(const union addr *addr, uint8_t bytes[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (addr->sa.sa_family == AF_INET) {
		memcpy(bytes, mapped, 12);
		memcpy(bytes + 12, &addr->v4.sin_addr, 4);
	} else {
		memcpy(bytes, &addr->v6.sin6_addr, 16);
	}
}

/* The first words of it, or all. */
static bool read_entry(const struct entry *entry, struct fact *fact, size_t words)
{
	uint32_t before = atomic_load_explicit(&entry->changes, memory_order_acquire);
	uint64_t copy[WORDS];

	if (before & 1)
		return false;
	for (size_t i = 0; i < words; i++)
		copy[i] = atomic_load_explicit(&entry->words[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&entry->changes, memory_order_relaxed) != before)
		return false;
	memcpy(fact, copy, words * 8);
	return true;
}

static void write_entry(struct entry *entry, const struct fact *fact)
{
	uint32_t before = atomic_load_explicit(&entry->changes, memory_order_relaxed);
	uint64_t copy[WORDS];

	if ((before & 1) || !atomic_compare_exchange_strong(&entry->changes, &before, before + 1))
		return;
	atomic_thread_fence(memory_order_release);
	memcpy(copy, fact, sizeof(*fact));
	for (size_t i = 0; i < WORDS; i++)
		atomic_store_explicit(&entry->words[i], copy[i], memory_order_relaxed);
	atomic_store_explicit(&entry->changes, before + 2, memory_order_release);
}

static uint64_t set_of(const struct dns_reverse *reverse, const uint8_t bytes[16])
{
	return siphash(&reverse->secret, bytes, 16) % SETS;
}

void dns_reverse_note(struct dns_reverse *reverse, const union addr *addr, struct str name,
		      uint64_t until_ms)
{
	struct fact fact = { .until_ms = until_ms, .name_len = (uint8_t)name.len }, seen;
	uint64_t oldest_ms = UINT64_MAX;
	struct entry *set, *place;

	if (name.len == 0 || name.len > HOSTNAME_MAX)
		return;
	bytes_of(addr, fact.addr);
	memcpy(fact.name, name.at, name.len);
	set = place = reverse->entries[set_of(reverse, fact.addr)];
	for (struct entry *entry = set; entry < set + WAYS; entry++) {
		if (!read_entry(entry, &seen, 3))
			continue;
		if (memcmp(seen.addr, fact.addr, 16) == 0) {
			place = entry;
			break;
		}
		if (seen.until_ms < oldest_ms) {
			place = entry;
			oldest_ms = seen.until_ms;
		}
	}
	write_entry(place, &fact);
}

size_t dns_reverse_find(const struct dns_reverse *reverse, const union addr *addr, uint64_t now_ms,
			char name[HOSTNAME_MAX + 1], uint64_t *until_ms)
{
	uint8_t bytes[16];
	const struct entry *set;
	struct fact fact;

	bytes_of(addr, bytes);
	set = reverse->entries[set_of(reverse, bytes)];
	for (const struct entry *entry = set; entry < set + WAYS; entry++) {
		if (!read_entry(entry, &fact, WORDS) || memcmp(fact.addr, bytes, 16) != 0)
			continue;
		if (fact.name_len == 0 || fact.until_ms <= now_ms)
			return 0;
		memcpy(name, fact.name, fact.name_len);
		name[fact.name_len] = '\0';
		*until_ms = fact.until_ms;
		return fact.name_len;
	}
	return 0;
}

/* The label at the end, taken off; its dot too. */
static struct str take_label(struct str *name)
{
	const char *dot = memrchr(name->at, '.', name->len);
	size_t from = dot ? (size_t)(dot - name->at) + 1 : 0;
	struct str label = { name->at + from, name->len - from };

	name->len = from > 0 ? from - 1 : 0;
	return label;
}

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool number_of(struct str label, uint8_t *number)
{
	unsigned value = 0;

	if (label.len == 0 || label.len > 3 || (label.len > 1 && label.at[0] == '0'))
		return false;
	for (size_t i = 0; i < label.len; i++) {
		if (label.at[i] < '0' || label.at[i] > '9')
			return false;
		value = value * 10 + (unsigned)(label.at[i] - '0');
	}
	*number = (uint8_t)value;
	return value <= UINT8_MAX;
}

bool dns_reverse_addr(struct str name, union addr *addr)
{
	struct str top = take_label(&name), kind = take_label(&name);
	union addr found = { 0 };
	bool good = str_equal(top, STR("arpa"));

	if (good && str_equal(kind, STR("in-addr"))) {
		found.v4.sin_family = AF_INET;
		for (unsigned i = 0; i < 4 && good; i++)
			good = number_of(take_label(&name), (uint8_t *)&found.v4.sin_addr + i);
	} else if (good && str_equal(kind, STR("ip6"))) {
		found.v6.sin6_family = AF_INET6;
		for (unsigned i = 0; i < 32 && good; i++) {
			struct str label = take_label(&name);
			int digit = label.len == 1 ? digit_of(label.at[0]) : -1;

			good = digit >= 0;
			if (good)
				found.v6.sin6_addr.s6_addr[i / 2] |=
					(uint8_t)(digit << (i % 2 ? 0 : 4));
		}
	} else {
		return false;
	}
	if (!good || name.len > 0)
		return false;
	*addr = found;
	return true;
}
