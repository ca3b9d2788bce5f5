/* filter_watch.c - what the control thread of a running filter listens to. */
#include "jobs/filter_watch.h"

#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/log.h"
#include "core/quiet.h"
#include "jobs/sync_report.h"
#include "jobs/tell.h"
#include "jobs/unblock.h"

enum { TICK_MS = 1000 };

void filter_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
}

static void on_signal(struct watch *watch)
{
	struct running *running = container_of(watch, struct running, signals);
	struct signalfd_siginfo info;

	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGHUP:
		log_reopen();
		reload_now(running);
		break;
	case SIGUSR1:
		tell_metrics(&running->workers, running->events_dropped);
		break;
	default:
		log_info("shutdown.signal", log_str("signal", strsignal((int)info.ssi_signo)),
			 log_str("note", "the rules stay: this namespace is closed; "
					 "ringfence filter --off opens it"));
		running->control.stop = true;
	}
}

/* Where a redirected datagram wanted to go. */
static void find_origin(struct running *running, struct event *event)
{
	union addr listener = event->dst;

	if (event->redirected && event_wanted(event->kind))
		(void)origin_of_udp(running->origin, &event->src, &listener, &event->dst);
}

/* To all who want to know. */
static void tell_packet(void *context, const struct event *event)
{
	struct running *running = context;

	event_log(event);
	shipping_tell(&running->shipping, event);
	sync_report_count(running, event);
	unblocker_tell(running, event);
}

static void tell_one(void *context, struct event *event)
{
	find_origin(context, event);
	tell_packet(context, event);
}

void filter_watch_drain(struct running *running)
{
	tell_events(&running->workers, &running->events_dropped, tell_one, running);
}

static void on_events(struct watch *watch)
{
	uint64_t count;

	(void)!read(watch->fd, &count, sizeof(count));
	filter_watch_drain(container_of(watch, struct running, events));
}

static void on_nflog(struct watch *watch)
{
	(void)nflog_reader_read(container_of(watch, struct running, nflog_watch)->nflog);
}

/* Bind the log group; another process may hold it for now: told once, tried every second. */
static void open_nflog(struct running *running)
{
	const struct nft_rules *rules = &running->rules;
	int err = nflog_reader_open(rules->nflog_group, rules->nflog_snaplen, rules->nflog_qthresh,
			     tell_packet, running, &running->nflog);

	if (err < 0) {
		if (!running->nflog_failing)
			log_warn("nflog.stream_error", log_str("err", strerror(-err)),
				 log_uint("group", rules->nflog_group),
				 log_str("note", "blocked packets are not logged; trying again: is "
						 "another program on this NFLOG_GROUP?"));
		running->nflog_failing = true;
		running->nflog = NULL;
		return;
	}
	running->nflog_failing = false;
	running->nflog_watch.fd = nflog_reader_fd(running->nflog);
	(void)control_add(&running->control, &running->nflog_watch);
	log_info("nflog.listen", log_uint("group", rules->nflog_group));
}

/* Whoever has put them back: a reload, an answer whose addresses were to be opened, or we. */
static void tell_restored(struct running *running)
{
	if (nft_was_changed(running->nft))
		log_error("nftables.restored", log_str("note", "another program changed or removed "
			  "our rules: connections may have left meanwhile"));
}

int filter_rules_install(struct running *running)
{
	int err = nft_install(running->nft, &running->rules);

	if (err < 0 && !running->rules_failing)
		log_error("nftables.restore_failed", log_str("err", nft_error(running->nft)),
			  log_str("note", "trying again every second"));
	running->rules_failing = err < 0;
	return err;
}

/* Someone else changed the rules: ours are put back at once (design.md, "The kernel's part"). */
bool filter_rules_assert(struct running *running)
{
	bool good = nft_verify(running->nft) == 1 && !running->rules_failing;

	if (!good)
		good = filter_rules_install(running) == 0;
	if (good)
		tell_restored(running);
	return good;
}

static void on_tick(struct watch *watch)
{
	struct running *running = container_of(watch, struct running, tick);

	control_tick_read(watch->fd);
	if (running->nflog)
		nflog_reader_tick(running->nflog);
	else
		open_nflog(running);
	(void)filter_rules_assert(running);     /* what no watch has told */
	unblocker_tick(running);
	sync_report_tick(running);
	quiet_reclaim();
}

static void on_rules_changed(struct watch *watch)
{
	struct running *running = container_of(watch, struct running, nft_watch);

	if (nft_watch_read(running->nft, watch->fd))
		(void)filter_rules_assert(running);
}

static int watch(struct running *running, struct watch *watch_, int fd,
		 void (*ready)(struct watch *watch))
{
	*watch_ = (struct watch){ .fd = fd, .ready = ready };
	return fd < 0 ? fd : control_add(&running->control, watch_);
}

void filter_watch_none(struct running *running)
{
	running->signals.fd = running->tick.fd = running->nft_watch.fd = -1;
	running->events.fd = running->nflog_watch.fd = -1;
}

int filter_watch_init(struct running *running)
{
	sigset_t set;
	int signal_fd, tick_fd, err;

	filter_signals(&set);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	tick_fd = control_tick_open(TICK_MS, TICK_MS);
	if ((err = watch(running, &running->signals, signal_fd, on_signal)) < 0 ||
	    (err = watch(running, &running->events, running->event_fd, on_events)) < 0 ||
	    (err = watch(running, &running->tick, tick_fd, on_tick)) < 0)
		return err;
	if (watch(running, &running->nft_watch, nft_watch_open(), on_rules_changed) < 0)
		log_warn("nftables.watch_failed",
			 log_str("note", "changes by other programs are not seen"));
	running->nflog_watch = (struct watch){ .fd = -1, .ready = on_nflog };
	open_nflog(running);
	filter_watch_drain(running);
	return 0;
}

void filter_watch_finish(struct running *running)
{
	if (running->nflog) {
		nflog_reader_tick(running->nflog);
		nflog_reader_close(running->nflog);
	}
	if (running->signals.fd >= 0)
		close(running->signals.fd);
	if (running->tick.fd >= 0)
		close(running->tick.fd);
	if (running->nft_watch.fd >= 0)
		close(running->nft_watch.fd);
}
