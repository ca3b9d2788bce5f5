/* limits.h - how often may one source do something: a token bucket for each, bounded in number.
 * Safe to call from any thread. */
#ifndef DASHBOARD_LIMITS_H
#define DASHBOARD_LIMITS_H

#include <stdbool.h>

struct limits;

/* rate tokens a second, up to burst of them. */
struct limits *limits_open(double rate, double burst);
void limits_close(struct limits *limits);
/* Take a token of this source; false: there is none.  *empty_now: this was its last. */
bool limits_take(struct limits *limits, const char *source, bool *empty_now);
/* Is there one? */
bool limits_left(struct limits *limits, const char *source);

#endif
