/* bufs.c - receive buffers that the kernel picks from. */
#include "core/bufs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/features.h"

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

int bufs_init(struct bufs *bufs, struct io_uring *ring, unsigned filled, unsigned count)
{
	struct io_uring_buf_reg reg = { .ring_entries = count, .bgid = BUF_GROUP };
	int err = -ENOMEM;

	assert(count > 0 && (count & (count - 1)) == 0 && count <= 32768);
	memset(bufs, 0, sizeof(*bufs));
	bufs->count = count;
	bufs->step = filled;
	bufs->memory = map((size_t)count * BUF_STRIDE);
	bufs->links = calloc(count, sizeof(*bufs->links));
	/* liburing 2.3 has no io_uring_setup_buf_ring(): the ring's pages are ours. */
	bufs->ring = map(count * sizeof(struct io_uring_buf));
	if (!bufs->memory || !bufs->links || !bufs->ring)
		goto fail;
	reg.ring_addr = (uintptr_t)bufs->ring;
	err = io_uring_register_buf_ring(ring, &reg, 0);
	if (err < 0)
		goto fail;
	io_uring_buf_ring_init(bufs->ring);
	fill(bufs, filled);
	return 0;
fail:
	bufs_finish(bufs, ring);
	return err;
}

void bufs_finish(struct bufs *bufs, struct io_uring *ring)
{
	if (bufs->ring) {
		(void)io_uring_unregister_buf_ring(ring, BUF_GROUP);
		munmap(bufs->ring, bufs->count * sizeof(struct io_uring_buf));
	}
	if (bufs->memory)
		munmap(bufs->memory, (size_t)bufs->count * BUF_LEN);
	free(bufs->links);
	memset(bufs, 0, sizeof(*bufs));
}

void bufs_return(struct bufs *bufs, uint16_t id)
{
	assert(id < bufs->filled);
	assert(bufs->lent > 0);
	bufs->lent--;
	io_uring_buf_ring_add(bufs->ring, buf_at(bufs, id), features.recv_len, id,
			      (int)bufs->count - 1, 0);
	io_uring_buf_ring_advance(bufs->ring, 1);
}
