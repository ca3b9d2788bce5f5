/* health_plan.c - what is to be checked of a forward, from its options. */
#include "jobs/health_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const modes[] = {
	[MODE_TCP] = "tcp", [MODE_TCP4] = "tcp4", [MODE_TCP6] = "tcp6",
	[MODE_UDP] = "udp", [MODE_UDP4] = "udp4", [MODE_UDP6] = "udp6",
};

static void plan_probes(struct health_plan *plan, const struct options *options)
{
	struct probe_plan common = { .target = options->target, .ports = plan->ports,
				     .port_count = plan->port_count };

	plan->plans[PROBE_HTTP] = plan->plans[PROBE_SMTP] = common;
	plan->plans[PROBE_HTTP].kind = PROBE_HTTP;
	plan->plans[PROBE_HTTP].url = options->http_healthcheck_url;
	plan->plans[PROBE_HTTP].timeout_ms = options->http_healthcheck_timeout_ms;
	plan->plans[PROBE_SMTP].kind = PROBE_SMTP;
	plan->plans[PROBE_SMTP].url = options->smtp_healthcheck_url;
	plan->plans[PROBE_SMTP].command = options->smtp_healthcheck_command;
	plan->plans[PROBE_SMTP].timeout_ms = options->smtp_healthcheck_timeout_ms;
	if (options->http_healthcheck == HTTP_HEALTHCHECK_ON)
		plan->probes[PROBE_HTTP] = &plan->plans[PROBE_HTTP];
	if (options->smtp_healthcheck == SMTP_HEALTHCHECK_ON)
		plan->probes[PROBE_SMTP] = &plan->plans[PROBE_SMTP];
}

int health_plan_make(struct health_plan *plan, const struct options *options,
		     const struct forward_settings *forward)
{
	*plan = (struct health_plan){ .mode = modes[options->mode] };
	plan->ports = calloc(forward->port_count, sizeof(*plan->ports));
	if (!plan->ports)
		return -ENOMEM;
	plan->port_count = forward->port_count;
	for (unsigned i = 0; i < forward->port_count; i++)
		plan->ports[i] = (struct health_port){ forward->ports[i].listen,
						       forward->ports[i].dial };
	snprintf(plan->stem, sizeof(plan->stem), "forward-%s-%u", plan->mode,
		 plan->ports[0].listen);
	plan_probes(plan, options);
	return 0;
}

void health_plan_finish(struct health_plan *plan)
{
	free(plan->ports);
	plan->ports = NULL;
}
