/* record_table.h - what is known of names and types: one table for all workers, behind records.h.
 *
 * Readers take no lock and write nothing but a second-granular "last used" stamp.  Entries are
 * immutable; news replace the entry, and the old one is freed at a quiet point (quiet.h).  Times
 * are CLOCK_MONOTONIC milliseconds, given by the caller. */
#ifndef CORE_RECORD_TABLE_H
#define CORE_RECORD_TABLE_H

#include <stdatomic.h>

#include "core/quiet.h"
#include "core/records.h"

/* Set-associative, as CPU caches are: a name and type may be in one of RECORD_WAYS places, and when
 * all are taken one goes: one whose time is over, else one that says "no", else one that nobody has
 * asked for again, else the one not used for longest.  So the table never grows, and a flood of
 * names costs names in use nothing.  Beyond RECORD_BYTES_MAX each new entry takes others away
 * (security.md 3.4). */
enum {
	RECORD_SETS = 1024,             /* a power of two */
	RECORD_WAYS = 8,
	RECORD_BYTES_MAX = 16 << 20,
	RECORD_REFRESH_RETRY_MS = 3 * 1000,
};

struct record_key {
	uint64_t hash;                  /* of name and type */
	struct str name;
	uint16_t type;
};

struct record_entry {
	struct records records;         /* points into the memory behind */
	uint64_t hash;
	uint64_t dial_until_ms;         /* at least records.fresh_until_ms */
	uint64_t trim_at_ms;            /* the first of `recent` is too old then */
	_Atomic uint64_t refresh_at_ms; /* 80 % of its time; moved on by who refreshes */
	_Atomic uint32_t used_s;        /* 0: not since it was learned */
	_Atomic uint32_t references;    /* the table's, and holders' */
	struct quiet_item item;
	uint32_t size;                  /* in bytes, with what is behind */
	uint16_t type;
	uint8_t name_len;
	const char *name;
	uint64_t *recent_until_ms;      /* of each of records.recent; latest first */
};

/* What was learned upstream. */
struct record_news {
	bool failed, timed_out;
	uint16_t rcode;
	const struct dns_records *block; /* NULL when failed */
	const char *upstream;           /* lives as long as the table; NULL: nobody */
	uint32_t took_us;
	uint64_t fresh_max_ms;          /* kept no longer than that, 0: as long as it says */
};

struct record_table;

/* 0 or -errno. */
int record_table_init(struct record_table **table);
/* Nobody reads any more.  NULL is fine. */
void record_table_finish(struct record_table *table);

uint64_t record_hash(const struct record_table *table, struct str name);
/* name_hash: record_hash() of the name. */
struct record_key record_key(uint64_t name_hash, struct str name, uint16_t type);

/* What is known, or NULL; its time may be over.  Caller: a reader of quiet.h; the entry is good
 * until its next quiet point.  Locks only to drop `recent` addresses whose time is over. */
struct record_entry *record_find(struct record_table *table, const struct record_key *key,
				 uint64_t now_ms);

/* For clients; for dialling. */
static inline bool record_is_fresh(const struct record_entry *entry, uint64_t now_ms)
{
	return now_ms < entry->records.fresh_until_ms;
}
static inline bool record_may_be_dialled(const struct record_entry *entry, uint64_t now_ms)
{
	return now_ms < entry->dial_until_ms;
}

/* Has most of the entry's time passed?  True for one caller only; the others go on with it. */
bool record_wants_refresh(struct record_entry *entry, uint64_t now_ms);

/* Learn: replaces what there was, whose addresses become `recent`.  A failure does not replace what
 * may still be dialled.  Returns the entry now in the table with a reference for the caller
 * (record_release()), or NULL without memory. */
struct record_entry *record_put(struct record_table *table, const struct record_key *key,
				const struct record_news *news, uint64_t now_ms);
void record_release(struct record_entry *entry);

/* Entries held, fresh or not, and their bytes. */
unsigned record_count(struct record_table *table, size_t *bytes);

#endif
