/* dns_rate.h - how many questions somebody may ask: buckets of tokens, shared by all workers.
 *
 * A fixed table without locks; who has been silent for longest makes room.  What is counted is told
 * by its key: a client, or what lies below a wildcard of the policy. */
#ifndef FORWARD_DNS_RATE_H
#define FORWARD_DNS_RATE_H

#include "core/addr.h"

enum { DNS_RATES = 4096 };              /* buckets; the seed has as many */

/* So many a second, and so many at once. */
struct dns_rate {
	uint64_t interval_us, ahead_us;
};
struct dns_rate dns_rate_make(uint32_t qps, uint32_t burst);

struct dns_rates;

/* 0, -ENOMEM, or -EIO: no random key. */
int dns_rates_init(struct dns_rates **rates);
void dns_rates_finish(struct dns_rates *rates);

/* Who asks, the same for all addresses that one can choose at will: loopback, or a /64 of IPv6.
 * kind tells its buckets apart. */
uint64_t dns_rates_client(const struct dns_rates *rates, const union addr *client, unsigned kind);
uint64_t dns_rates_name(const struct dns_rates *rates, struct str name);

/* Take a token; false: there is none.  Any thread. */
bool dns_rates_take(struct dns_rates *rates, uint64_t key, struct dns_rate rate, uint64_t now_us);

#endif
