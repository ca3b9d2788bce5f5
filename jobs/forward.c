/* forward.c - `ringfence forward`: listen on PORT, forward to TARGET.
 *
 * The order of the start: read and check everything (forward_start.c), find TARGET
 * (forward_target.c), try the ports, start workers that listen, then sit on the control thread
 * (forward_watch.c) until it is time to stop. */
#include "jobs/forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/log.h"
#include "core/quiet.h"
#include "jobs/forward_health.h"
#include "jobs/jobs.h"
#include "jobs/tell.h"

static int start(struct forwarding *forwarding)
{
	unsigned count = forwarding->options.workers;
	const char *advice;
	int err;

	if (count == 0)
		count = (unsigned)worker_count("auto");
	if (forward_health_open(forwarding) != 0 || forward_ports_try(forwarding) != 0)
		return 1;
	forwarding->job = filter_job;
	forwarding->job.context = &forwarding->settings;
	err = workers_start(&forwarding->workers, count, &forwarding->job, forwarding->event_fd);
	if (err == 0)
		return 0;
	advice = tell_ring_advice(err);
	return forward_complain("workers cannot start: %s%s%s", strerror(-err),
				advice[0] ? ": " : "", advice);
}

static void close_watch(struct watch *watch)
{
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}

static void finish(struct forwarding *forwarding)
{
	if (forwarding->workers.all) {
		workers_stop(&forwarding->workers);
		tell_events(&forwarding->workers, &forwarding->events_dropped, NULL, NULL);
		workers_finish(&forwarding->workers);
	}
	forward_health_close(forwarding);
	close_watch(&forwarding->signals);
	close_watch(&forwarding->tick);
	close_watch(&forwarding->deadline);
	control_finish(&forwarding->control);
	if (forwarding->event_fd >= 0)
		close(forwarding->event_fd);
	free(forwarding->drains);
	free(forwarding->listeners);
	forward_settings_finish(&forwarding->forward);
	quiet_reclaim();
	log_close();
}

static int open_descriptors(struct forwarding *forwarding)
{
	int err = control_init(&forwarding->control);

	if (err == 0)
		err = forward_signals_open(forwarding);
	forwarding->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (err < 0 || forwarding->event_fd < 0)
		return forward_complain("cannot start: %s", strerror(err < 0 ? -err : errno));
	return 0;
}

int job_forward(int argc, char **argv, bool lenient)
{
	static struct forwarding forwarding;
	int status;

	forwarding.event_fd = forwarding.control.epoll_fd = -1;
	forwarding.signals.fd = forwarding.tick.fd = forwarding.deadline.fd = -1;
	if ((status = open_descriptors(&forwarding)) == 0 &&
	    (status = forward_read(&forwarding, argc, argv, lenient)) == 0 &&
	    (status = start(&forwarding)) == 0)
		status = forward_serve(&forwarding);
	finish(&forwarding);
	return status;
}
