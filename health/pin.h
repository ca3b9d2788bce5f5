/* pin.h - is an address that a name was pinned to still one of the name's?
 *
 * Names that are balanced by their DNS servers answer differently each time: they say nothing about
 * the pinned address, and are found out by asking again.  Answers are compared as sets; their order
 * means nothing. */
#ifndef HEALTH_PIN_H
#define HEALTH_PIN_H

#include "core/addr.h"

enum { PIN_ADDRS_MAX = 64, PIN_TEXT_MAX = 2048 };

enum pin_verdict {
	PIN_GOOD,                       /* the answer has the pinned address */
	PIN_ASK_AGAIN,
	PIN_STALE,                      /* twice the same answer, without it */
	PIN_BALANCED,                   /* three answers, each unlike the one before, without it */
};

struct pin_set {
	unsigned count;
	union addr addrs[PIN_ADDRS_MAX];        /* sorted, distinct */
};

struct pin {
	union addr pinned;
	unsigned asked;
	struct pin_set earlier, latest; /* the last two answers */
};

void pin_init(struct pin *pin, const union addr *pinned);
/* One more answer; only addresses of the pinned one's family count. */
enum pin_verdict pin_judge(struct pin *pin, const union addr *addrs, unsigned count);

/* "['192.0.2.1', '192.0.2.2']", as docker-whitelist prints it; returns out. */
const char *pin_set_text(const struct pin_set *set, char out[PIN_TEXT_MAX]);

/* The note that a name is balanced, by which a later check can skip the question: a file, good for
 * one target and one start of the forward.  docker-whitelist's note has the same path and outlives
 * restarts for ever. */
bool pin_note_holds(const char *path, const char *target, uint64_t started_ms);
/* 0 or -errno. */
int pin_note_write(const char *path, const char *target, uint64_t started_ms);

#endif
