/* ship.c - the thread that ships events, started and ended with the filter. */
#include "jobs/ship.h"

#include <stdlib.h>

#include "core/log.h"

enum { FLUSH_MS = 2000 };               /* SIGTERM: so long for what is still to be sent */

void shipping_start(struct shipping *shipping)
{
	const struct agent_settings *settings = &shipping->settings;
	int err;

	for (unsigned i = 0; i < shipping->warning_count; i++)
		log_warn("config.invalid", log_str("note", shipping->warnings[i]));
	if (!agent_is_needed(settings))
		return;
	err = agent_start(&shipping->agent, settings);
	if (err < 0) {
		log_error("dashboard.unavailable", log_str("err", strerror(-err)));
		return;
	}
	if (settings->ships)
		log_info("dashboard.logging_enabled",
			 log_str("host", settings->dashboard.host_shown));
	if (settings->service_count > 0)
		log_info("notifications.enabled", log_uint("services", settings->service_count));
	if (settings->exports)
		log_info("otlp.enabled", log_str("host", settings->otlp.host_shown));
}

void shipping_tell(struct shipping *shipping, const struct event *event)
{
	if (shipping->agent)
		agent_tell(shipping->agent, event);
}

void shipping_stop(struct shipping *shipping)
{
	agent_stop(shipping->agent, FLUSH_MS);
	shipping->agent = NULL;
	free(shipping->hosts);
	shipping->hosts = NULL;
}
