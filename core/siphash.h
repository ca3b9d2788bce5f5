/* siphash.h - SipHash-2-4: a keyed hash for tables that strangers choose the keys of.
 * Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012. */
#ifndef CORE_SIPHASH_H
#define CORE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t low, high;
};

uint64_t siphash(const struct siphash_key *key, const void *data, size_t len);

#endif
