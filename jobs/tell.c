/* tell.c - what workers have to tell, told on the control thread. */
#include "jobs/tell.h"

#include <errno.h>
#include <inttypes.h>

#include "core/log.h"

void tell_events(const struct workers *workers, uint64_t *dropped, tell_fn *tell, void *context)
{
	uint64_t now_dropped = 0;
	struct event event;

	for (unsigned i = 0; i < workers->count; i++) {
		struct event_ring *ring = workers->all[i].events;

		if (!ring)
			continue;
		while (event_take(ring, &event)) {
			if (tell)
				tell(context, &event);
			else
				event_log(&event);
		}
		now_dropped += event_dropped(ring);
	}
	if (now_dropped > *dropped)
		log_warn("events.dropped", log_uint("count", now_dropped - *dropped),
			 log_str("note", "more events than the log takes"));
	*dropped = now_dropped;
}

void tell_metrics(const struct workers *workers, uint64_t dropped)
{
	struct metrics total = { 0 };

	for (unsigned i = 0; i < workers->count; i++)
		metrics_sum(&total, &workers->all[i].metrics);

	const struct log_field fields[] = {
#define METRIC(name, text) log_uint(#name, total.name),
#include "core/metrics.def"
#undef METRIC
		log_uint("events_dropped", dropped),
		{ .type = LOG_END },
	};

	log_line(LOG_LEVEL_INFO, 0, "metrics", false, fields);
}

void tell_status(const struct workers *workers, struct status_text *text)
{
	struct metrics total = { 0 };

	for (unsigned i = 0; i < workers->count; i++)
		metrics_sum(&total, &workers->all[i].metrics);
#define METRIC(name, help) status_add(text, "metrics." #name, "%" PRIu64, total.name);
#include "core/metrics.def"
#undef METRIC
}

const char *tell_ring_advice(int err)
{
	if (err == -ENOSYS)
		return "this kernel has no io_uring: Linux 6.1 or newer is needed";
	if (err == -EPERM || err == -EACCES)
		return "io_uring is forbidden here: allow io_uring_setup, io_uring_enter and "
		       "io_uring_register in the container's seccomp profile "
		       "(--security-opt seccomp=...), or set sysctl kernel.io_uring_disabled=0";
	if (err == -EINVAL)
		return "this kernel's io_uring is too old: Linux 6.1 or newer is needed";
	return "";
}
