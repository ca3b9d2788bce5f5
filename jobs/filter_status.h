/* filter_status.h - what a running filter says of itself at its control socket. */
#ifndef JOBS_FILTER_STATUS_H
#define JOBS_FILTER_STATUS_H

#include "jobs/filter.h"

/* Without a socket the filter goes on, and says so. */
void filter_status_open(struct running *running);
void filter_status_close(struct running *running);

#endif
