/* siphash.c - SipHash-2-4, as its authors describe it.
 * Nobody who does not know the key can find names that fall into one slot of a table. */
#include "core/siphash.h"

#include <endian.h>
#include <string.h>

static inline uint64_t rotate_left(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void siphash_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate_left(v[1], 13) ^ v[0];
	v[3] = rotate_left(v[3], 16) ^ v[2];
	v[0] = rotate_left(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate_left(v[1], 17) ^ v[2];
	v[3] = rotate_left(v[3], 21) ^ v[0];
	v[2] = rotate_left(v[2], 32);
}

static inline void siphash_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	siphash_round(v);
	siphash_round(v);
	v[0] ^= word;
}

uint64_t siphash(const struct siphash_key *key, const void *data, size_t len)
{
	uint64_t v[4] = {
		key->low ^ 0x736f6d6570736575, key->high ^ 0x646f72616e646f6d,
		key->low ^ 0x6c7967656e657261, key->high ^ 0x7465646279746573,
	};
	const uint8_t *at = data, *words_end = at + (len & ~(size_t)7);
	uint64_t word;

	for (; at < words_end; at += 8) {
		memcpy(&word, at, 8);
		siphash_word(v, le64toh(word));
	}
	word = (uint64_t)len << 56;
	for (size_t i = 0; i < (len & 7); i++)
		word |= (uint64_t)at[i] << 8 * i;
	siphash_word(v, word);

	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		siphash_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
