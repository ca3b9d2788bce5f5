/* filter_watch.h - what the control thread of a running filter listens to: signals, workers'
 * events, dropped packets, other hands on the rules. */
#ifndef JOBS_FILTER_WATCH_H
#define JOBS_FILTER_WATCH_H

#include <signal.h>

#include "jobs/filter.h"

/* SIGTERM and SIGINT end, SIGHUP reloads, SIGUSR1 logs the counters. */
void filter_signals(sigset_t *set);

void filter_watch_none(struct running *running);        /* nothing is open yet */
int filter_watch_init(struct running *running);
/* Log the events that workers have told so far. */
void filter_watch_drain(struct running *running);
/* Put in the rules as they are now; what fails is tried again every second.  0 or -errno. */
int filter_rules_install(struct running *running);
/* Are our rules in force?  Puts them back if need be. */
bool filter_rules_assert(struct running *running);
void filter_watch_finish(struct running *running);

#endif
