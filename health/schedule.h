/* schedule.h - the health checks of a running forward, on its control thread, so often.
 *
 * HTTP and SMTP probes by curl's multi interface, the pinned address by resolve.h; nothing of it
 * waits.  Told in the log when it changes: health.up, health.down, with the check's name. */
#ifndef HEALTH_SCHEDULE_H
#define HEALTH_SCHEDULE_H

#include "core/addr.h"
#include "core/control.h"
#include "core/resolv_conf.h"
#include "core/status.h"
#include "health/probe.h"

enum schedule_limit {                   /* how a port stands with MAX_CONNECTIONS */
	SCHEDULE_FREE,
	SCHEDULE_FULL,                  /* the next one will have to wait */
	SCHEDULE_WAITED_FOR,            /* full, and somebody waits */
};

struct schedule_plan {                  /* what it points to is good until schedule_close() */
	struct control *control;
	uint64_t interval_ms;
	const struct probe_plan *probes[PROBE_KINDS];   /* NULL: not that one */
	const union addr *pinned;       /* NULL: nothing to look after */
	struct str name;                /* normalised; what it was pinned for */
	const char *target;             /* the same, as written */
	const struct upstreams *nameservers;
	enum schedule_limit (*limit)(void *context, uint16_t port);
	void *context;
};

struct schedule;

/* The first checks come one interval from now.  0, or -errno with one line in error. */
int schedule_open(struct schedule **schedule, const struct schedule_plan *plan,
		  char error[PROBE_ERROR_MAX]);
void schedule_close(struct schedule *schedule);         /* NULL is fine */

/* health.http "up", health.http.checks, .failures, .skipped; NULL adds nothing. */
void schedule_add_status(const struct schedule *schedule, struct status_text *text);
/* The same as a line of the log for each check. */
void schedule_log(const struct schedule *schedule);

#endif
