/* filter.c - what one worker needs to filter, begun and ended. */
#include "forward/filter.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/privilege.h"
#include "forward/conn.h"
#include "forward/dns.h"
#include "forward/listen.h"
#include "forward/park.h"
#include "forward/port.h"
#include "forward/relay.h"
#include "forward/splice.h"
#include "forward/udp.h"
#include "forward/vet.h"

enum {
	DESCRIPTORS_KEPT = 128,         /* for listeners, resolvers, the ring */
	TRIM_VETS = 128,                /* with more than these it was a burst */
	TRIM_MS = 1000,
};

/* Two descriptors a connection; each worker has a table of its own. */
static uint32_t conns_by_descriptors(unsigned listeners)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 512;
	limit.rlim_cur -= limit.rlim_cur > listeners ? listeners : limit.rlim_cur;
	if (limit.rlim_cur <= 2 * DESCRIPTORS_KEPT)
		return limit.rlim_cur < 64 ? 16 : (uint32_t)limit.rlim_cur / 4;
	if (limit.rlim_cur > 4000000)
		return 2000000;
	return (uint32_t)(limit.rlim_cur - DESCRIPTORS_KEPT) / 2;
}

/* The last connection has ended: the control thread waits for it. */
static void tell_drained(struct filter *filter)
{
	uint64_t one = 1;

	if (filter->conns.used > 0 || filter->parked.used > 0)
		return;
	atomic_store(&filter->drain->done, true);
	filter->drain = NULL;
	(void)!write(filter->worker->event_fd, &one, sizeof(one));
}

/* A burst of new connections touches memory that a quiet time has no use for.  While things are in
 * use it is tried again, and nothing is moved. */
static void on_trimming(struct timer *timer)
{
	struct filter *filter = container_of(timer, struct filter, trimming);
	struct loop *loop = &filter->worker->loop;

	pool_trim(&filter->vets);
	if (io_uring_cq_ready(&loop->ring) == 0)        /* else they may hold what has just come */
		bufs_trim(&loop->bufs);
}

static bool has_had_burst(const struct filter *filter)
{
	const struct bufs *bufs = &filter->worker->loop.bufs;

	return filter->vets.fresh > TRIM_VETS || bufs->lent_most > bufs->step;
}

static void on_turn(struct loop *loop, void *context)
{
	struct filter *filter = context;

	if (!timer_armed(&filter->trimming) && has_had_burst(filter))
		timer_arm(&loop->timers, &filter->trimming, loop->now_ms + TRIM_MS);
	relay_pump_ready(filter);
	relay_feed_starved(filter);
	splice_turn(filter);
	if (filter->udp)
		udp_turn(filter->udp);
	if (filter->dns)
		dns_turn(filter->dns);
	if (filter->drain)
		tell_drained(filter);
}

static int open_listeners(struct filter *filter)
{
	const struct filter_settings *settings = filter->settings;

	for (unsigned i = 0; i < settings->listener_count; i++) {
		const struct filter_listener *one = &settings->listeners[i];
		int err = filter->udp ? udp_listen(filter->udp, one) : listener_open(filter, one);

		if (err == 0 && one->kind == CONN_DNS)
			err = dns_listen(filter->dns, &one->addr);
		/* Without IPv6 there is no ::1, and nothing to listen for there either. */
		if (one->addr.sa.sa_family == AF_INET6 &&
		    (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL))
			continue;
		if (err < 0)
			return err;
	}
	return 0;
}

static int filter_begin(struct worker *worker)
{
	const struct filter_settings *settings = worker->job->context;
	struct filter *filter = calloc(1, sizeof(*filter));
	uint32_t conns = conns_by_descriptors(settings->listener_count);
	/* A slow target keeps every connection of a forward dialling. */
	uint32_t vets = settings->forward && conns > VETS_SMALL_MAX ? conns : VETS_SMALL_MAX;
	size_t vet = settings->forward ? VET_PLAIN : VET_SMALL;
	int err;

	worker->work = filter;
	if (!filter)
		return -ENOMEM;
	filter->worker = worker;
	filter->settings = settings;
	filter->dumps = settings->forward && settings->forward->verbose > 1;
	filter->trimming.fire = on_trimming;
	worker->loop.turn = on_turn;
	worker->loop.turn_context = filter;
	if (settings->forward && settings->forward->udp &&
	    (err = udp_open(filter, &filter->udp)) < 0)
		return err;
	if (settings->dns && (err = dns_open(filter, &filter->dns)) < 0)
		return err;
	if ((err = pool_init(&filter->conns, sizeof(struct conn), conns)) < 0 ||
	    (err = park_init(filter, filter->conns.count)) < 0 ||
	    (err = pool_init(&filter->vets, vet, vets)) < 0 ||
	    (err = pool_init(&filter->vet_pages, VET_LARGE, VETS_LARGE_MAX)) < 0 ||
	    (err = pool_init(&filter->bulks, sizeof(struct bulk), PIPES_MAX)) < 0 ||
	    /* First the uid: the kernel lets sockets of the same user share a port that has
	     * SO_REUSEPORT, and the workload may be root without any right, but not us. */
	    (err = privilege_own_sockets(settings->uid)) < 0 ||
	    (err = open_listeners(filter)) < 0 ||
	    (err = privilege_drop_to_socket_work()) < 0)
		return err;
	return resolver_open(&worker->loop, settings->mark, &filter->resolver);
}

static void filter_end(struct worker *worker)
{
	struct filter *filter = worker->work;

	if (!filter)
		return;
	listeners_close(filter);
	park_close_all(filter);
	conns_close_all(filter, CLOSE_SHUTDOWN);
	if (filter->udp)
		udp_close(filter->udp);
	if (filter->dns)
		dns_close(filter->dns);
	if (filter->resolver)
		resolver_close(filter->resolver);
	filter->resolver = NULL;
}

static bool filter_idle(struct worker *worker)
{
	struct filter *filter = worker->work;

	return (!filter || (!filter->listeners && filter->conns.used == 0 &&
			     filter->parked.used == 0 &&
			     (!filter->udp || udp_idle(filter->udp)) &&
			     (!filter->dns || dns_idle(filter->dns)))) &&
	       resolver_ended(&worker->loop);
}

static void filter_finish(struct worker *worker)
{
	struct filter *filter = worker->work;

	if (!filter)
		return;
	timer_cancel(&worker->loop.timers, &filter->starving);
	timer_cancel(&worker->loop.timers, &filter->trimming);
	udp_finish(filter->udp);
	dns_finish(filter->dns);
	pool_finish(&filter->conns);
	pool_finish(&filter->parked);
	pool_finish(&filter->vets);
	pool_finish(&filter->vet_pages);
	pool_finish(&filter->bulks);
	pipes_finish(&filter->pipes);
	worker->loop.turn = NULL;
	free(filter);
	worker->work = NULL;
}

const struct worker_job filter_job = {
	.begin = filter_begin, .end = filter_end, .idle = filter_idle, .finish = filter_finish,
};

static void drain(struct post *post)
{
	struct filter_drain *drain = container_of(post, struct filter_drain, post);
	struct filter *filter = drain->worker->work;

	listeners_close(filter);
	park_close_all(filter);
	filter->drain = drain;          /* looked at after this turn */
}

void filter_drain_post(struct filter_drain *drain_)
{
	drain_->post.run = drain;
	loop_post(&drain_->worker->loop, &drain_->post);
}

static void recheck(struct post *post)
{
	struct filter_recheck *recheck = container_of(post, struct filter_recheck, post);

	atomic_store(&recheck->pending, false);
	if (recheck->worker->work)
		conns_recheck(recheck->worker->work);
}

void filter_recheck_post(struct filter_recheck *recheck_)
{
	if (atomic_exchange(&recheck_->pending, true))
		return;
	recheck_->post.run = recheck;
	loop_post(&recheck_->worker->loop, &recheck_->post);
}
