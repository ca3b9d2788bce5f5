/* rfc3339.h - times as Go's RFC3339Nano writes and reads them; nanoseconds since 1970 in UTC. */
#ifndef DASHBOARD_RFC3339_H
#define DASHBOARD_RFC3339_H

#include "proto/str.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

enum { RFC3339_TEXT_MAX = 40 };

/* "2026-07-05T02:25:09.123456789+02:00": years 1970 to 2261.  false, *time_ns untouched, for
 * anything else. */
bool rfc3339_parse(struct str text, int64_t *time_ns);

/* In UTC, zeros at the end of the fraction left out.  Returns out. */
const char *rfc3339_format(int64_t time_ns, char out[RFC3339_TEXT_MAX]);

int64_t clock_now_ns(void);             /* CLOCK_REALTIME */
int64_t clock_steady_ns(void);          /* CLOCK_MONOTONIC */

#endif
