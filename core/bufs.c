/* bufs.c - receive buffers that the kernel picks from. */
#include "core/bufs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *map(size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static void fill(struct bufs *bufs, unsigned filled)
{
	for (unsigned id = bufs->filled; id < filled; id++) {
		bufs->filled++;
		bufs->lent++;
		bufs_return(bufs, (uint16_t)id);
	}
}

bool bufs_grow(struct bufs *bufs)
{
	unsigned filled = bufs->filled + bufs->step;

	if (bufs->filled == bufs->count)
		return false;
	fill(bufs, filled < bufs->count ? filled : bufs->count);
	return true;
}

int bufs_init(struct bufs *bufs, struct io_uring *ring, const struct bufs_plan *plan)
{
	unsigned count = plan->count;
	struct io_uring_buf_reg reg = { .ring_entries = count, .bgid = plan->group };
	int err = -ENOMEM;

	assert(count > 0 && (count & (count - 1)) == 0 && count <= 32768);
	memset(bufs, 0, sizeof(*bufs));
	bufs->count = count;
	bufs->len = plan->len;
	bufs->offered = plan->offered;
	bufs->group = plan->group;
	bufs->ours = plan->ours;
	bufs->step = plan->filled;
	bufs->memory = map((size_t)count * (plan->len + BUF_GAP));
	bufs->links = calloc(count, sizeof(*bufs->links));
	/* liburing 2.3 has no io_uring_setup_buf_ring(): the ring's pages are ours. */
	bufs->ring = map(count * sizeof(struct io_uring_buf));
	if (!bufs->memory || !bufs->links || !bufs->ring)
		goto fail;
	reg.ring_addr = (uintptr_t)bufs->ring;
	err = plan->ours ? 0 : io_uring_register_buf_ring(ring, &reg, 0);
	if (err < 0)
		goto fail;
	io_uring_buf_ring_init(bufs->ring);
	fill(bufs, plan->filled);
	return 0;
fail:
	bufs_finish(bufs, ring);
	return err;
}

void bufs_finish(struct bufs *bufs, struct io_uring *ring)
{
	if (bufs->ring) {
		if (!bufs->ours)
			(void)io_uring_unregister_buf_ring(ring, bufs->group);
		munmap(bufs->ring, bufs->count * sizeof(struct io_uring_buf));
	}
	if (bufs->memory)
		munmap(bufs->memory, (size_t)bufs->count * (bufs->len + BUF_GAP));
	free(bufs->links);
	memset(bufs, 0, sizeof(*bufs));
}

/* The kernel names the first buffer only; the others are what stood behind it in the ring.  That
 * part of the ring is still as the kernel read it: to be written over, one of the buffers that were
 * not in the ring then must have been put back twice since, so lent again in between, by a
 * completion that came later than this one.  The lengths are read there too, because the kernel
 * makes an entry shorter where a receive's limit allows no more. */
void bufs_lend(struct bufs *bufs, uint16_t first, int bytes)
{
	unsigned left = bytes > 0 ? (unsigned)bytes : 0, place = bufs->links[first].place;
	const struct io_uring_buf *entry;
	struct buf_link *link = NULL;

	do {
		entry = &bufs->ring->bufs[place++ & (bufs->count - 1)];
		if (link)
			link->next = entry->bid;
		bufs->lent++;
		assert(bufs->lent <= bufs->filled);
		link = &bufs->links[entry->bid];
		link->at = 0;
		link->len = (uint16_t)(left < entry->len ? left : entry->len);
		left -= link->len;
	} while (left > 0);
	link->next = BUF_NONE;
	if (bufs->lent > bufs->lent_most)
		bufs->lent_most = bufs->lent;
}

void bufs_trim(struct bufs *bufs)
{
	if (bufs->lent > 0 || bufs->lent_most <= bufs->step)
		return;
	(void)madvise(bufs->memory, (size_t)bufs->filled * (bufs->len + BUF_GAP), MADV_DONTNEED);
	bufs->lent_most = 0;
}

void bufs_return_chain(struct bufs *bufs, uint16_t first)
{
	while (first != BUF_NONE) {
		uint16_t next = bufs->links[first].next;

		bufs_return(bufs, first);
		first = next;
	}
}

void bufs_return(struct bufs *bufs, uint16_t id)
{
	assert(id < bufs->filled);
	assert(bufs->lent > 0);
	bufs->lent--;
	bufs->links[id].place = bufs->ring->tail;
	io_uring_buf_ring_add(bufs->ring, buf_at(bufs, id), bufs->offered, id,
			      (int)bufs->count - 1, 0);
	io_uring_buf_ring_advance(bufs->ring, 1);
}

uint16_t bufs_take(struct bufs *bufs)
{
	assert(bufs->ours);
	if (bufs->taken == bufs->ring->tail)
		return BUF_NONE;
	bufs->lent++;
	return bufs->ring->bufs[bufs->taken++ & (bufs->count - 1)].bid;
}
