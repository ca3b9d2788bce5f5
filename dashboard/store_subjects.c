/* store_subjects.c - which subject has which id: a table in memory before the store's own. */
#include "dashboard/store_subjects.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "dashboard/rfc3339.h"

enum { SLOTS = 1 << 16, PROBES = 8, DIGEST_LEN = 16 };

/* Subjects that nobody uses are removed after an hour: what is known here may not be older. */
#define KNOWN_FOR_NS (10 * 60 * NS_PER_S)

struct slot {
	unsigned char digest[DIGEST_LEN];
	int64_t id, added;              /* id 0: free; events since the last flush */
};

struct store_subjects {
	struct slot slots[SLOTS];
	uint32_t touched[SLOTS];        /* slots with added > 0, some of them twice */
	uint32_t touched_count;
	int64_t since_ns;               /* CLOCK_MONOTONIC */
};

static int forget_if_old(struct store *store)
{
	int64_t now = clock_steady_ns();

	if (store->subjects && (store->subjects->touched_count > 0 ||
				now - store->subjects->since_ns < KNOWN_FOR_NS))
		return 0;
	free(store->subjects);
	store->subjects = calloc(1, sizeof(*store->subjects));
	if (!store->subjects)
		return -ENOMEM;
	store->subjects->since_ns = now;
	return 0;
}

static int count_up(struct store *store, struct slot *slot)
{
	int err = 0;

	if (slot->added > 0)
		err = store_exec(store,
				 "UPDATE subject SET count = count + $1, last_seen = $2"
				 " WHERE id = $3", store_int(slot->added),
				 store_int(clock_now_ns()), store_int(slot->id));
	slot->added = 0;
	return err;
}

/* The slot of the digest, or the one that it may have. */
static int find_slot(struct store *store, const unsigned char digest[DIGEST_LEN],
		     struct slot **found)
{
	struct slot *slots = store->subjects->slots, *victim;
	uint32_t at;

	memcpy(&at, digest, sizeof(at));
	for (uint32_t i = 0; i < PROBES; i++) {
		struct slot *slot = &slots[(at + i) % SLOTS];

		if (slot->id == 0 || memcmp(slot->digest, digest, DIGEST_LEN) == 0) {
			*found = slot;
			return 0;
		}
	}
	victim = &slots[(at + digest[5] % PROBES) % SLOTS];
	*found = victim;
	return count_up(store, victim);
}

static int on_id(void *arg, const struct store_value *columns)
{
	*(int64_t *)arg = columns[0].number;
	return 0;
}

static struct store_value text_or_null(struct str text)
{
	return text.len > 0 ? store_text(text) : store_null();
}

static int insert(struct store *store, const char *hex, const struct entry *entry,
		  const struct entry_parts *parts, struct str search, int64_t *id)
{
	const struct store_value values[] = {
		store_text(str_of(hex)), store_int(entry->verdict), text_or_null(parts->component),
		text_or_null(parts->name), text_or_null(parts->source_ip),
		text_or_null(parts->destination_ip), text_or_null(parts->hostname),
		text_or_null(parts->reason),
		store_text(((struct str){ parts->subject, parts->subject_len })),
		store_text(search), store_int(clock_now_ns()),
	};

	return store_run(store,
			 "INSERT INTO subject(digest, verdict, component, name, source_ip,"
			 " destination_ip, hostname, reason, json, search, count, last_seen)"
			 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11) RETURNING id",
			 values, ARRAY_LEN(values), on_id, id);
}

static int store_subject(struct store *store, const char *hex, const struct entry *entry,
			 const struct entry_parts *parts, int64_t *id)
{
	struct out search;
	int err = store_run(store, "UPDATE subject SET last_seen = $1 WHERE digest = $2"
			    " RETURNING id",
			    (const struct store_value[]){ store_int(clock_now_ns()),
							  store_text(str_of(hex)) },
			    2, on_id, id);

	if (err < 0 || *id != 0)
		return err;
	out_init(&search, ENTRY_JSON_MAX);
	entry_search(entry, &search);
	err = search.failed ? -ENOMEM : insert(store, hex, entry, parts,
					       (struct str){ search.at, search.len }, id);
	out_finish(&search);
	return err;
}

int store_subject_id(struct store *store, const struct entry *entry,
		     const struct entry_parts *parts, int64_t *id)
{
	unsigned char digest[DIGEST_LEN];
	char hex[2 * DIGEST_LEN + 1];
	struct slot *slot;
	int err = forget_if_old(store);

	if (err < 0)
		return err;
	crypto_generichash(digest, sizeof(digest), (const unsigned char *)parts->subject,
			   parts->subject_len, NULL, 0);
	err = find_slot(store, digest, &slot);
	if (err < 0)
		return err;
	if (slot->id == 0 || memcmp(slot->digest, digest, DIGEST_LEN) != 0) {
		int64_t fresh = 0;

		sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest));
		err = store_subject(store, hex, entry, parts, &fresh);
		if (err < 0)
			return err;
		*slot = (struct slot){ .id = fresh };
		memcpy(slot->digest, digest, DIGEST_LEN);
	}
	if (slot->added++ == 0) {
		if (store->subjects->touched_count == SLOTS) {
			slot->added = 0;        /* counted from here on */
			err = store_subjects_flush(store);
			if (err < 0)
				return err;
			slot->added = 1;
		}
		store->subjects->touched[store->subjects->touched_count++] =
			(uint32_t)(slot - store->subjects->slots);
	}
	*id = slot->id;
	return 0;
}

int store_subjects_flush(struct store *store)
{
	struct store_subjects *subjects = store->subjects;
	int err = 0;

	if (!subjects)
		return 0;
	for (uint32_t i = 0; i < subjects->touched_count && err == 0; i++)
		err = count_up(store, &subjects->slots[subjects->touched[i]]);
	subjects->touched_count = 0;
	return err;
}

void store_subjects_free(struct store_subjects *subjects)
{
	free(subjects);
}
