/* loop.c - one io_uring: its turns, and what came of the requests (op.c). */
#include "core/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/features.h"
#include "core/quiet.h"

enum {
	BATCH_MAX = 256,
	GATHERED = 64,                  /* completions that end a wait which gathers */
};

static op_fn on_wake;

static void read_clock(struct loop *loop)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	loop->now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	loop->now_ms = loop->now_us / 1000;
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
	loop->wake_fd = wake_fd;
	loop->batch_max = BATCH_MAX;
	loop->owner = (struct owner){ .loop = loop };
	loop->wake.owner = &loop->owner;
	read_clock(loop);
	timers_init(&loop->timers, loop->now_ms);
	err = io_uring_queue_init_params(entries, &loop->ring, &params);
	if (err < 0)
		return err;
	loop->reader = quiet_register();
	loop->parts = op_parts_new(loop->ring.sq.ring_entries);
	err = loop->reader < 0 ? loop->reader : loop->parts ? 0 : -ENOMEM;
	if (err == 0)
		err = bufs_init(&loop->bufs, &loop->ring, &plan);
	if (err < 0) {
		if (loop->reader >= 0)
			quiet_unregister(loop->reader);
		free(loop->parts);
		io_uring_queue_exit(&loop->ring);
		return err;
	}
	/* Saves a descriptor look-up a system call; older kernels do without. */
	if (features.ring_fd)
		(void)io_uring_register_ring_fd(&loop->ring);
	op_probe(loop);
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
	quiet_unregister(loop->reader);
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
		if (op_brings_datagram(op))
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

void loop_put_off(struct loop *loop, struct chore *chore)
{
	if (chore->waiting)
		return;
	chore->waiting = true;
	chore->next = loop->chores;
	loop->chores = chore;
}

/* One that is put off again meanwhile runs at once: all are over when this is. */
static void run_chores(struct loop *loop)
{
	struct chore *chore;

	while ((chore = loop->chores)) {
		loop->chores = chore->next;
		chore->waiting = false;
		chore->run(chore);
	}
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
	int64_t wait_us;
	struct __kernel_timespec timeout;
	struct io_uring_cqe *cqe;
	bool gather;
	int err;

	run_chores(loop);
	wait_us = wait_at_most(loop);
	gather = loop->gather_us > 0 && (wait_us < 0 || loop->gather_us < wait_us);
	if (gather)
		wait_us = loop->gather_us;
	loop->gather_us = 0;
	timeout = (struct __kernel_timespec){ .tv_sec = wait_us / 1000000,
					      .tv_nsec = wait_us % 1000000 * 1000 };

	quiet_offline(loop->reader);
	err = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, gather ? GATHERED : 1,
					       wait_us < 0 ? NULL : &timeout, NULL);
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
