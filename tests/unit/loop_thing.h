/* loop_thing.h - for tests: a real ring, and an owner with what a connection has, on a socket
 * pair. */
#ifndef TESTS_UNIT_LOOP_THING_H
#define TESTS_UNIT_LOOP_THING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/loop.h"

struct thing {
	struct owner owner;
	struct op rx, tx, cancel;
	int fds[2];
	unsigned freed, sent, received, chunks, bufs;
	int last_res;
	uint16_t chain;                 /* the buffers that came last, where a test keeps them */
};

static struct loop loop;
static int wake_fd;

static inline void thing_free(struct owner *owner)
{
	container_of(owner, struct thing, owner)->freed++;
}

static inline struct thing thing_of(void)
{
	struct thing thing = { .owner = { .loop = &loop, .free = thing_free } };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, thing.fds), 0);
	return thing;
}

/* Ops point to their owner, so this comes once the thing stands still. */
static inline void thing_ready(struct thing *thing)
{
	thing->rx.owner = thing->tx.owner = thing->cancel.owner = &thing->owner;
}

static inline void thing_end(struct thing *thing)
{
	close(thing->fds[0]);
	close(thing->fds[1]);
}

static inline void on_sent(struct op *op, int res, uint32_t flags)
{
	(void)flags;
	container_of(op, struct thing, tx)->last_res = res;
}

static inline int set_up(void **state)
{
	(void)state;
	wake_fd = eventfd(0, EFD_CLOEXEC);
	return loop_init(&loop, 16, 8, wake_fd);
}

static inline int tear_down(void **state)
{
	(void)state;
	loop_finish(&loop);
	close(wake_fd);
	return 0;
}

static inline void step_until(const unsigned *counter, unsigned wanted)
{
	for (unsigned turn = 0; turn < 1000 && *counter < wanted; turn++)
		assert_int_equal(loop_step(&loop), 0);
	assert_int_equal(*counter, wanted);
}

#endif
