/* op.c - the requests: every submission of the program passes here, and nowhere else. */
#include "core/loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/features.h"

enum { SUBMIT_TRIES = 1000 };
enum { RECV_BUNDLE = 1U << 4 };         /* IORING_RECVSEND_BUNDLE, which old headers do not have */

/* What the kernel reads when it takes a sendmsg request, and never after that (Linux 5.5). */
struct parts {
	struct msghdr msg;
	struct iovec iov[SEND_PARTS_MAX];
};

struct parts *op_parts_new(unsigned entries)
{
	return calloc(entries, sizeof(struct parts));
}

/* Without a limit a multishot receive takes dozens of buffers before a cancel reaches it.
 * limit: bytes, 0: one buffer.  It is sqe->optlen, a name that old headers do not have. */
static void prep_recv(struct io_uring_sqe *sqe, int fd, unsigned limit)
{
	if (limit > 0) {
		io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
		sqe->file_index = limit;
	} else {
		io_uring_prep_recv(sqe, fd, NULL, 0, 0);
	}
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUF_GROUP;
}

/* Does the kernel know the request that was prepared, on no descriptor?  If not it says EINVAL, and
 * that before it looks at the descriptor. */
static bool is_known(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	bool known;

	if (io_uring_submit_and_wait(ring, 1) < 0 || io_uring_peek_cqe(ring, &cqe) != 0)
		return false;
	known = cqe->res == -EBADF;
	io_uring_cqe_seen(ring, cqe);
	return known;
}

/* And, with these flags, more? */
static bool recv_can_be_limited(struct io_uring *ring, uint16_t flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	prep_recv(sqe, -1, BUF_LEN);
	sqe->ioprio |= flags;
	return is_known(ring);
}

static void prep_recvmsg(struct io_uring_sqe *sqe, int fd, struct msghdr *shape)
{
	io_uring_prep_recvmsg_multishot(sqe, fd, shape, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUF_GROUP_DATAGRAMS;
}

static bool recvmsg_can_go_on(struct io_uring *ring)
{
	struct msghdr shape = { .msg_namelen = 0 };

	prep_recvmsg(io_uring_get_sqe(ring), -1, &shape);
	return is_known(ring);
}

/* Bundles come with the limit only: without it one could take all buffers, and before 6.17 it may
 * leave room in a buffer that is not its last. */
void op_probe(struct loop *loop)
{
	loop->recv_multishot = features.recv_multishot && recv_can_be_limited(&loop->ring, 0);
	loop->recv_bundle = loop->recv_multishot && features.recv_bundle &&
			    recv_can_be_limited(&loop->ring, RECV_BUNDLE);
	loop->recvmsg_multishot = features.recvmsg_multishot && recvmsg_can_go_on(&loop->ring);
}

static struct io_uring_sqe *op_arm(struct op *op, op_fn *done, op_fn *drop)
{
	struct io_uring *ring = &op->owner->loop->ring;
	struct io_uring_sqe *sqe;

	assert(op->done == NULL);
	assert(!op->owner->closing);

	/* A full ring is submitted; short of memory the kernel may refuse for a while. */
	for (unsigned tries = 0; !(sqe = io_uring_get_sqe(ring)) && tries < SUBMIT_TRIES; tries++)
		(void)io_uring_submit(ring);
	assert(sqe != NULL);

	op->done = done;
	op->drop = drop;
	op->owner->in_flight++;
	return sqe;
}

/* Behind every io_uring_prep_*(), of which some versions clear user_data. */
static void op_ready(struct io_uring_sqe *sqe, struct op *op)
{
	io_uring_sqe_set_data(sqe, op);
}

static void drop_fd(struct op *op, int res, uint32_t flags)
{
	(void)op;
	(void)flags;
	if (res >= 0)
		close(res);
}

static void drop_buf(struct op *op, int res, uint32_t flags)
{
	(void)res;
	bufs_return_chain(&op->owner->loop->bufs, buf_of(flags));
}

static void drop_datagram(struct op *op, int res, uint32_t flags)
{
	(void)res;
	if (buf_of(flags) != BUF_NONE)
		bufs_return(&op->owner->loop->datagrams, buf_of(flags));
}

void op_accept(struct op *op, int fd, op_fn *done)
{
	struct io_uring_sqe *sqe = op_arm(op, done, drop_fd);
	int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;       /* requests wait all the same */

	if (features.accept_multishot)
		io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, flags);
	else
		io_uring_prep_accept(sqe, fd, NULL, NULL, flags);
	op_ready(sqe, op);
}

void op_connect(struct op *op, int fd, const struct sockaddr *addr, socklen_t len, op_fn *done)
{
	struct io_uring_sqe *sqe = op_arm(op, done, NULL);

	io_uring_prep_connect(sqe, fd, addr, len);
	op_ready(sqe, op);
}

static void recv_with(struct op *op, int fd, unsigned bufs, op_fn *done, uint16_t flags)
{
	struct io_uring_sqe *sqe = op_arm(op, done, drop_buf);

	assert(bufs > 0);
	prep_recv(sqe, fd, op->owner->loop->recv_multishot ? bufs * features.recv_len : 0);
	sqe->ioprio |= flags;
	op_ready(sqe, op);
}

void op_recv_multi(struct op *op, int fd, unsigned bufs, op_fn *done)
{
	recv_with(op, fd, bufs, done, 0);
}

void op_recv_bundle(struct op *op, int fd, unsigned bufs, op_fn *done)
{
	recv_with(op, fd, bufs, done, op->owner->loop->recv_bundle ? RECV_BUNDLE : 0);
}

void op_recv_multi_later(struct op *op, int fd, unsigned bufs, op_fn *done)
{
	recv_with(op, fd, bufs, done, IORING_RECVSEND_POLL_FIRST);
}

void op_recv(struct op *op, int fd, void *buf, size_t len, op_fn *done)
{
	struct io_uring_sqe *sqe = op_arm(op, done, NULL);

	io_uring_prep_recv(sqe, fd, buf, len, 0);
	op_ready(sqe, op);
}

void op_recv_later(struct op *op, int fd, void *buf, size_t len, op_fn *done)
{
	struct io_uring_sqe *sqe = op_arm(op, done, NULL);

	io_uring_prep_recv(sqe, fd, buf, len, 0);
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	op_ready(sqe, op);
}

static void send_with(struct op *op, int fd, const void *buf, size_t len, op_fn *done, int flags)
{
	struct io_uring_sqe *sqe = op_arm(op, done, NULL);

	io_uring_prep_send(sqe, fd, buf, len, MSG_NOSIGNAL | flags);
	op_ready(sqe, op);
}

void op_recvmsg_multi(struct op *op, int fd, struct msghdr *shape, op_fn *done)
{
	struct io_uring_sqe *sqe = op_arm(op, done, drop_datagram);

	assert(op->owner->loop->recvmsg_multishot);
	prep_recvmsg(sqe, fd, shape);
	op_ready(sqe, op);
}

void op_send(struct op *op, int fd, const void *buf, size_t len, op_fn *done)
{
	send_with(op, fd, buf, len, done, 0);
}

void op_send_now(struct op *op, int fd, const void *buf, size_t len, op_fn *done)
{
	send_with(op, fd, buf, len, done, MSG_DONTWAIT);
}

void op_send_last(struct op *op, int fd, const void *buf, size_t len, op_fn *done)
{
	send_with(op, fd, buf, len, done, MSG_MORE);
}

void op_send_chain(struct op *op, int fd, uint16_t first, bool last, op_fn *done)
{
	struct io_uring_sqe *sqe = op_arm(op, done, NULL);
	struct loop *loop = op->owner->loop;
	/* The entry that used these before has been submitted: there are as many as entries. */
	struct parts *parts = &loop->parts[loop->parts_next++ & (loop->ring.sq.ring_entries - 1)];
	const struct bufs *bufs = &loop->bufs;
	size_t count = 0;

	for (; first != BUF_NONE && count < SEND_PARTS_MAX; first = bufs->links[first].next) {
		const struct buf_link *link = &bufs->links[first];

		parts->iov[count++] = (struct iovec){
			.iov_base = buf_at(bufs, first) + link->at,
			.iov_len = (size_t)(link->len - link->at),
		};
	}
	parts->msg = (struct msghdr){ .msg_iov = parts->iov, .msg_iovlen = count };
	last = last && first == BUF_NONE;
	io_uring_prep_sendmsg(sqe, fd, &parts->msg, MSG_NOSIGNAL | (last ? MSG_MORE : 0));
	op_ready(sqe, op);
}

void op_read(struct op *op, int fd, void *buf, size_t len, op_fn *done)
{
	struct io_uring_sqe *sqe = op_arm(op, done, NULL);

	io_uring_prep_read(sqe, fd, buf, (unsigned)len, 0);
	op_ready(sqe, op);
}

void op_poll(struct op *op, int fd, unsigned events, op_fn *done)
{
	struct io_uring_sqe *sqe = op_arm(op, done, NULL);

	io_uring_prep_poll_add(sqe, fd, events);
	op_ready(sqe, op);
}

static void on_cancelled(struct op *op, int res, uint32_t flags)
{
	(void)op;
	(void)res;
	(void)flags;                            /* the cancelled ops report for themselves */
}

void op_cancel_fd(struct op *op, int fd)
{
	struct io_uring_sqe *sqe = op_arm(op, on_cancelled, NULL);

	io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
	op_ready(sqe, op);
}

void op_cancel(struct op *op, struct op *victim)
{
	struct io_uring_sqe *sqe = op_arm(op, on_cancelled, NULL);

	io_uring_prep_cancel(sqe, victim, 0);
	op_ready(sqe, op);
}

void op_nop(struct op *op)
{
	struct io_uring_sqe *sqe = op_arm(op, on_cancelled, NULL);

	io_uring_prep_nop(sqe);
	op_ready(sqe, op);
}

bool op_brings_datagram(const struct op *op)
{
	return op->drop == drop_datagram;
}
