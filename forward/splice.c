/* splice.c - bulk, moved through a pipe. */
#include "forward/splice.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "forward/relay.h"
#include "forward/vet.h"

static op_fn on_writable, on_readable;

/* A pipe, and what else a bulk direction needs.  NULL: none to be had. */
static struct bulk *begin(struct side *from)
{
	struct conn *conn = side_conn(from);
	struct filter *filter = conn->filter;
	struct bulk *bulk = pool_take(&filter->bulks);

	if (!bulk)
		return NULL;
	*bulk = (struct bulk){ .from = from, .ticks = 1 };
	if (pipes_take(&filter->pipes, conn->owner.loop->now_ms, &bulk->pipe) < 0) {
		pool_give(&filter->bulks, bulk);
		return NULL;
	}
	from->bulk = bulk;
	return bulk;
}

/* The other side answers: what this one said until now was a message. */
static void end_message(struct side *side)
{
	if (side->streak == 0)
		return;
	if (side->streak < SPLICE_MESSAGE)
		side->messages = 0;
	else if (side->messages < SPLICE_MESSAGES)
		side->messages++;
	side->streak = 0;
}

static bool says_large_messages(const struct side *side)
{
	return side->messages == SPLICE_MESSAGES && side->streak < SPLICE_AFTER;
}

static bool may_splice(struct side *from)
{
	const struct conn *conn = side_conn(from);

	return !from->bulk && !from->deaf && conn->state == CONN_RELAYING &&
	       conn->filter->settings->splice && !conn->filter->dumps &&
	       vet_unseen(from) >= SPLICE_AFTER;
}

void splice_consider(struct side *from, unsigned received)
{
	end_message(side_peer(from));
	from->streak += received;
	if (from->streak >= SPLICE_AFTER && may_splice(from)) {
		from->streak = 0;
		if (!begin(from))
			return;
	} else if (says_large_messages(from) && !from->was_bulk && may_splice(from)) {
		from->was_bulk = true;          /* waits for the next one as such */
	} else {
		return;
	}
	if (!op_idle(&from->rx) && op_idle(&from->rx_cancel))
		op_cancel(&from->rx_cancel, &from->rx);
}

/* No request is under way for a direction that is pumped: its place in the list holds the owner. */
static void unlink_bulk(struct bulk *bulk)
{
	if (!bulk->link)
		return;
	*bulk->link = bulk->next;
	if (bulk->next)
		bulk->next->link = bulk->link;
	bulk->link = NULL;
	owner_release(&side_conn(bulk->from)->owner);   /* perhaps its last: bulk is gone then */
}

void splice_drop(struct side *from)
{
	struct filter *filter = side_conn(from)->filter;
	struct bulk *bulk = from->bulk;

	if (!bulk)
		return;
	unlink_bulk(bulk);
	pipes_give(&filter->pipes, &bulk->pipe, bulk->in_pipe);
	pool_give(&filter->bulks, bulk);
	from->bulk = NULL;
}

void splice_start(struct side *from)
{
	struct filter *filter = side_conn(from)->filter;
	struct bulk *bulk = from->bulk;

	if (bulk->link || !op_idle(&from->rx))
		return;                         /* pumped already, or a receive is still ending */
	owner_hold(&side_conn(from)->owner);
	bulk->at_us = 0;
	bulk->next = filter->pumped;
	if (bulk->next)
		bulk->next->link = &bulk->next;
	bulk->link = &filter->pumped;
	filter->pumped = bulk;
}

/* So many ticks from now, on a common beat: one waking serves many. */
static uint64_t on_beat(uint64_t now_us, unsigned ticks)
{
	return (now_us / SPLICE_TICK_US + ticks) * SPLICE_TICK_US;
}

/* Come less often.  The more directions share the worker, the less comes for each in the same
 * time. */
static void slower(struct bulk *bulk)
{
	unsigned most = side_conn(bulk->from)->filter->bulks.used / 2;

	if (most < SPLICE_TICKS_LEAST)
		most = SPLICE_TICKS_LEAST;
	if (bulk->ticks < most && bulk->ticks < SPLICE_TICKS_MOST)
		bulk->ticks++;
}

/* Little at a time: come less often.  Much: come more often. */
static void pace(struct bulk *bulk, size_t moved)
{
	if (moved < PIPE_MOST / 8 * 3)
		slower(bulk);
	else if (moved > PIPE_MOST / 4 * 3 && bulk->ticks > 1)
		bulk->ticks--;
}

/* Socket to pipe: how many bytes. */
static size_t fill(struct bulk *bulk)
{
	struct side *from = bulk->from;
	size_t room = bulk->pipe.size - bulk->in_pipe, may = vet_unseen(from);
	ssize_t n;

	if (room > may)
		room = may;
	if (from->eof || room == 0)
		return 0;
	n = splice(from->fd, NULL, bulk->pipe.in, NULL, room, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		bulk->in_pipe += (uint32_t)n;
		bulk->quiet = 0;
		vet_skip(from, (size_t)n);
	} else if (n == 0) {
		from->eof = true;
	} else if (errno == EAGAIN || errno == EINTR) {
		if (bulk->in_pipe == 0)                 /* else the pipe may just be full */
			bulk->quiet++;
	} else {
		from->eof = from->broken = true;
	}
	return n > 0 ? (size_t)n : 0;
}

/* Pipe to socket.  False: this side takes no more. */
static bool drain(struct bulk *bulk)
{
	struct side *from = bulk->from, *to = side_peer(from);
	ssize_t n;

	if (bulk->in_pipe == 0)
		return true;
	n = splice(bulk->pipe.out, NULL, to->fd, NULL, bulk->in_pipe,
		   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		bulk->in_pipe -= (uint32_t)n;
		bulk->blocked = 0;
		from->bytes += (size_t)n;
		side_conn(from)->active_ms = side_conn(from)->owner.loop->now_ms;
	} else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		bulk->blocked++;
	} else {
		return false;
	}
	return true;
}

/* Doze, or back to copying: what is received next goes through the queue again. */
static void stop(struct bulk *bulk)
{
	struct side *from = bulk->from;

	from->was_bulk = !bulk->is_little && !from->eof && vet_unseen(from) >= SPLICE_AFTER;
	if (from->streak >= SPLICE_AFTER || bulk->is_little)
		from->streak = from->messages = 0;
	splice_drop(from);
	relay_pump(from);
}

void splice_doze(struct side *from)
{
	op_poll(&from->rx, from->fd, POLLIN, on_readable);
}

static void pump(struct bulk *bulk);

static void on_readable(struct op *op, int res, uint32_t flags)
{
	struct side *from = container_of(op, struct side, rx);

	(void)flags;
	(void)res;
	assert(from->queue_len == 0);           /* it would come after what is spliced */
	from->was_bulk = false;
	if (side_conn(from)->state == CONN_ENDING || from->deaf || !begin(from))
		return relay_receive(from);
	from->bulk->has_woken = true;
	end_message(side_peer(from));
	if (says_large_messages(from)) {
		pump(from->bulk);
		if (from->bulk)
			splice_start(from);
		return;
	}
	splice_start(from);
	/* More is coming: take it all together. */
	from->bulk->at_us = on_beat(side_conn(from)->owner.loop->now_us, 1);
}

/* What a direction moves in one go: others wait for as long. */
static size_t at_most(const struct bulk *bulk)
{
	size_t share = SPLICE_TURN / side_conn(bulk->from)->filter->bulks.used;

	return share > PIPE_MOST / 2 ? share : PIPE_MOST / 2;
}

static void pump(struct bulk *bulk)
{
	struct side *from = bulk->from, *to = side_peer(from);
	size_t most = at_most(bulk), filled, moved = 0;

	do {    /* a pipe several times, while it fills */
		filled = fill(bulk);
		moved += filled;
		if (!drain(bulk)) {
			splice_drop(from);
			return relay_send_failed(to);
		}
	} while (bulk->in_pipe == 0 && filled > bulk->pipe.size / 2 && moved < most);
	pace(bulk, moved);
	if (from->streak < SPLICE_AFTER)
		from->streak += (uint32_t)moved;
	if (bulk->has_woken)
		bulk->is_little = moved < (says_large_messages(from) ? SPLICE_MESSAGE :
								       SPLICE_LITTLE);
	bulk->has_woken = false;
	if (bulk->in_pipe == 0 &&
	    (from->eof || bulk->is_little || bulk->quiet >= SPLICE_QUIET ||
	     says_large_messages(from) || vet_unseen(from) == 0))
		return stop(bulk);
	if (bulk->blocked >= SPLICE_QUIET && op_idle(&to->tx)) {
		/* The reader sleeps: no ticks until it can take some. */
		unlink_bulk(bulk);
		op_poll(&to->tx, to->fd, POLLOUT, on_writable);
	}
}

static void on_writable(struct op *op, int res, uint32_t flags)
{
	struct side *to = container_of(op, struct side, tx);
	struct side *from = side_peer(to);

	(void)flags;
	(void)res;
	if (side_conn(to)->state == CONN_ENDING || !from->bulk)
		return;
	from->bulk->blocked = 0;
	splice_start(from);
}

/* A connection that is ending is not pumped any more; conn_free() gives its pipes back. */
static bool is_going(const struct bulk *bulk)
{
	const struct conn *conn = side_conn(bulk->from);

	return conn->owner.closing || conn->state == CONN_ENDING;
}

void splice_turn(struct filter *filter)
{
	struct loop *loop = &filter->worker->loop;
	uint64_t now = loop->now_us, wake = UINT64_MAX;
	struct bulk *next;

	for (struct bulk *bulk = filter->pumped; bulk; bulk = next) {
		struct owner *owner = &side_conn(bulk->from)->owner;

		next = bulk->next;
		if (is_going(bulk)) {
			unlink_bulk(bulk);
		} else if (bulk->at_us <= now) {
			bulk->at_us = on_beat(now, bulk->ticks);
			owner_hold(owner);      /* it may leave the list before it waits */
			pump(bulk);
			owner_release(owner);
		}
	}
	for (struct bulk *bulk = filter->pumped; bulk; bulk = bulk->next)
		if (bulk->at_us < wake)
			wake = bulk->at_us;
	loop->wake_us = filter->pumped ? wake : 0;
}
