/* work.h - threads that do what may take time: the store, and the hashing of passwords.
 * Each has a connection to the store of its own.  The queue is bounded: full means refused. */
#ifndef DASHBOARD_WORK_H
#define DASHBOARD_WORK_H

#include "dashboard/store.h"

struct job {
	struct job *next;
	/* Done by one of the threads.  store is never NULL. */
	void (*run)(struct job *job, struct store *store);
	size_t weight;                  /* bytes that it holds while it waits */
	/* Jobs of one kind that wait at the same time are given to it together, as a list: many
	 * small transactions become one.  NULL: run() each. */
	void (*run_all)(struct job *jobs, struct store *store);
};

struct work;
/* threads of them; at most max jobs, or max_weight bytes, wait.  tick(arg, store) is called by a
 * thread when it has been idle for a second; it may be NULL. */
int work_open(const struct store_config *config, unsigned threads, size_t max, size_t max_weight,
	      void (*tick)(void *, struct store *), void *arg, struct work **work,
	      char error[STORE_ERROR_MAX]);
/* What waits is done, then the threads end. */
void work_close(struct work *work);             /* NULL: nothing */
/* false: the queue is full, or closed (NULL); the job is not taken. */
bool work_push(struct work *work, struct job *job);

#endif
