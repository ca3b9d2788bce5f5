/* dns_reverse.h - which name was an address given out for?  So that a client may ask for the PTR of
 * an address that it has from us, without a question to anybody. */
#ifndef FORWARD_DNS_REVERSE_H
#define FORWARD_DNS_REVERSE_H

#include "core/addr.h"
#include "proto/hostname.h"

enum { DNS_REVERSE_MAX = 4096 };        /* addresses remembered; the oldest make room */

struct dns_reverse;                     /* one for all workers, without locks */

/* 0, -ENOMEM, or -EIO: no random key. */
int dns_reverse_init(struct dns_reverse **reverse);
void dns_reverse_finish(struct dns_reverse *reverse);

/* The name (normalised) has this address until then.  Any thread. */
void dns_reverse_note(struct dns_reverse *reverse, const union addr *addr, struct str name,
		      uint64_t until_ms);
/* The name noted last, its length; 0: none.  *until_ms: how long it holds.  Any thread. */
size_t dns_reverse_find(const struct dns_reverse *reverse, const union addr *addr, uint64_t now_ms,
			char name[HOSTNAME_MAX + 1], uint64_t *until_ms);

/* "4.3.2.1.in-addr.arpa" and its like under ip6.arpa; false: it is no such name of a whole
 * address. */
bool dns_reverse_addr(struct str name, union addr *addr);

#endif
