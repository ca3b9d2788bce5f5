/* healthcheck.c - `ringfence healthcheck`: of a forward when TARGET is set, else of a filter. */
#include <stdio.h>

#include "health/check.h"
#include "jobs/health_plan.h"
#include "jobs/jobs.h"

/* The same environment, read by the same parsers, as the running forward's. */
static int read_forward(const struct options *options, struct forward_settings *forward,
			struct upstreams *nameservers, char error[FORWARD_ERROR_MAX])
{
	int err;

	if ((err = forward_target_parse(options->target, forward, error)) < 0 ||
	    (err = forward_mode(options->mode, forward, error)) < 0 ||
	    (err = forward_ports_parse(options->forward_ports, forward, error)) < 0)
		return err;
	if (options->pre_resolve != PRE_RESOLVE_PIN)
		return 0;
	return forward_nameservers_parse(options->nameservers, nameservers, error);
}

static int check_the_forward(const struct options *options)
{
	static struct forward_settings forward;
	struct upstreams nameservers = { 0 };
	struct health_plan health = { 0 };
	char error[FORWARD_ERROR_MAX];
	struct check_plan plan;
	int status;

	if (read_forward(options, &forward, &nameservers, error) < 0) {
		status = check_failed("%s", error);
	} else if (health_plan_make(&health, options, &forward) < 0) {
		status = check_failed("no memory");
	} else {
		plan = (struct check_plan){
			.place = { options->control_socket, health.stem },
			.target = options->target,
			.mode = health.mode,
			.udp = forward.udp,
			.port_words = options->forward_ports,
			.ports = health.ports,
			.port_count = health.port_count,
			.nameservers = &nameservers,
			.probes = { health.probes[PROBE_HTTP], health.probes[PROBE_SMTP] },
		};
		if (options->pre_resolve == PRE_RESOLVE_PIN && forward.by_name)
			plan.name = str_of(forward.target);
		status = check_forward(&plan);
	}
	health_plan_finish(&health);
	forward_settings_finish(&forward);
	return status;
}

int job_healthcheck(int argc, char **argv, bool lenient)
{
	static struct options options;
	char error[OPTION_ERROR_MAX];
	struct status_place place;

	if (options_parse(&options, 'H', argc, argv, lenient, error) < 0)
		return check_failed("%s", error);
	for (unsigned i = 0; i < options.warning_count; i++)
		fprintf(stderr, "WARNING:healthcheck:%s\n", options.warnings[i]);
	if (options.target[0])
		return check_the_forward(&options);
	place = (struct status_place){ options.control_socket, "filter" };
	return check_filter(&place);
}
