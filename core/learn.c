/* learn.c - addresses that the kernel must let through before an answer leaves: the queue from the
 * workers to the control thread, and back. */
#include "core/learn.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int (*learn_submit)(struct learn *learn, learn_fn *done);

static _Atomic(struct learn *) queue;   /* the last submitted first */
static _Atomic unsigned waiting;        /* submitted, not yet completed */
static _Atomic int wake_fd = -1;
static _Atomic bool closed;

/* On the loop of its owner. */
static void on_completed(struct post *post)
{
	struct learn *learn = container_of(post, struct learn, post);
	struct owner *owner = learn->owner;
	learn_fn *done = learn->done;

	learn->done = NULL;                     /* first: done() may learn again */
	if (!owner->closing)
		done(learn, learn->result);
	owner_release(owner);
}

int learn_queue(struct learn *learn, learn_fn *done)
{
	struct learn *first;
	uint64_t one = 1;

	assert(learn->done == NULL && learn->count <= LEARN_ITEMS_MAX);
	if (atomic_fetch_add_explicit(&waiting, 1, memory_order_relaxed) >= LEARNS_MAX) {
		atomic_fetch_sub_explicit(&waiting, 1, memory_order_relaxed);
		return -EAGAIN;
	}
	learn->done = done;
	learn->post.run = on_completed;
	owner_hold(learn->owner);
	first = atomic_load_explicit(&queue, memory_order_relaxed);
	do {
		learn->next = first;
	} while (!atomic_compare_exchange_weak_explicit(&queue, &first, learn,
							memory_order_release,
							memory_order_relaxed));
	if (!first)
		(void)!write(atomic_load(&wake_fd), &one, sizeof(one));
	if (atomic_load(&closed))               /* nobody else will */
		learn_complete(learn_take(), -ECANCELED);
	return 0;
}

int learn_fd(void)
{
	if (wake_fd < 0)
		wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return wake_fd < 0 ? -errno : wake_fd;
}

int learn_fd_opened(void)
{
	return wake_fd;
}

struct learn *learn_take(void)
{
	struct learn *learn, *ordered = NULL;
	uint64_t count;

	(void)!read(wake_fd, &count, sizeof(count));
	learn = atomic_exchange_explicit(&queue, NULL, memory_order_acquire);
	while (learn) {
		struct learn *next = learn->next;

		learn->next = ordered;
		ordered = learn;
		learn = next;
	}
	return ordered;
}

void learn_complete(struct learn *list, int result)
{
	while (list) {
		struct learn *next = list->next;

		list->result = result;
		atomic_fetch_sub_explicit(&waiting, 1, memory_order_relaxed);
		loop_post(list->owner->loop, &list->post);      /* it is the worker's again */
		list = next;
	}
}

void learn_close(void)
{
	atomic_store(&closed, true);
	learn_complete(learn_take(), -ECANCELED);
}
