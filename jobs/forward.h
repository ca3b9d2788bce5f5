/* forward.h - the running forward as the control thread sees it. */
#ifndef JOBS_FORWARD_H
#define JOBS_FORWARD_H

#include <sys/stat.h>

#include "core/control.h"
#include "core/options.h"
#include "core/worker.h"
#include "forward/filter.h"
#include "forward/port.h"

struct forwarding {
	struct options options;
	struct forward_settings forward;
	struct upstreams nameservers;   /* NAMESERVERS, when PRE_RESOLVE asks them */
	struct filter_settings settings;
	struct filter_listener *listeners;
	struct worker_job job;
	struct workers workers;
	struct control control;
	struct watch signals, events, tick, deadline;
	int event_fd;
	uint64_t events_dropped;
	struct filter_drain *drains;    /* one a worker, while we are stopping */
	struct stat hosts_file;         /* as it was when it was read */
	struct forward_health *health;  /* forward_health.h */
};

/* What these return: 0; 1 after saying what is wrong; or the status for a signal that came. */

/* forward_start.c: options and what they mean. */
int forward_read(struct forwarding *forwarding, int argc, char **argv, bool lenient);
/* Which ports can be listened on: the others get their error; 1: none can. */
int forward_ports_try(struct forwarding *forwarding);

/* forward_target.c: where TARGET is. */
int forward_target_find(struct forwarding *forwarding);
/* Read HOSTS_FILE if it has changed; control thread. */
void forward_hosts_read(struct forwarding *forwarding);

/* forward_watch.c: from here on signals come by a descriptor.  0 or -errno. */
int forward_signals_open(struct forwarding *forwarding);
/* During the start, when it is readable: was it a signal to stop?  Sets control.exit_status. */
bool forward_is_stopped(struct forwarding *forwarding);
/* Log what workers tell until it is time to stop.  Returns the exit status. */
int forward_serve(struct forwarding *forwarding);

/* One line on stderr, "ringfence: ..."; returns 1. */
__attribute__((format(printf, 1, 2)))
int forward_complain(const char *format, ...);

#endif
