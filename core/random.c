/* random.c - numbers that strangers cannot guess. */
#include "core/random.h"

#include <errno.h>
#include <sys/random.h>

enum { RENEW_AFTER = 1 << 16 };         /* numbers */

int random_init(struct random *random)
{
	struct siphash_key key;

	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		return -EIO;
	*random = (struct random){ .key = key };
	return 0;
}

uint64_t random_u64(struct random *random)
{
	uint64_t at = random->counter++;

	/* Without a new key the old one is as good as before. */
	if (random->counter % RENEW_AFTER == 0)
		(void)random_init(random);
	return siphash(&random->key, &at, sizeof(at));
}
