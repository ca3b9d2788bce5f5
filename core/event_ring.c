/* event_ring.c - events from one worker to the control thread.
 *
 * head counts what was put in, tail what was taken out; a slot is the producer's until head passes
 * it.  The consumer sets sleeping before it looks for the last time, the producer looks at sleeping
 * after it has moved head; both in one total order (seq_cst), so one of them sees the other and no
 * event lies there while everybody sleeps.  Only then does an event cost a system call. */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/event.h"

enum { CACHE_LINE = 64 };

struct event_ring {
	/* The producer's cache line */
	alignas(CACHE_LINE) _Atomic uint64_t head;
	uint64_t tail_seen;             /* a tail that was true once: it only grows */
	_Atomic uint64_t dropped;

	/* The consumer's */
	alignas(CACHE_LINE) _Atomic uint64_t tail;
	uint64_t head_seen;

	/* Written when the consumer falls asleep and when it is woken */
	alignas(CACHE_LINE) atomic_bool sleeping;

	alignas(CACHE_LINE) uint64_t mask;
	int wake_fd;
	struct event slots[];
};

int event_ring_init(struct event_ring **ring, unsigned slots, int wake_fd)
{
	size_t size = sizeof(struct event_ring) + (size_t)slots * sizeof(struct event);
	struct event_ring *new;

	assert(slots > 0 && (slots & (slots - 1)) == 0);
	size = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	new = aligned_alloc(CACHE_LINE, size);
	if (new == NULL)
		return -ENOMEM;
	memset(new, 0, sizeof(*new));   /* the slots are touched when they are used */
	new->mask = slots - 1;
	new->wake_fd = wake_fd;
	*ring = new;
	return 0;
}

void event_ring_finish(struct event_ring *ring)
{
	free(ring);
}

/* Without the unused end of the name, which is the last and longest field. */
static void copy_event(struct event *to, const struct event *from)
{
	static_assert(offsetof(struct event, name) + sizeof(from->name) <= sizeof(*from) &&
		      sizeof(*from) - offsetof(struct event, name) - sizeof(from->name) < 8,
		      "name is the last field");

	assert(from->name_len <= HOSTNAME_MAX);
	memcpy(to, from, offsetof(struct event, name) + from->name_len);
	to->name[from->name_len] = '\0';
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void wake(int fd)
{
	const uint64_t one = 1;

	/* Fails only when the counter is full, and then the reader is awake. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

void event_emit(struct event_ring *ring, const struct event *event)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	struct event *slot = &ring->slots[head & ring->mask];

	if (head - ring->tail_seen > ring->mask) {
		ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
		if (head - ring->tail_seen > ring->mask) {
			atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
			return;
		}
	}
	copy_event(slot, event);
	if (slot->time_ns == 0)
		slot->time_ns = clock_ns();
	atomic_store(&ring->head, head + 1);
	if (atomic_load(&ring->sleeping) && atomic_exchange(&ring->sleeping, false))
		wake(ring->wake_fd);
}

/* Is there something to take?  If not, the next event_emit() wakes us. */
static bool wait_for_head(struct event_ring *ring, uint64_t tail)
{
	ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
	if (ring->head_seen != tail)
		return true;
	atomic_store(&ring->sleeping, true);
	ring->head_seen = atomic_load(&ring->head);
	if (ring->head_seen == tail)
		return false;
	atomic_store(&ring->sleeping, false);
	return true;
}

bool event_take(struct event_ring *ring, struct event *event)
{
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	if (ring->head_seen == tail && !wait_for_head(ring, tail))
		return false;
	copy_event(event, &ring->slots[tail & ring->mask]);
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	return true;
}

uint64_t event_dropped(const struct event_ring *ring)
{
	return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}
