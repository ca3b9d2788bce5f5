/* duration.h - lengths of time as people write them: "1h2m3.5s", "300ms", "5". */
#ifndef CORE_DURATION_H
#define CORE_DURATION_H

#include "proto/str.h"

enum { DURATION_TEXT_MAX = 24 };

/*
 * Parse what Go's time.ParseDuration takes, numbers with a unit of ns, us, ms, s, m or h each, and
 * also a bare number, which is seconds (decisions.md 26).  No sign: none of ours runs backwards.
 *
 * *ms is rounded up, so that only zero becomes zero.  Returns false, *ms untouched, for anything
 * else and for more than 292 years.
 */
bool duration_parse(struct str text, uint64_t *ms);

/* The shortest exact text in one unit: "90s", "10m", "720h", "0s".  Returns out. */
const char *duration_format(uint64_t ms, char out[DURATION_TEXT_MAX]);

#endif
