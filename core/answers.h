/* answers.h - what names resolved to: one table for all workers.
 *
 * Readers take no lock and write nothing but a second-granular "last used" stamp.  Entries are
 * immutable; a new answer replaces the entry, and the old one is freed at a quiet point (quiet.h).
 * Times are CLOCK_MONOTONIC milliseconds, given by the caller. */
#ifndef CORE_ANSWERS_H
#define CORE_ANSWERS_H

#include <stdatomic.h>

#include "core/quiet.h"
#include "core/resolver.h"

/* Set-associative, as CPU caches are: a name may be in one of ANSWERS_WAYS places, and when all are
 * taken the one not used for longest goes.  So the table never grows, and a flood of names costs
 * each set its oldest entries only.  At most SETS * WAYS = 4096 names (security.md 3.4). */
enum {
	ANSWERS_SETS = 512,             /* a power of two */
	ANSWERS_WAYS = 8,
};

/* How long an answer is fresh (security.md 3.5). */
enum {
	ANSWER_FRESH_MIN_MS = 5 * 1000,
	ANSWER_FRESH_MAX_MS = 3600 * 1000,
	ANSWER_NONE_MIN_MS = 1000,      /* no such name, no address */
	ANSWER_NONE_MAX_MS = 30 * 1000,
	ANSWER_FAILED_MIN_MS = 1000,    /* nobody answered: some time in between */
	ANSWER_FAILED_MAX_MS = 5 * 1000,
	ANSWER_GRACE_MS = 600 * 1000,   /* `recent` remembers so long after expiry */
	ANSWER_REFRESH_RETRY_MS = 3 * 1000,
};

struct answer_entry {
	struct answer answer;           /* points into `addrs` */
	uint64_t hash;
	uint64_t fresh_until_ms;
	uint64_t trim_at_ms;            /* the first of `recent` is too old then */
	_Atomic uint64_t refresh_at_ms; /* 80 % of its time; moved on by who refreshes */
	_Atomic uint32_t used_s;
	_Atomic uint32_t references;    /* the table's, and holders' */
	struct quiet_item item;
	uint8_t name_len;
	char name[255];
	uint64_t *recent_until_ms;      /* of each of answer.recent; latest first */
	union addr addrs[];             /* answer.addrs, answer.recent */
};

/* What was learned upstream. */
struct answer_news {
	unsigned count;                 /* at most RESOLVER_ADDRS_MAX */
	bool failed;
	const union addr *addrs;        /* distinct */
	uint64_t ttl_ms;                /* as given, not clamped; ignored when failed */
};

struct answers;

/* 0 or -errno. */
int answers_init(struct answers **answers);
/* Nobody reads any more.  NULL is fine. */
void answers_finish(struct answers *answers);

uint64_t answers_hash(const struct answers *answers, struct str name);

/* The fresh entry of a name, or NULL.  Caller: a reader of quiet.h; the entry is good until its
 * next quiet point.  Locks only to drop `recent` addresses whose time is over. */
struct answer_entry *answers_find(struct answers *answers, uint64_t hash, struct str name,
				  uint64_t now_ms);

/* Has most of the entry's time passed?  True for one caller only; the others go on with it. */
bool answers_refresh(struct answer_entry *entry, uint64_t now_ms);

/* Learn an answer: replaces what the name had, whose addresses become `recent`.  A failure does not
 * replace an answer that is still fresh.  Returns the entry now in the table with a reference for
 * the caller (answers_release()), or NULL without memory. */
struct answer_entry *answers_put(struct answers *answers, uint64_t hash, struct str name,
				 const struct answer_news *news, uint64_t now_ms);
void answers_release(struct answer_entry *entry);

unsigned answers_count(struct answers *answers);        /* names held, fresh or not */

#endif
