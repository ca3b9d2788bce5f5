/* health_plan.h - what is to be checked of a forward, from its options: the same for the running
 * program and for the health check that asks it. */
#ifndef JOBS_HEALTH_PLAN_H
#define JOBS_HEALTH_PLAN_H

#include "core/options.h"
#include "core/status.h"
#include "forward/port.h"
#include "health/probe.h"

struct health_plan {
	const char *mode;               /* MODE's word */
	char stem[STATUS_STEM_MAX];     /* of the control socket's name */
	struct health_port *ports;
	unsigned port_count;
	struct probe_plan plans[PROBE_KINDS];
	const struct probe_plan *probes[PROBE_KINDS];   /* those that are asked for, else NULL */
};

/* options and forward must stay.  0 or -ENOMEM. */
int health_plan_make(struct health_plan *plan, const struct options *options,
		     const struct forward_settings *forward);
void health_plan_finish(struct health_plan *plan);      /* all zero is fine */

#endif
