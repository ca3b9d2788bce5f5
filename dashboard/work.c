/* work.c - a queue and the threads behind it. */
#include "dashboard/work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS_MAX = 8, TOGETHER_MAX = 64 };

struct work {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct job *first, **last;
	size_t count, weight, max, max_weight;
	bool closing;
	void (*tick)(void *, struct store *);
	void *arg;
	unsigned threads;
	struct work_thread {
		struct work *work;
		pthread_t id;
		struct store *store;
	} thread[THREADS_MAX];
};

bool work_push(struct work *work, struct job *job)
{
	bool taken = false;

	if (!work)
		return false;
	pthread_mutex_lock(&work->lock);
	if (!work->closing && work->count < work->max &&
	    (work->count == 0 || work->weight + job->weight <= work->max_weight)) {
		job->next = NULL;
		*work->last = job;
		work->last = &job->next;
		work->count++;
		work->weight += job->weight;
		taken = true;
		pthread_cond_signal(&work->filled);
	}
	pthread_mutex_unlock(&work->lock);
	return taken;
}

static struct job *pop(struct work *work)
{
	struct job *job = work->first;

	work->first = job->next;
	if (!work->first)
		work->last = &work->first;
	work->count--;
	work->weight -= job->weight;
	job->next = NULL;
	return job;
}

/* The next job, and with it those of its kind that stand behind it; NULL: none within a second. */
static struct job *wait_for_jobs(struct work *work)
{
	struct job *job, *tail;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	while (!work->first && !work->closing)
		if (pthread_cond_timedwait(&work->filled, &work->lock, &until) == ETIMEDOUT)
			break;
	if (!work->first)
		return NULL;
	job = tail = pop(work);
	for (int i = 1; i < TOGETHER_MAX && job->run_all && work->first &&
			work->first->run_all == job->run_all; i++) {
		tail->next = pop(work);
		tail = tail->next;
	}
	return job;
}

static void *thread_main(void *arg)
{
	struct work_thread *thread = arg;
	struct work *work = thread->work;

	pthread_mutex_lock(&work->lock);
	for (;;) {
		struct job *job = wait_for_jobs(work);
		bool ends = !job && work->closing;

		pthread_mutex_unlock(&work->lock);
		if (ends)
			return NULL;
		if (job && job->run_all)
			job->run_all(job, thread->store);
		else if (job)
			job->run(job, thread->store);
		else if (work->tick)
			work->tick(work->arg, thread->store);
		pthread_mutex_lock(&work->lock);
	}
}

static int start(struct work *work, const struct store_config *config,
		 char error[STORE_ERROR_MAX])
{
	struct work_thread *thread = &work->thread[work->threads];
	sigset_t all, before;
	int err;

	thread->work = work;
	err = store_open(config, &thread->store, error);
	if (err < 0)
		return err;
	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&thread->id, NULL, thread_main, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err < 0) {
		snprintf(error, STORE_ERROR_MAX, "no thread: %s", strerror(-err));
		store_close(thread->store);
		return err;
	}
	work->threads++;
	return 0;
}

int work_open(const struct store_config *config, unsigned threads, size_t max, size_t max_weight,
	      void (*tick)(void *, struct store *), void *arg, struct work **opened,
	      char error[STORE_ERROR_MAX])
{
	struct work *work = calloc(1, sizeof(*work));
	pthread_condattr_t steady;
	int err = 0;

	if (!work)
		return -ENOMEM;
	work->last = &work->first;
	work->max = max;
	work->max_weight = max_weight;
	work->tick = tick;
	work->arg = arg;
	pthread_mutex_init(&work->lock, NULL);
	pthread_condattr_init(&steady);
	pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
	pthread_cond_init(&work->filled, &steady);
	pthread_condattr_destroy(&steady);
	while (work->threads < threads && work->threads < THREADS_MAX && err == 0)
		err = start(work, config, error);
	if (err < 0) {
		work_close(work);
		return err;
	}
	*opened = work;
	return 0;
}

void work_close(struct work *work)
{
	if (!work)
		return;
	pthread_mutex_lock(&work->lock);
	work->closing = true;
	pthread_cond_broadcast(&work->filled);
	pthread_mutex_unlock(&work->lock);
	for (unsigned i = 0; i < work->threads; i++) {
		pthread_join(work->thread[i].id, NULL);
		store_close(work->thread[i].store);
	}
	pthread_cond_destroy(&work->filled);
	pthread_mutex_destroy(&work->lock);
	free(work);
}
