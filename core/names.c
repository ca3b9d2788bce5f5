/* names.c - a set of name patterns behind one hash table.
 *
 * "a.example" is kept under the key "a.example", "*.example" under ".example"; no name begins
 * with a dot, so one table holds both.  A lookup tries the name, then what follows each of its
 * dots, but only with as many labels as some pattern has.  A slot is 8 bytes; it points into one
 * stretch of memory where each pattern lies as a record: number, length, text. */
#include "core/names.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/siphash.h"
#include "proto/hostname.h"

enum {
	PATTERN_MAX = 255,              /* "*." and a name */
	RECORD_HEAD = sizeof(uint32_t) + sizeof(uint8_t),
	DEPTH_MAX = 63,                 /* suffixes with more labels share the last bit */
};

struct slot {
	uint32_t tag;                   /* the upper half of the hash */
	uint32_t record;                /* where in `records`; 0: empty, no record is there */
};

struct names {
	struct siphash_key key;
	uint64_t depths;                /* bit n: there is a "*.suffix" with n labels */
	long any;                       /* the pattern "*", -1: there is none */
	size_t count;
	uint32_t mask;                  /* slots, a power of two, less one */
	struct slot *slots;
	uint32_t *offsets;              /* of pattern i in `records` */
	char *records;
};

static struct str pattern_text(const struct names *names, uint32_t record)
{
	const char *at = names->records + record;

	return (struct str){ at + RECORD_HEAD, (uint8_t)at[sizeof(uint32_t)] };
}

static struct str pattern_key(struct str text)
{
	return text.at[0] == '*' ? (struct str){ text.at + 1, text.len - 1 } : text;
}

static uint64_t depth_bit(size_t labels)
{
	return UINT64_C(1) << (labels < DEPTH_MAX ? labels : DEPTH_MAX);
}

static size_t count_dots(struct str text)
{
	size_t dots = 0;

	for (size_t i = 0; i < text.len; i++)
		dots += text.at[i] == '.';
	return dots;
}

/* The slot that holds this key, or the empty one where it belongs. */
static struct slot *find(const struct names *names, struct str key, uint32_t *tag)
{
	uint64_t hash = siphash(&names->key, key.at, key.len);
	uint32_t i = (uint32_t)hash & names->mask;

	*tag = (uint32_t)(hash >> 32);
	for (;; i = (i + 1) & names->mask) {
		struct slot *slot = &names->slots[i];

		if (slot->record == 0)
			return slot;
		/* "x.example" and the ".example" of "*.example" differ in their first byte. */
		if (slot->tag != *tag)
			continue;
		if (str_equal(pattern_key(pattern_text(names, slot->record)), key))
			return slot;
	}
}

static long find_index(const struct names *names, struct str key)
{
	uint32_t tag, index;
	const struct slot *slot = find(names, key, &tag);

	if (slot->record == 0)
		return -1;
	memcpy(&index, names->records + slot->record, sizeof(index));
	return (long)index;
}

enum { WALK_NAME, WALK_SUFFIXES, WALK_ANY, WALK_OVER };

/* The next "*.suffix" that the name is below. */
static long next_suffix(const struct names *names, struct str name, struct names_walk *walk)
{
	while (walk->labels_left > 0) {
		size_t i = ++walk->at;
		long index = -1;

		if (name.at[i] != '.')
			continue;
		if (names->depths & depth_bit(walk->labels_left))
			index = find_index(names, (struct str){ name.at + i, name.len - i });
		walk->labels_left--;
		if (index >= 0)
			return index;
	}
	return -1;
}

long names_match_next(const struct names *names, struct str name, struct names_walk *walk)
{
	long index = -1;

	/* A normalised name has no leading dot; ".example" would be the key of "*.example". */
	if (name.len == 0 || name.len > HOSTNAME_MAX || name.at[0] == '.')
		return -1;
	if (walk->step == WALK_NAME) {
		walk->step = WALK_SUFFIXES;
		walk->labels_left = names->depths ? count_dots(name) : 0;
		index = find_index(names, name);
	}
	if (index < 0 && walk->step == WALK_SUFFIXES) {
		index = next_suffix(names, name, walk);
		walk->step = index < 0 ? WALK_ANY : WALK_SUFFIXES;
	}
	if (index < 0 && walk->step == WALK_ANY) {
		walk->step = WALK_OVER;
		index = names->any;
	}
	return index;
}

long names_match(const struct names *names, struct str name)
{
	struct names_walk walk = { 0 };

	return names_match_next(names, name, &walk);
}

long names_find(const struct names *names, struct str pattern)
{
	struct str key = pattern_key(pattern);

	return key.len == 0 ? names->any : find_index(names, key);
}

/* Copy pattern number `index` to `record`, and enter it unless the same one came before. */
static void add_pattern(struct names *names, uint32_t index, const char *pattern, uint32_t record)
{
	size_t len = strlen(pattern);
	struct str key = pattern_key((struct str){ pattern, len });
	char *at = names->records + record;
	struct slot *slot;
	uint32_t tag;

	names->offsets[index] = record;
	memcpy(at, &index, sizeof(index));
	at[sizeof(index)] = (char)(uint8_t)len;
	memcpy(at + RECORD_HEAD, pattern, len + 1);
	if (key.len == 0) {
		if (names->any < 0)
			names->any = (long)index;
		return;
	}
	if (key.at[0] == '.')
		names->depths |= depth_bit(count_dots(key));
	slot = find(names, key, &tag);
	if (slot->record == 0)
		*slot = (struct slot){ tag, record };
}

static int allocate(struct names *names, size_t records_len)
{
	size_t slots = 16;

	/* Half full at most, so that a miss looks at two slots or so. */
	while (slots < 2 * names->count)
		slots *= 2;
	names->mask = (uint32_t)(slots - 1);
	names->slots = calloc(slots, sizeof(*names->slots));
	names->offsets = calloc(names->count + 1, sizeof(*names->offsets));
	names->records = malloc(records_len);
	return names->slots && names->offsets && names->records ? 0 : -ENOMEM;
}

int names_build(const char *const *patterns, size_t count, struct names **out)
{
	struct names *names;
	size_t len = 1;                 /* offset 0 means an empty slot */
	int err = -ENOMEM;

	for (size_t i = 0; i < count; i++) {
		size_t pattern_len = strlen(patterns[i]);

		assert(pattern_len > 0 && pattern_len <= PATTERN_MAX);
		len += RECORD_HEAD + pattern_len + 1;
	}
	names = calloc(1, sizeof(*names));
	/* Offsets have 32 bits: some 80 million names. */
	if (!names || len > UINT32_MAX)
		goto fail;
	names->any = -1;
	names->count = count;
	if (getrandom(&names->key, sizeof(names->key), 0) != sizeof(names->key)) {
		err = -EIO;
		goto fail;
	}
	err = allocate(names, len);
	if (err < 0)
		goto fail;
	len = 1;
	for (size_t i = 0; i < count; i++) {
		add_pattern(names, (uint32_t)i, patterns[i], (uint32_t)len);
		len += RECORD_HEAD + strlen(patterns[i]) + 1;
	}
	*out = names;
	return 0;
fail:
	names_free(names);
	return err;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	free(names->slots);
	free(names->offsets);
	free(names->records);
	free(names);
}

size_t names_count(const struct names *names)
{
	return names->count;
}

const char *names_pattern(const struct names *names, long index)
{
	if (index < 0 || (size_t)index >= names->count)
		return NULL;
	return pattern_text(names, names->offsets[index]).at;
}
