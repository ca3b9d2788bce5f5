/* loop.h - one io_uring, the requests on it, its clock, its timers, its letter box.
 * A loop belongs to one thread; only loop_post() may be called from others.  Everything the
 * program asks of the kernel asynchronously passes through an op_*() call here, so that another
 * backend can stand in. */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

#include <liburing.h>

#include "core/bufs.h"
#include "core/op.h"
#include "core/timer.h"

enum { SEND_PARTS_MAX = 4 };

/* A message to a loop from any thread; the sender's memory, not touched again by the sender until
 * run() has begun. */
struct post {
	struct post *next;
	void (*run)(struct post *post);
};

enum {
	DATAGRAM_HEAD_MAX = 192,        /* what stands before the payload, at the most */
	DATAGRAM_BUF_LEN = 65536 + DATAGRAM_HEAD_MAX,   /* each begins at other cache lines */
};

/* Work for the end of a turn, when all is known that came in it. */
struct chore {
	void (*run)(struct chore *chore);
	struct chore *next;
	bool waiting;
};

struct loop {
	struct io_uring ring;
	struct bufs bufs;               /* what op_recv_multi() receives into */
	struct bufs datagrams;          /* what op_recvmsg_multi() receives into */
	struct timers timers;
	uint64_t now_ms, now_us;        /* CLOCK_MONOTONIC, once a turn */
	uint64_t wake_us;               /* turn again by then at the latest; 0: no such wish */
	/* Of the next wait only: it is not over with the first completion, but with many, or then.
	 * For those who had much to do at once and expect the like. */
	unsigned gather_us;
	int reader;                     /* quiet.h id */
	unsigned batch_max;             /* completions a turn; tests set 1 to step one by one */
	bool stop;
	bool recv_multishot;            /* this kernel's multishot receives can be limited */
	bool recv_bundle;               /* and may bring several buffers at once */
	bool recvmsg_multishot;         /* it has them for datagrams */
	uint64_t completions;

	struct parts *parts;            /* of op_send_chain(): one for each submission entry */
	unsigned parts_next;

	struct owner owner;             /* of the loop's own requests */
	int wake_fd;                    /* eventfd: somebody posted */
	struct op wake;
	uint64_t wake_count;
	_Atomic(struct post *) posts;
	struct chore *chores;
	void (*turn)(struct loop *loop, void *context); /* after each batch, may be NULL */
	void *turn_context;
};

/* entries: submission queue size.  bufs receive buffers (a power of two) of BUF_LEN bytes to begin
 * with, BUFS_GROWTH times as many at the most.
 * wake_fd: an eventfd the loop reads; not closed by loop_finish().
 * 0, or -errno: -EPERM and -ENOSYS mean that io_uring is forbidden or missing here. */
int loop_init(struct loop *loop, unsigned entries, unsigned bufs, int wake_fd);
/* All owners must be gone. */
void loop_finish(struct loop *loop);

/*
 * Buffers for datagrams, each with room for the largest and its addresses: `bufs` to begin with,
 * `most` (a power of two) at the most.  Where there is no recvmsg_multishot, they are taken by
 * bufs_take(), and op_recvmsg_multi() is not for use.  0 or -errno.
 */
int loop_open_datagrams(struct loop *loop, unsigned bufs, unsigned most);

/* Submit, wait for at least one completion or timer, run all that came.  0 or -errno. */
int loop_step(struct loop *loop);
int loop_run(struct loop *loop);        /* until loop->stop */

/* Any thread: run post->run(post) on the loop. */
void loop_post(struct loop *loop, struct post *post);

/* Between loop.c and op.c: which requests this kernel knows; memory of op_send_chain(), for
 * free(3); does what comes belong to loop->datagrams? */
void op_probe(struct loop *loop);
struct parts *op_parts_new(unsigned entries);
bool op_brings_datagram(const struct op *op);

/* Run chore->run(chore) once, before the loop submits and waits again; it may be put off again from
 * there.  No order among chores.  Must not be gone by then. */
void loop_put_off(struct loop *loop, struct chore *chore);

/* Requests.  The op must be idle and its owner open. */
/* Multishot; a new descriptor does not block, nor is it inherited; an unwanted one is closed. */
void op_accept(struct op *op, int fd, op_fn *done);
void op_connect(struct op *op, int fd, const struct sockaddr *addr, socklen_t len, op_fn *done);
/* Receive into the loop's buffers: res > 0 comes with a buffer, buf_of(flags).  At most so many
 * full buffers: by one request where Linux can limit a multishot receive (6.17), else it ends
 * after one. */
void op_recv_multi(struct op *op, int fd, unsigned bufs, op_fn *done);
/* The same where nothing has come yet, most likely: the kernel waits before it tries. */
void op_recv_multi_later(struct op *op, int fd, unsigned bufs, op_fn *done);
/* Like op_recv_multi() where much comes: it comes in chains of buffers if Linux can limit that too.
 * Where little comes this costs more. */
void op_recv_bundle(struct op *op, int fd, unsigned bufs, op_fn *done);
/* Receive datagrams, until it fails or one is empty: each comes with a buffer that begins with
 * io_uring_recvmsg_out, then name, control and payload, the first two as long as in shape. */
void op_recvmsg_multi(struct op *op, int fd, struct msghdr *shape, op_fn *done);
/* Receive once, into memory of the owner's. */
void op_recv(struct op *op, int fd, void *buf, size_t len, op_fn *done);
/* The same where nothing has come yet, most likely. */
void op_recv_later(struct op *op, int fd, void *buf, size_t len, op_fn *done);
void op_send(struct op *op, int fd, const void *buf, size_t len, op_fn *done);
/* The same at once or not at all: -EAGAIN when there is no room. */
void op_send_now(struct op *op, int fd, const void *buf, size_t len, op_fn *done);
/* The same for the last bytes before a shutdown(2) or close(2) that done() will do: they wait for
 * the FIN, and both go in one segment (MSG_MORE; at most 200 ms). */
void op_send_last(struct op *op, int fd, const void *buf, size_t len, op_fn *done);
/* What is left of a chain's first received buffers, at most SEND_PARTS_MAX, in one request; last:
 * the whole chain is what op_send_last() is for. */
void op_send_chain(struct op *op, int fd, uint16_t first, bool last, op_fn *done);
void op_read(struct op *op, int fd, void *buf, size_t len, op_fn *done);
/* One-shot readiness: res is the revents of poll(2). */
void op_poll(struct op *op, int fd, unsigned events, op_fn *done);
void op_cancel_fd(struct op *op, int fd);       /* all requests on fd; needs an idle op */
void op_cancel(struct op *op, struct op *victim);
void op_nop(struct op *op);                     /* completes: an owner without an fd can end */

static inline bool op_idle(const struct op *op)
{
	return op->done == NULL;
}

#endif
