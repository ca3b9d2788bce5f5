/* check.h - `ringfence healthcheck`: is what runs here healthy?  Asks it through its control
 * socket, then looks for itself.
 *
 * Exit status 0 or 1, lines and their order are docker-whitelist's: INFO:healthcheck:... on stderr
 * for what is looked at, the answers of probes on stdout, and for the first thing that is wrong
 * ERROR:healthcheck:..., which says what to do. */
#ifndef HEALTH_CHECK_H
#define HEALTH_CHECK_H

#include "core/resolv_conf.h"
#include "core/status.h"
#include "health/probe.h"

enum { CHECK_PATIENCE_MS = 5000 };     /* for an answer of the control socket */

struct check_plan {
	struct status_place place;
	const char *target;             /* as written */
	const char *mode;               /* MODE's word */
	bool udp;
	const char *port_words;         /* PORT, as written */
	const struct health_port *ports;
	unsigned port_count;
	/* PRE_RESOLVE=1 with a name: it, normalised, and who is asked.  Else name.len is 0. */
	struct str name;
	const struct upstreams *nameservers;
	const struct probe_plan *probes[PROBE_KINDS];   /* NULL: not that one */
};

/* Of a forward: does it listen, is its pin right, does the target answer?  The exit status. */
int check_forward(const struct check_plan *plan);
/* Of a filter: are rules and policy in force, does it listen?  The exit status. */
int check_filter(const struct status_place *place);

/* For both: one line on stderr.  check_failed() returns the exit status, 1. */
__attribute__((format(printf, 1, 2))) void check_info(const char *format, ...);
__attribute__((format(printf, 1, 2))) int check_failed(const char *format, ...);

#endif
