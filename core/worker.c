/* worker.c - one thread per core. */
#include "core/worker.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/learn.h"

enum {
	RING_ENTRIES = 512,             /* submissions between two system calls */
	BUFS_COUNT = 64,                /* 1 MiB of receive buffers a worker: few stay warm */
	EVENTS_COUNT = 4096,
	STOP_TURNS_MAX = 10000,
};

static int compare_fds(const void *a, const void *b)
{
	int one = *(const int *)a, two = *(const int *)b;

	return (one > two) - (one < two);
}

/* A descriptor table of its own holds the hard limit's worth of connections and no lock shared
 * with other workers; what it copied from the process is closed in it, but for the eventfds: every
 * worker posts to every other one (loop_post()), so these have the same numbers in all tables. */
static int own_descriptors(const struct workers *workers, int event_fd)
{
	enum { UNSHARE = 1U << 1 };     /* CLOSE_RANGE_UNSHARE */
	int kept[WORKERS_MAX + 2];
	unsigned count = 0, next = STDERR_FILENO + 1;

	for (unsigned i = 0; i < workers->count; i++)
		kept[count++] = workers->all[i].wake_fd;
	if (event_fd >= 0)
		kept[count++] = event_fd;
	if (learn_fd_opened() >= 0)
		kept[count++] = learn_fd_opened();
	qsort(kept, count, sizeof(*kept), compare_fds);
	if (syscall(SYS_close_range, (unsigned)kept[count - 1] + 1, ~0U, UNSHARE) < 0)
		return -errno;
	for (unsigned i = 0; i < count; i++) {
		unsigned fd = (unsigned)kept[i];

		if (fd > next && syscall(SYS_close_range, next, fd - 1, 0) < 0)
			return -errno;
		if (fd >= next)
			next = fd + 1;
	}
	return 0;
}

static void report(struct worker *worker, int err)
{
	struct workers *workers = worker->workers;

	pthread_mutex_lock(&workers->lock);
	workers->ready++;
	worker->running = err == 0;
	if (err < 0 && workers->failed == 0)
		workers->failed = err;
	pthread_cond_signal(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
}

static int run(struct worker *worker)
{
	const struct worker_job *job = worker->job;
	int err = loop_init(&worker->loop, RING_ENTRIES, BUFS_COUNT, worker->wake_fd);

	if (err < 0)
		return err;
	err = job->begin(worker);
	report(worker, err);
	if (err == 0 && loop_run(&worker->loop) < 0) {
		/* Better to end, and be started again, than to look alive and be deaf. */
		fprintf(stderr, "ringfence: a worker's io_uring failed: ending\n");
		_exit(1);
	}
	job->end(worker);
	for (unsigned turn = 0; turn < STOP_TURNS_MAX && !job->idle(worker); turn++)
		if (loop_step(&worker->loop) < 0)
			break;
	assert(job->idle(worker));
	job->finish(worker);
	loop_finish(&worker->loop);
	return 0;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	int err = own_descriptors(worker->workers, worker->event_fd);

	if (err == 0)
		err = run(worker);
	if (err < 0)
		report(worker, err);
	return NULL;
}

/* All that threads look at, of each worker, before the first of them starts. */
static int prepare(struct workers *workers, const struct worker_job *job, int event_fd)
{
	int err = 0;

	for (unsigned i = 0; i < workers->count; i++)
		workers->all[i] = (struct worker){
			.index = i, .job = job, .workers = workers, .event_fd = event_fd,
			.wake_fd = -1,
		};
	for (unsigned i = 0; i < workers->count && err == 0; i++) {
		struct worker *worker = &workers->all[i];

		worker->wake_fd = eventfd(0, EFD_CLOEXEC);
		err = worker->wake_fd < 0 ? -errno :
					    event_ring_init(&worker->events, EVENTS_COUNT,
							    event_fd);
	}
	return err;
}

static int start_one(struct worker *worker)
{
	int err = -pthread_create(&worker->thread, NULL, worker_main, worker);

	worker->started = err == 0;
	return err;
}

/* As many descriptors as the hard limit lets us have. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int workers_start(struct workers *workers, unsigned count, const struct worker_job *job,
		  int event_fd)
{
	sigset_t all, old;
	unsigned started = 0;
	int err = 0;

	raise_descriptor_limit();
	*workers = (struct workers){ .count = count };
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->changed, NULL);
	workers->all = calloc(count, sizeof(*workers->all));
	if (!workers->all)
		return -ENOMEM;
	err = prepare(workers, job, event_fd);
	sigfillset(&all);               /* signals are the control thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < count && err == 0; i++) {
		struct worker *worker = &workers->all[i];

		err = start_one(worker);
		started += worker->started;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);

	pthread_mutex_lock(&workers->lock);
	while (workers->ready < started)
		pthread_cond_wait(&workers->changed, &workers->lock);
	if (err == 0)
		err = workers->failed;
	pthread_mutex_unlock(&workers->lock);
	if (err < 0)
		workers_stop(workers);
	return err;
}

static void stop(struct post *post)
{
	container_of(post, struct worker, stop_post)->loop.stop = true;
}

void workers_stop(struct workers *workers)
{
	for (unsigned i = 0; i < workers->count; i++) {
		struct worker *worker = &workers->all[i];

		worker->stop_post.run = stop;
		if (worker->running)
			loop_post(&worker->loop, &worker->stop_post);
	}
	for (unsigned i = 0; i < workers->count; i++) {
		if (workers->all[i].started)
			pthread_join(workers->all[i].thread, NULL);
		workers->all[i].started = false;
	}
}

void workers_finish(struct workers *workers)
{
	for (unsigned i = 0; i < workers->count; i++) {
		event_ring_finish(workers->all[i].events);
		if (workers->all[i].wake_fd >= 0)
			close(workers->all[i].wake_fd);
	}
	free(workers->all);
	pthread_mutex_destroy(&workers->lock);
	pthread_cond_destroy(&workers->changed);
	*workers = (struct workers){ 0 };
}
