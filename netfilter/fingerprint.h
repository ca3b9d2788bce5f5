/* fingerprint.h - has anybody touched our table?
 * The kernel gives each rule, chain and set a number that no other one of the table ever had, and
 * a rule's content never changes (replacing it makes a new number); neither does that of our sets,
 * which are constant, but for the learned ones: learned_verify() reads those.  So the numbers in
 * their order, and what can be changed in place (flags of the table, policies of its chains), say
 * it all, at the price of reading some thirty rules. */
#ifndef NETFILTER_FINGERPRINT_H
#define NETFILTER_FINGERPRINT_H

#include <stdint.h>

#include <libmnl/libmnl.h>

/* The number of transactions the kernel has seen; it wraps and is never 0.  0 or -errno. */
int ruleset_generation(struct mnl_socket *netlink, uint32_t seq, uint32_t *generation);

/* A fingerprint of the inet table of that name, also when there is none.  0 or -errno; -EINTR: it
 * changed while we read.  *seq is moved on. */
int table_fingerprint(struct mnl_socket *netlink, uint32_t *seq, const char *table,
		      uint64_t *fingerprint);

#endif
