/* limits.c - token buckets by source. */
#include "dashboard/limits.h"

#include <pthread.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dashboard/rfc3339.h"

enum { SLOTS = 8192, PROBES = 16 };

struct bucket {
	uint64_t key;                   /* 0: free */
	double tokens;
	int64_t filled_ns;
};

struct limits {
	pthread_mutex_t lock;
	double rate, burst;
	unsigned char seed[crypto_shorthash_KEYBYTES];
	struct bucket buckets[SLOTS];
};

struct limits *limits_open(double rate, double burst)
{
	struct limits *limits = calloc(1, sizeof(*limits));

	if (!limits)
		return NULL;
	pthread_mutex_init(&limits->lock, NULL);
	limits->rate = rate;
	limits->burst = burst < 1 ? 1 : burst;
	randombytes_buf(limits->seed, sizeof(limits->seed));
	return limits;
}

void limits_close(struct limits *limits)
{
	if (limits)
		pthread_mutex_destroy(&limits->lock);
	free(limits);
}

/* The bucket of the source, filled up to now.  Where all of its places are taken, the fullest goes:
 * whoever had it was the least busy. */
static struct bucket *find(struct limits *limits, const char *source)
{
	struct bucket *victim = NULL, *found = NULL;
	int64_t now = clock_steady_ns();
	uint64_t key;

	crypto_shorthash((unsigned char *)&key, (const unsigned char *)source, strlen(source),
			 limits->seed);
	key |= 1;
	for (uint64_t i = 0; i < PROBES && !found; i++) {
		struct bucket *bucket = &limits->buckets[(key / 2 + i) % SLOTS];

		if (bucket->key != 0) {
			bucket->tokens += limits->rate * (double)(now - bucket->filled_ns) /
					  (double)NS_PER_S;
			if (bucket->tokens > limits->burst)
				bucket->tokens = limits->burst;
			bucket->filled_ns = now;
		}
		if (bucket->key == key)
			found = bucket;
		else if (!victim || (victim->key != 0 &&
				     (bucket->key == 0 || bucket->tokens > victim->tokens)))
			victim = bucket;
	}
	if (found)
		return found;
	*victim = (struct bucket){ key, limits->burst, now };
	return victim;
}

bool limits_take(struct limits *limits, const char *source, bool *empty_now)
{
	struct bucket *bucket;
	bool taken;

	pthread_mutex_lock(&limits->lock);
	bucket = find(limits, source);
	taken = bucket->tokens >= 1;
	if (taken)
		bucket->tokens -= 1;
	if (empty_now)
		*empty_now = taken && bucket->tokens < 1;
	pthread_mutex_unlock(&limits->lock);
	return taken;
}

bool limits_left(struct limits *limits, const char *source)
{
	bool left;

	pthread_mutex_lock(&limits->lock);
	left = find(limits, source)->tokens >= 1;
	pthread_mutex_unlock(&limits->lock);
	return left;
}
