/* forward_watch.c - what the control thread of a running forward listens to, and how it stops:
 * listeners close, open connections may end until DRAIN_TIMEOUT, then they are cut. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/log.h"
#include "core/quiet.h"
#include "jobs/forward.h"
#include "jobs/forward_health.h"
#include "jobs/tell.h"

enum { TICK_MS = 1000, EXIT_BY_SIGNAL = 128 };

int forward_signals_open(struct forwarding *forwarding)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	forwarding->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return forwarding->signals.fd < 0 ? -errno : 0;
}

bool forward_is_stopped(struct forwarding *forwarding)
{
	struct signalfd_siginfo info;

	if (read(forwarding->signals.fd, &info, sizeof(info)) == sizeof(info) &&
	    (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT))
		forwarding->control.exit_status = EXIT_BY_SIGNAL + (int)info.ssi_signo;
	return forwarding->control.exit_status != 0;
}

/* Has every worker said that nothing of it is open any more? */
static bool is_drained(const struct forwarding *forwarding)
{
	for (unsigned i = 0; i < forwarding->workers.count; i++)
		if (!atomic_load(&forwarding->drains[i].done))
			return false;
	return true;
}

static int watch(struct forwarding *forwarding, struct watch *watch_, int fd,
		 void (*ready)(struct watch *watch))
{
	*watch_ = (struct watch){ .fd = fd, .ready = ready };
	return fd < 0 ? fd : control_add(&forwarding->control, watch_);
}

static void on_deadline(struct watch *watch)
{
	struct forwarding *forwarding = container_of(watch, struct forwarding, deadline);

	control_tick_read(watch->fd);
	log_warn("shutdown.cut", log_str("note", "DRAIN_TIMEOUT is over: what is still open is "
					 "cut"));
	forwarding->control.stop = true;
}

/* UDP has no end to wait for. */
static void drain(struct forwarding *forwarding)
{
	uint64_t ms = forwarding->options.drain_timeout;
	unsigned count = forwarding->workers.count;

	forwarding->drains = calloc(count, sizeof(*forwarding->drains));
	if (ms == 0 || forwarding->forward.udp || !forwarding->drains ||
	    watch(forwarding, &forwarding->deadline, control_tick_open(ms, 0), on_deadline) < 0) {
		forwarding->control.stop = true;
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		forwarding->drains[i].worker = &forwarding->workers.all[i];
		filter_drain_post(&forwarding->drains[i]);
	}
}

static void on_stop_signal(struct forwarding *forwarding, int number)
{
	bool again = forwarding->drains != NULL;

	log_info("shutdown.signal", log_str("signal", strsignal(number)),
		 log_str("note", again ? "again: what is open is cut" :
					 "no new connections; open ones may end by themselves"));
	if (again) {
		forwarding->control.stop = true;
		return;
	}
	forwarding->control.exit_status = EXIT_BY_SIGNAL + number;
	forward_health_rest(forwarding);
	drain(forwarding);
}

static void on_signal(struct watch *watch)
{
	struct forwarding *forwarding = container_of(watch, struct forwarding, signals);
	struct signalfd_siginfo info;

	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGHUP:
		log_reopen();
		break;
	case SIGUSR1:
		tell_metrics(&forwarding->workers, forwarding->events_dropped);
		forward_health_tell(forwarding);
		break;
	default:
		on_stop_signal(forwarding, (int)info.ssi_signo);
	}
}

static void on_events(struct watch *watch)
{
	struct forwarding *forwarding = container_of(watch, struct forwarding, events);
	uint64_t count;

	(void)!read(watch->fd, &count, sizeof(count));
	tell_events(&forwarding->workers, &forwarding->events_dropped, NULL, NULL);
	if (forwarding->drains && is_drained(forwarding))
		forwarding->control.stop = true;
}

static void on_tick(struct watch *watch)
{
	struct forwarding *forwarding = container_of(watch, struct forwarding, tick);

	control_tick_read(watch->fd);
	forward_hosts_read(forwarding);
	quiet_reclaim();
}

int forward_serve(struct forwarding *forwarding)
{
	int err;

	if ((err = watch(forwarding, &forwarding->signals, forwarding->signals.fd,
			 on_signal)) < 0 ||
	    (err = watch(forwarding, &forwarding->events, forwarding->event_fd, on_events)) < 0 ||
	    (err = watch(forwarding, &forwarding->tick, control_tick_open(TICK_MS, TICK_MS),
			 on_tick)) < 0)
		return forward_complain("cannot watch for signals: %s", strerror(-err));
	tell_events(&forwarding->workers, &forwarding->events_dropped, NULL, NULL);
	log_info("startup.info", log_str("name", "ringfence"),
		 log_str("version", RINGFENCE_VERSION), log_str("mode", "forward"),
		 log_str("target", forwarding->forward.target),
		 log_uint("ports", forwarding->forward.port_count),
		 log_uint("workers", forwarding->workers.count));
	log_info("startup.ready", log_str("mode", "forward"),
		 log_uint("workers", forwarding->workers.count));
	err = control_run(&forwarding->control);
	if (err < 0)
		return forward_complain("the control thread failed: %s", strerror(-err));
	return forwarding->control.exit_status;
}
