/* dns_rate.c - how many questions somebody may ask.
 *
 * A bucket is one number: the time at which it is full again (GCRA).  Set-associative, as caches
 * are.  Two workers that take the last token, or a place, at the same moment may both get it: the
 * limit is that exact, and no lock is needed. */
#include "forward/dns_rate.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/siphash.h"

enum { WAYS = 8, SETS = DNS_RATES / WAYS };

struct bucket {
	_Atomic uint64_t key, full_us;  /* key 0: never used */
};

struct dns_rates {
	struct siphash_key secret;
	struct bucket buckets[SETS][WAYS];
};

struct dns_rate dns_rate_make(uint32_t qps, uint32_t burst)
{
	uint64_t interval_us = 1000000 / qps;

	interval_us = interval_us ? interval_us : 1;
	return (struct dns_rate){ interval_us, interval_us * (burst - 1) };
}

int dns_rates_init(struct dns_rates **out)
{
	struct dns_rates *rates = calloc(1, sizeof(*rates));

	if (!rates)
		return -ENOMEM;
	if (getrandom(&rates->secret, sizeof(rates->secret), 0) != sizeof(rates->secret)) {
		free(rates);
		return -EIO;
	}
	*out = rates;
	return 0;
}

void dns_rates_finish(struct dns_rates *rates)
{
	free(rates);
}

static uint64_t key_of(const struct dns_rates *rates, const void *bytes, size_t len)
{
	uint64_t key = siphash(&rates->secret, bytes, len);

	return key ? key : 1;
}

uint64_t dns_rates_client(const struct dns_rates *rates, const union addr *client, unsigned kind)
{
	uint8_t bytes[10] = { (uint8_t)kind };
	union addr plain = *client;

	addr_unmap(&plain);
	if (plain.sa.sa_family == AF_INET) {
		bytes[1] = 4;
		memcpy(bytes + 2, &plain.v4.sin_addr, 4);
		if (bytes[2] == 127)
			memset(bytes + 1, 0, 5);        /* 127.0.0.0/8 is one client */
	} else if (!IN6_IS_ADDR_LOOPBACK(&plain.v6.sin6_addr)) {
		bytes[1] = 6;
		memcpy(bytes + 2, &plain.v6.sin6_addr, 8);
	}
	return key_of(rates, bytes, sizeof(bytes));
}

uint64_t dns_rates_name(const struct dns_rates *rates, struct str name)
{
	return key_of(rates, name.at, name.len);
}

static struct bucket *find(struct dns_rates *rates, uint64_t key, uint64_t now_us)
{
	struct bucket *set = rates->buckets[key % SETS], *oldest = set;
	uint64_t old;

	for (struct bucket *bucket = set; bucket < set + WAYS; bucket++) {
		if (atomic_load_explicit(&bucket->key, memory_order_relaxed) == key)
			return bucket;
		if (atomic_load_explicit(&bucket->full_us, memory_order_relaxed) <
		    atomic_load_explicit(&oldest->full_us, memory_order_relaxed))
			oldest = bucket;
	}
	old = atomic_load(&oldest->key);
	if (atomic_compare_exchange_strong(&oldest->key, &old, key))
		atomic_store(&oldest->full_us, now_us);
	return oldest;
}

bool dns_rates_take(struct dns_rates *rates, uint64_t key, struct dns_rate rate, uint64_t now_us)
{
	struct bucket *bucket = find(rates, key, now_us);
	uint64_t full_us = atomic_load(&bucket->full_us), from_us;

	do {
		from_us = full_us > now_us ? full_us : now_us;
		if (from_us > now_us + rate.ahead_us)
			return false;
	} while (!atomic_compare_exchange_weak(&bucket->full_us, &full_us,
					       from_us + rate.interval_us));
	return true;
}
