/* random.h - numbers that strangers cannot guess, without a system call for each: SipHash over a
 * counter, its key from the kernel and renewed now and then.  One for each thread that needs it. */
#ifndef CORE_RANDOM_H
#define CORE_RANDOM_H

#include "core/siphash.h"

struct random {
	struct siphash_key key;
	uint64_t counter;
};

/* 0 or -errno. */
int random_init(struct random *random);
uint64_t random_u64(struct random *random);

#endif
