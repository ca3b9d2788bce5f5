/* bufs.h - the loop's receive buffers: a provided buffer ring (io_uring_register_buf_ring(3)).
 * The kernel picks one when data is there, so an idle connection holds none.  A buffer that came
 * with a completion is the receiver's until bufs_return(), and so are those chained to it: a
 * completion with more bytes than a buffer holds brings several (bundles, Linux 6.10). */
#ifndef CORE_BUFS_H
#define CORE_BUFS_H

#include <stdbool.h>
#include <stdint.h>

#include <liburing.h>

enum {
	BUF_LEN = 16384, BUF_NONE = 0xffff,
	/* The beginnings of buffers must not all fall into the same set of a cache. */
	BUF_GAP = 64,
	BUFS_GROWTH = 64,               /* a loop may have so many times what it begins with */
};
enum { BUF_GROUP = 0, BUF_GROUP_DATAGRAMS = 2 };

struct bufs_plan {
	uint16_t group;
	uint32_t len;                   /* of a buffer */
	uint32_t offered;               /* bytes of it that the kernel may fill */
	unsigned filled, count;         /* to begin with, at the most */
	bool ours;                      /* not for the kernel: for bufs_take() */
};

struct bufs {
	struct io_uring_buf_ring *ring;
	uint8_t *memory;                /* count * (len + BUF_GAP), resident only where used */
	uint32_t len, offered;
	unsigned count;                 /* at the most: a power of two, up to 32768 */
	unsigned filled;                /* in use so far: grows when all are lent */
	unsigned step, lent;
	unsigned lent_most;             /* since bufs_trim() */
	uint16_t group, taken;          /* taken: bufs_take()'s place in the ring */
	bool ours;
	struct buf_link {               /* for the receiver's own queue */
		uint16_t next;          /* BUF_NONE: last */
		uint16_t at, len;       /* bytes at..len are still to be dealt with */
		uint16_t place;         /* in the ring, where it was last put */
	} *links;
};

/* 0 or -errno. */
int bufs_init(struct bufs *bufs, struct io_uring *ring, const struct bufs_plan *plan);
/* As many again as there were at the start; false: count is reached. */
bool bufs_grow(struct bufs *bufs);
void bufs_finish(struct bufs *bufs, struct io_uring *ring);
/* The buffer that came with this completion, BUF_NONE: none. */
static inline uint16_t buf_of(uint32_t flags)
{
	if (!(flags & IORING_CQE_F_BUFFER))
		return BUF_NONE;
	return (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);
}
static inline uint8_t *buf_at(const struct bufs *bufs, uint16_t id)
{
	return bufs->memory + (size_t)id * (bufs->len + BUF_GAP);
}
/* For loop_dispatch(): a completion brought this buffer, and with it those behind it in the ring
 * that its bytes fill too.  They are lent from now on, a chain by their links. */
void bufs_lend(struct bufs *bufs, uint16_t first, int bytes);
void bufs_return(struct bufs *bufs, uint16_t id);
/* This one and those behind it in its chain. */
void bufs_return_chain(struct bufs *bufs, uint16_t first);
/* When none is lent: the memory of those that were goes back to the system, if they were more than
 * at the start. */
void bufs_trim(struct bufs *bufs);
/* One of ours, lent; BUF_NONE: all are. */
uint16_t bufs_take(struct bufs *bufs);

#endif
