/* worker.h - one thread per core: a loop, its event ring, its counters.
 * Workers share nothing; each has its own descriptor table (decisions.md 17), in which only the
 * eventfds of all are common: any worker may loop_post() to any other. */
#ifndef CORE_WORKER_H
#define CORE_WORKER_H

#include <pthread.h>

#include "core/event.h"
#include "core/loop.h"
#include "core/metrics.h"

enum { WORKERS_MAX = 256 };

struct worker {
	unsigned index;
	pthread_t thread;
	bool started, running;          /* has a thread; its begin() went well */
	int wake_fd, event_fd;          /* eventfds: to this worker, to the control thread */
	struct loop loop;
	struct event_ring *events;
	struct metrics metrics;
	const struct worker_job *job;
	void *work;                     /* the job's own state, set by begin() */
	struct workers *workers;
	struct post stop_post;
};

/* What workers do; called on the worker's own thread, with its loop ready. */
struct worker_job {
	void *context;
	/* Open listeners and the like; *worker->work is the job's.  0 or -errno. */
	int (*begin)(struct worker *worker);
	/* Close everything; the loop still runs until `idle` says that nothing is left. */
	void (*end)(struct worker *worker);
	bool (*idle)(struct worker *worker);
	/* Free what begin() made; the loop has ended. */
	void (*finish)(struct worker *worker);
};

struct workers {
	unsigned count;
	struct worker *all;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned ready;
	int failed;                     /* the first worker's error */
};

/* How many workers: text "auto" or a number 1..256.  auto: cores this process may run on, not
 * more than its cgroup's CPU quota rounded up.  -EINVAL for anything else. */
int worker_count(const char *text);

/* Start them and wait until each has begun.  event_fd: an eventfd that their event rings write.
 * 0 or the first error, then all have ended again. */
int workers_start(struct workers *workers, unsigned count, const struct worker_job *job,
		  int event_fd);
/* Ask all to end, and wait. */
void workers_stop(struct workers *workers);
void workers_finish(struct workers *workers);

#endif
