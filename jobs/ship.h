/* ship.h - the thread that ships events, as the running filter has it: from its options. */
#ifndef JOBS_SHIP_H
#define JOBS_SHIP_H

#include "core/options.h"
#include "dashboard/agent.h"

enum { SHIP_WARNINGS_MAX = 8 };

struct shipping {
	struct agent_settings settings;
	char *hosts;                    /* what the hosts file held */
	struct agent *agent;            /* NULL: nothing of it is configured, or not started */
	const char *warnings[SHIP_WARNINGS_MAX];        /* to be logged once the log is open */
	unsigned warning_count;
};

/* ship_options.c: what the options ask for.  0, or -EINVAL with one line in error. */
int shipping_read(struct shipping *shipping, const struct options *options,
		  char error[OPTION_ERROR_MAX]);

/* Control thread.  Does nothing when nothing is configured. */
void shipping_start(struct shipping *shipping);
void shipping_tell(struct shipping *shipping, const struct event *event);
void shipping_stop(struct shipping *shipping);

#endif
