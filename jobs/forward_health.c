/* forward_health.c - what a running forward says of itself at its control socket, and the checks
 * that it makes by itself; both on the control thread. */
#include "jobs/forward_health.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "health/schedule.h"
#include "jobs/forward.h"
#include "jobs/health_plan.h"
#include "jobs/tell.h"

struct forward_health {
	struct forwarding *forwarding;
	struct health_plan plan;
	struct status *status;          /* NULL: nobody can ask */
	struct schedule *schedule;      /* NULL: we do not check */
	uint64_t started_ms;            /* CLOCK_REALTIME */
	struct health_port *listed;     /* room for one list */
	char text[PORTS_TEXT_MAX];
};

/* The address that TARGET's name was pinned to; NULL when it is asked for, or an address itself. */
static const union addr *pinned(const struct forward_settings *forward)
{
	union addr literal;

	return forward->by_name || addr_parse(str_of(forward->target), &literal) ? NULL :
										   &forward->addr;
}

static enum schedule_limit limit_of(const struct forward_port *port)
{
	const struct limit *limit = &port->limit;

	if (limit->max == 0 || atomic_load(&limit->open) < limit->max)
		return SCHEDULE_FREE;
	return atomic_load(&limit->waiting) > 0 ? SCHEDULE_WAITED_FOR : SCHEDULE_FULL;
}

static enum schedule_limit limit_of_port(void *context, uint16_t number)
{
	const struct forward_health *health = context;
	const struct forward_settings *forward = &health->forwarding->forward;

	for (unsigned i = 0; i < forward->port_count; i++)
		if (forward->ports[i].listen == number)
			return limit_of(&forward->ports[i]);
	return SCHEDULE_FREE;
}

static bool is_full(const struct forward_port *port)
{
	return limit_of(port) != SCHEDULE_FREE;
}

static bool is_waited_for(const struct forward_port *port)
{
	return limit_of(port) == SCHEDULE_WAITED_FOR;
}

/* Probes come from loopback, and are clients like others. */
static bool allows_probes(const struct forward_settings *forward)
{
	union addr loopback;

	return addr_parse(STR(PROBE_ADDRESS), &loopback) && forward_allows(forward, &loopback);
}

static bool is_failed(const struct forward_port *port)
{
	return port->error < 0;
}

/* The ports of which something is true; no line when there are none. */
static void add_ports(struct forward_health *health, struct status_text *text, const char *key,
		      bool (*is)(const struct forward_port *port))
{
	const struct forward_settings *forward = &health->forwarding->forward;
	unsigned count = 0;

	for (unsigned i = 0; i < forward->port_count; i++)
		if (!is || is(&forward->ports[i]))
			health->listed[count++] = health->plan.ports[i];
	if (count > 0 && ports_text(health->listed, count, health->text, sizeof(health->text)))
		status_add(text, key, "%s", health->text);
}

static void fill(void *context, struct status_text *text)
{
	struct forward_health *health = context;
	const struct forwarding *forwarding = health->forwarding;
	const struct options *options = &forwarding->options;
	char addr[ADDR_TEXT_MAX];

	status_add(text, "job", "forward");
	status_add(text, "pid", "%d", (int)getpid());
	status_add(text, "started", "%" PRIu64, health->started_ms);
	status_add(text, "target", "%s", options->target);
	if (pinned(&forwarding->forward))
		status_add(text, "pinned", "%s", addr_format_ip(&forwarding->forward.addr, addr));
	status_add(text, "mode", "%s", health->plan.mode);
	status_add(text, "probes", allows_probes(&forwarding->forward) ? "allowed" : "refused");
	status_add(text, "max_connections", "%" PRIu32, options->forward_conns_max);
	add_ports(health, text, "ports", NULL);
	add_ports(health, text, "failed", is_failed);
	add_ports(health, text, "full", is_full);
	add_ports(health, text, "waited_for", is_waited_for);
	schedule_add_status(health->schedule, text);
	tell_status(&forwarding->workers, text);
}

static int open_status(struct forward_health *health)
{
	struct forwarding *forwarding = health->forwarding;
	struct status_place place = { forwarding->options.control_socket, health->plan.stem };
	char error[STATUS_ERROR_MAX];
	int err = status_open(&forwarding->control, &place, fill, health, &health->status, error);

	if (err < 0)
		log_warn("control.unavailable", log_str("err", error),
			 log_str("note", "healthcheck cannot ask this process: set CONTROL_SOCKET "
					 "to a path of its own, for both"));
	return 0;
}

static int open_schedule(struct forward_health *health)
{
	struct forwarding *forwarding = health->forwarding;
	const struct options *options = &forwarding->options;
	const struct forward_settings *forward = &forwarding->forward;
	struct schedule_plan plan = {
		.control = &forwarding->control,
		.interval_ms = options->healthcheck_interval,
		.pinned = pinned(forward),
		.name = str_of(forward->target),
		.target = options->target,
		.nameservers = &forwarding->nameservers,
		.limit = limit_of_port,
		.context = health,
	};
	char error[PROBE_ERROR_MAX];

	if (plan.interval_ms == 0)
		return 0;
	for (unsigned i = 0; i < PROBE_KINDS; i++)
		plan.probes[i] = forward->udp ? NULL : health->plan.probes[i];
	if (!plan.pinned && !plan.probes[PROBE_HTTP] && !plan.probes[PROBE_SMTP]) {
		log_warn("config.invalid", log_str("note", "HEALTHCHECK_INTERVAL: there is nothing "
			 "to check: set HTTP_HEALTHCHECK, SMTP_HEALTHCHECK (MODE=tcp) or "
			 "PRE_RESOLVE to 1"));
		return 0;
	}
	if (schedule_open(&health->schedule, &plan, error) < 0)
		return forward_complain("HEALTHCHECK_INTERVAL: %s", error);
	return 0;
}

int forward_health_open(struct forwarding *forwarding)
{
	struct forward_health *health = calloc(1, sizeof(*health));
	struct timespec now;

	if (!health)
		return forward_complain("no memory for health checks");
	forwarding->health = health;
	health->forwarding = forwarding;
	clock_gettime(CLOCK_REALTIME, &now);
	health->started_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	health->listed = calloc(forwarding->forward.port_count, sizeof(*health->listed));
	if (!health->listed ||
	    health_plan_make(&health->plan, &forwarding->options, &forwarding->forward) < 0)
		return forward_complain("no memory for health checks");
	if ((health->plan.probes[PROBE_HTTP] || health->plan.probes[PROBE_SMTP]) &&
	    !allows_probes(&forwarding->forward))
		log_warn("config.invalid", log_str("note", "ALLOW_FROM: add " PROBE_ADDRESS
			 ", where health checks come from: now they cannot succeed"));
	if (open_schedule(health) != 0)
		return 1;
	return open_status(health);
}

void forward_health_rest(struct forwarding *forwarding)
{
	if (!forwarding->health)
		return;
	schedule_close(forwarding->health->schedule);
	forwarding->health->schedule = NULL;
}

void forward_health_close(struct forwarding *forwarding)
{
	struct forward_health *health = forwarding->health;

	if (!health)
		return;
	forward_health_rest(forwarding);
	status_close(health->status);
	health_plan_finish(&health->plan);
	free(health->listed);
	free(health);
	forwarding->health = NULL;
}

void forward_health_tell(const struct forwarding *forwarding)
{
	if (forwarding->health)
		schedule_log(forwarding->health->schedule);
}
