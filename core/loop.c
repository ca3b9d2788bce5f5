/* loop.c - one io_uring and the requests on it. */
#include "core/loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/features.h"
#include "core/quiet.h"

enum { BATCH_MAX = 256, SUBMIT_TRIES = 1000 };
enum { RECV_BUNDLE = 1U << 4 };         /* IORING_RECVSEND_BUNDLE, which old headers do not have */

/* What the kernel reads when it takes a sendmsg request, and never after that (Linux 5.5). */
struct parts {
	struct msghdr msg;
	struct iovec iov[SEND_PARTS_MAX];
};

static op_fn on_wake;

static void read_clock(struct loop *loop)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	loop->now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	loop->now_ms = loop->now_us / 1000;
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
static void use_features(struct loop *loop)
{
	/* Saves a descriptor look-up a system call; older kernels do without. */
	if (features.ring_fd)
		(void)io_uring_register_ring_fd(&loop->ring);
	loop->recv_multishot = features.recv_multishot && recv_can_be_limited(&loop->ring, 0);
	loop->recv_bundle = loop->recv_multishot && features.recv_bundle &&
			    recv_can_be_limited(&loop->ring, RECV_BUNDLE);
	loop->recvmsg_multishot = features.recvmsg_multishot && recvmsg_can_go_on(&loop->ring);
}

int loop_init(struct loop *loop, unsigned entries, unsigned bufs, int wake_fd)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
		.cq_entries = entries * 8,
	};
	struct bufs_plan plan = { .group = BUF_GROUP, .len = BUF_LEN, .offered = features.recv_len,
				  .filled = bufs, .count = bufs * BUFS_GROWTH };
	int err;

	memset(loop, 0, sizeof(*loop));
	loop->reader = -1;
	loop->wake_fd = wake_fd;
	loop->batch_max = BATCH_MAX;
	loop->owner = (struct owner){ .loop = loop };
	loop->wake.owner = &loop->owner;
	read_clock(loop);
	timers_init(&loop->timers, loop->now_ms);
	err = io_uring_queue_init_params(entries, &loop->ring, &params);
	if (err < 0)
		return err;
	loop->parts = calloc(loop->ring.sq.ring_entries, sizeof(*loop->parts));
	err = loop->parts ? bufs_init(&loop->bufs, &loop->ring, &plan) : -ENOMEM;
	if (err < 0) {
		free(loop->parts);
		io_uring_queue_exit(&loop->ring);
		return err;
	}
	use_features(loop);
	loop->reader = quiet_register();
	op_read(&loop->wake, wake_fd, &loop->wake_count, sizeof(loop->wake_count), on_wake);
	return 0;
}

int loop_open_datagrams(struct loop *loop, unsigned bufs, unsigned most)
{
	struct bufs_plan plan = { .group = BUF_GROUP_DATAGRAMS, .len = DATAGRAM_BUF_LEN,
				  .offered = DATAGRAM_BUF_LEN, .filled = bufs, .count = most };

	plan.ours = !loop->recvmsg_multishot;
	return bufs_init(&loop->datagrams, &loop->ring, &plan);
}

/* The loop's own owner lives as long as the loop: nothing to free. */
static void loop_owner_free(struct owner *owner)
{
	(void)owner;
}

void loop_finish(struct loop *loop)
{
	struct op cancel = { .owner = &loop->owner };

	loop->owner.free = loop_owner_free;
	op_cancel(&cancel, &loop->wake);
	loop->owner.closing = true;
	while (loop->owner.in_flight > 0 && loop_step(loop) >= 0)
		;
	bufs_finish(&loop->bufs, &loop->ring);
	free(loop->parts);
	bufs_finish(&loop->datagrams, &loop->ring);
	io_uring_queue_exit(&loop->ring);
	if (loop->reader >= 0)
		quiet_unregister(loop->reader);
}

/* Every submission of the program passes here, and nowhere else. */
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

void owner_hold(struct owner *owner)
{
	assert(!owner->closing);
	owner->in_flight++;
}

/* The only place that frees an owner. */
void owner_release(struct owner *owner)
{
	assert(owner->in_flight > 0);
	owner->in_flight--;
	assert(owner->closing || owner->in_flight > 0); /* else it would sleep for ever */
	if (owner->closing && owner->in_flight == 0)
		owner->free(owner);
}

/* The only place that runs a completion. */
static void loop_dispatch(struct loop *loop, const struct io_uring_cqe *cqe)
{
	struct op *op = io_uring_cqe_get_data(cqe);
	struct owner *owner = op->owner;
	op_fn *done = op->done;
	bool last = !(cqe->flags & IORING_CQE_F_MORE);

	assert(done != NULL);                   /* nobody waits for this: a bug */
	loop->completions++;
	if (buf_of(cqe->flags) != BUF_NONE) {   /* until whoever gets it returns it */
		if (op->drop == drop_datagram)
			loop->datagrams.lent++;
		else
			bufs_lend(&loop->bufs, buf_of(cqe->flags), cqe->res);
	}

	if (last)
		op->done = NULL;                /* first, so done() may arm it again */
	if (!owner->closing)
		done(op, cqe->res, cqe->flags);
	else if (op->drop)
		op->drop(op, cqe->res, cqe->flags);
	if (last)
		owner_release(owner);
}

static void run_completions(struct loop *loop)
{
	struct io_uring_cqe *cqe;

	for (unsigned i = 0; i < loop->batch_max; i++) {
		struct io_uring_cqe copy;

		if (io_uring_peek_cqe(&loop->ring, &cqe) != 0)
			break;
		copy = *cqe;
		io_uring_cqe_seen(&loop->ring, cqe);
		loop_dispatch(loop, &copy);
	}
}

/* Messages in the order in which they were posted. */
static void run_posts(struct loop *loop)
{
	struct post *post = atomic_exchange_explicit(&loop->posts, NULL, memory_order_acquire);
	struct post *ordered = NULL;

	while (post) {
		struct post *next = post->next;

		post->next = ordered;
		ordered = post;
		post = next;
	}
	while ((post = ordered)) {
		ordered = post->next;
		post->run(post);
	}
}

static void on_wake(struct op *op, int res, uint32_t flags)
{
	struct loop *loop = container_of(op, struct loop, wake);

	(void)res;
	(void)flags;
	op_read(op, loop->wake_fd, &loop->wake_count, sizeof(loop->wake_count), on_wake);
	run_posts(loop);
}

void loop_post(struct loop *loop, struct post *post)
{
	struct post *first = atomic_load_explicit(&loop->posts, memory_order_relaxed);
	uint64_t one = 1;

	do {
		post->next = first;
	} while (!atomic_compare_exchange_weak_explicit(&loop->posts, &first, post,
							memory_order_release,
							memory_order_relaxed));
	if (!first)
		(void)!write(loop->wake_fd, &one, sizeof(one));
}

/* Microseconds until a timer or the wished-for turn; -1: for ever. */
static int64_t wait_at_most(const struct loop *loop)
{
	int64_t wait_ms = timers_wait_ms(&loop->timers, loop->now_ms);
	int64_t wait_us = wait_ms < 0 ? -1 : wait_ms * 1000;
	int64_t wish_us = (int64_t)(loop->wake_us - loop->now_us);

	if (loop->wake_us == 0 || (wait_us >= 0 && wait_us < wish_us))
		return wait_us;
	return wish_us > 0 ? wish_us : 0;
}

int loop_step(struct loop *loop)
{
	int64_t wait_us = wait_at_most(loop);
	struct __kernel_timespec timeout = { .tv_sec = wait_us / 1000000,
					     .tv_nsec = wait_us % 1000000 * 1000 };
	struct io_uring_cqe *cqe;
	int err;

	if (loop->reader >= 0)
		quiet_offline(loop->reader);
	err = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1,
					       wait_us < 0 ? NULL : &timeout, NULL);
	if (loop->reader >= 0)
		quiet_online(loop->reader);
	if (io_uring_sq_ready(&loop->ring) == 0)
		loop->parts_next = 0;           /* few stay warm */
	read_clock(loop);
	if (err < 0 && err != -ETIME && err != -EINTR && err != -EAGAIN && err != -EBUSY)
		return err;
	run_completions(loop);
	timers_run(&loop->timers, loop->now_ms);
	if (loop->turn)
		loop->turn(loop, loop->turn_context);
	return 0;
}

int loop_run(struct loop *loop)
{
	int err = 0;

	while (!loop->stop && err >= 0)
		err = loop_step(loop);
	return err;
}
