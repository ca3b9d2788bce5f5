/* agent.h - the sidecar's side of the dashboard: a thread that ships events, sends alerts and
 * fetches what is to be unblocked.
 *
 * Nothing here makes the control thread wait: it hands over copies of events through a bounded
 * ring, and texts through a small mailbox.  Without any of this configured there is no thread, and
 * libcurl is not loaded. */
#ifndef DASHBOARD_AGENT_H
#define DASHBOARD_AGENT_H

#include "core/event.h"
#include "core/resolv_conf.h"
#include "dashboard/notify.h"
#include "dashboard/unblock.h"

enum {
	AGENT_ERROR_MAX = 512,
	AGENT_HEADERS_MAX = 8,
	AGENT_HEADER_MAX = 1100,
	AGENT_NAME_MAX = 256,
};

struct agent_settings {                 /* texts are borrowed, for as long as the agent is there */
	char hostname[AGENT_NAME_MAX];  /* of this instance, in events */
	const char *version;
	struct egress egress;
	struct upstream_sets servers;
	struct str hosts;               /* what the hosts file held at the start */

	bool ships;                     /* to a dashboard */
	struct web_target dashboard;
	const char *api_key;            /* "": none */
	uint32_t queue_size;
	uint64_t start_delay_ms;
	const char *spool_folder;       /* "": none */
	uint64_t spool_bytes;
	bool unblocks;                  /* fetches what is to be unblocked */
	uint64_t poll_ms;

	bool exports;                   /* to an OpenTelemetry collector */
	struct web_target otlp;
	const char *service_name;
	char otlp_headers[AGENT_HEADERS_MAX][AGENT_HEADER_MAX];         /* "" behind the last */

	struct notify_service services[NOTIFY_SERVICES_MAX];            /* that get alerts */
	unsigned service_count;
	struct notify_ignore ignore;
	uint64_t backoff_ms;
};

struct agent;

/* Is there anything to do at all? */
bool agent_is_needed(const struct agent_settings *settings);

/* Start the thread; *settings must stay.  What it cannot do, it says in the log.  0 or -errno. */
int agent_start(struct agent **agent, const struct agent_settings *settings);

/* Control thread: hand over a copy.  When there is no room the event is dropped and counted. */
void agent_tell(struct agent *agent, const struct event *event);

/* How this instance is, as the body of POST /api/v1/sync, allocated; urgent: something changed. */
void agent_report(struct agent *agent, char *report, bool urgent);
/* Turns readable when there is something to unblock; read it, then take all.  -1: never. */
int agent_unblock_fd(const struct agent *agent);
bool agent_take_unblock(struct agent *agent, struct unblock_item *item);
void agent_answer(struct agent *agent, const struct unblock_result *result);

/* Send what is there, for so long at most, and end the thread.  NULL is fine. */
void agent_stop(struct agent *agent, uint64_t patience_ms);

#endif
