/* test_learn.c - addresses on their way into the kernel, and back to who waits for them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/learn.h"

struct answerer {
	struct owner owner;
	struct learn learn;
	unsigned told;
	int result;
	bool freed;
};

static struct loop loop;
static int wake_fd;

static int begin(void **state)
{
	(void)state;
	wake_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(learn_fd() >= 0);
	return loop_init(&loop, 64, 2, wake_fd);
}

static int end(void **state)
{
	(void)state;
	loop_finish(&loop);
	close(wake_fd);
	return 0;
}

static void answerer_free(struct owner *owner)
{
	container_of(owner, struct answerer, owner)->freed = true;
}

static void on_learned(struct learn *learn, int result)
{
	struct answerer *answerer = container_of(learn, struct answerer, learn);

	answerer->told++;
	answerer->result = result;
}

static void answerer_begin(struct answerer *answerer, const struct learn_item *items,
			   unsigned count)
{
	*answerer = (struct answerer){ .owner = { .loop = &loop, .free = answerer_free } };
	answerer->learn = (struct learn){ .owner = &answerer->owner, .name = STR("a.test"),
					  .items = items, .count = count };
	owner_hold(&answerer->owner);
}

static void answerer_end(struct answerer *answerer)
{
	answerer->owner.closing = true;
	owner_release(&answerer->owner);
}

static bool is_readable(void)
{
	struct pollfd fd = { .fd = learn_fd(), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

static void many_learns_are_taken_at_once_in_their_order(void **state)
{
	static const struct learn_item item = { .protocol = IPPROTO_TCP, .first_port = 22,
						.last_port = 22, .ttl_s = 60 };
	struct answerer answerers[10];
	struct learn *list;
	unsigned at = 0;

	(void)state;
	assert_false(is_readable());
	for (unsigned i = 0; i < 10; i++) {
		answerer_begin(&answerers[i], &item, 1);
		assert_int_equal(learn_queue(&answerers[i].learn, on_learned), 0);
	}
	assert_true(is_readable());
	list = learn_take();
	assert_false(is_readable());
	for (struct learn *learn = list; learn; learn = learn->next)
		assert_ptr_equal(learn, &answerers[at++].learn);
	assert_int_equal(at, 10);
	assert_null(learn_take());
	learn_complete(list, -ENOSPC);
	for (unsigned i = 0; i < 10; i++) {
		while (answerers[i].told == 0)
			assert_int_equal(loop_step(&loop), 0);
		assert_int_equal(answerers[i].result, -ENOSPC);
		assert_int_equal(answerers[i].told, 1);
		answerer_end(&answerers[i]);
		assert_true(answerers[i].freed);
	}
}

static void who_has_gone_is_not_told(void **state)
{
	struct answerer answerer;

	(void)state;
	answerer_begin(&answerer, NULL, 0);
	assert_int_equal(learn_queue(&answerer.learn, on_learned), 0);
	answerer_end(&answerer);
	assert_false(answerer.freed);           /* the learn still holds it */
	learn_complete(learn_take(), 0);
	while (!answerer.freed)
		assert_int_equal(loop_step(&loop), 0);
	assert_int_equal(answerer.told, 0);
}

static void too_many_are_refused(void **state)
{
	struct answerer *answerers = calloc(LEARNS_MAX + 1, sizeof(*answerers));
	struct answerer *last = &answerers[LEARNS_MAX];

	(void)state;
	assert_non_null(answerers);
	for (unsigned i = 0; i <= LEARNS_MAX; i++) {
		answerer_begin(&answerers[i], NULL, 0);
		assert_int_equal(learn_queue(&answerers[i].learn, on_learned),
				 &answerers[i] == last ? -EAGAIN : 0);
	}
	assert_null(last->learn.done);
	learn_complete(learn_take(), 0);
	for (unsigned i = 0; i < LEARNS_MAX; i++)
		while (answerers[i].told == 0)
			assert_int_equal(loop_step(&loop), 0);
	assert_int_equal(learn_queue(&last->learn, on_learned), 0);
	learn_complete(learn_take(), 0);
	while (last->told == 0)
		assert_int_equal(loop_step(&loop), 0);
	for (unsigned i = 0; i <= LEARNS_MAX; i++)
		answerer_end(&answerers[i]);
	free(answerers);
}

/* For good: the last test. */
static void when_nobody_takes_any_more_all_are_told(void **state)
{
	struct answerer before, after;

	(void)state;
	answerer_begin(&before, NULL, 0);
	answerer_begin(&after, NULL, 0);
	assert_int_equal(learn_queue(&before.learn, on_learned), 0);
	learn_close();
	assert_int_equal(learn_queue(&after.learn, on_learned), 0);
	while (before.told == 0 || after.told == 0)
		assert_int_equal(loop_step(&loop), 0);
	assert_int_equal(before.result, -ECANCELED);
	assert_int_equal(after.result, -ECANCELED);
	answerer_end(&before);
	answerer_end(&after);
}

#define learn_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		learn_test(many_learns_are_taken_at_once_in_their_order),
		learn_test(who_has_gone_is_not_told),
		learn_test(too_many_are_refused),
		learn_test(when_nobody_takes_any_more_all_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
