/* test_dashboard_visitors.c - who is cut, and when: each connection is one end of a pair. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "dashboard/rfc3339.h"
#include "dashboard/visitors.h"

struct pair {
	struct visitor *visitor;
	int ours, theirs;
};

static struct pair come(struct visitors *visitors, int64_t seconds)
{
	struct pair pair;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pair = (struct pair){ visitor_came(visitors, fds[0], seconds * NS_PER_S), fds[0], fds[1] };
	assert_non_null(pair.visitor);
	return pair;
}

static void ask(struct visitors *visitors, struct pair *pair, bool known, int64_t seconds)
{
	visitor_asks(visitors, pair->visitor, known, seconds * NS_PER_S);
}

static void rest(struct pair *pair, int64_t seconds)
{
	visitor_rests(pair->visitor, seconds * NS_PER_S);
}

static bool is_cut(const struct pair *pair)
{
	char byte;

	return recv(pair->theirs, &byte, 1, MSG_DONTWAIT) == 0;
}

static void leave(struct visitors *visitors, struct pair *pairs, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		visitor_left(visitors, pairs[i].visitor);
		close(pairs[i].ours);
		close(pairs[i].theirs);
	}
	assert_int_equal(visitors->count, 0);
	assert_null(visitors->strangers.first);
	assert_null(visitors->strangers.last);
	assert_null(visitors->known.first);
	assert_null(visitors->known.last);
}

static void visitors_that_are_strangers_stay_for_seconds_only(void **state)
{
	struct visitors visitors = { .max = 100 };
	struct pair silent = come(&visitors, 0), resting = come(&visitors, 0),
		    asking = come(&visitors, 0), known = come(&visitors, 0);
	struct pair *all[] = { &silent, &resting, &asking, &known };

	(void)state;
	ask(&visitors, &resting, false, 1);
	rest(&resting, 2);
	ask(&visitors, &asking, false, 3);
	ask(&visitors, &known, true, 3);
	rest(&known, 4);
	visitors_tick(&visitors, 9 * NS_PER_S);
	for (unsigned i = 0; i < 4; i++)
		assert_false(is_cut(all[i]));
	visitors_tick(&visitors, 10 * NS_PER_S);
	assert_true(is_cut(&silent));
	assert_false(is_cut(&resting));
	visitors_tick(&visitors, 17 * NS_PER_S);
	assert_true(is_cut(&resting));
	assert_false(is_cut(&asking));
	visitors_tick(&visitors, 63 * NS_PER_S);
	assert_true(is_cut(&asking));
	visitors_tick(&visitors, 3600 * NS_PER_S);
	assert_false(is_cut(&known));
	/* Whoever shows no key any more is a stranger again. */
	ask(&visitors, &known, false, 3600);
	rest(&known, 3600);
	visitors_tick(&visitors, 3615 * NS_PER_S);
	assert_true(is_cut(&known));
	leave(&visitors, (struct pair[]){ silent, resting, asking, known }, 4);
}

static void visitors_make_room_by_those_that_nobody_misses(void **state)
{
	struct visitors visitors = { .max = 10 };
	struct pair pairs[9];
	const unsigned order[] = { 2, 3, 4, 5, 6, 7, 8, 1 };    /* the first one is busy */

	(void)state;
	for (unsigned i = 0; i < 9; i++) {
		visitors_make_room(&visitors);
		pairs[i] = come(&visitors, i);
	}
	for (unsigned i = 0; i < 9; i++)
		assert_false(is_cut(&pairs[i]));
	ask(&visitors, &pairs[0], true, 10);
	ask(&visitors, &pairs[1], true, 10);
	rest(&pairs[1], 10);
	for (unsigned i = 0; i < 8; i++) {
		assert_false(is_cut(&pairs[order[i]]));
		visitors_make_room(&visitors);
		assert_true(is_cut(&pairs[order[i]]));
	}
	visitors_make_room(&visitors);
	assert_false(is_cut(&pairs[0]));
	leave(&visitors, pairs, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(visitors_that_are_strangers_stay_for_seconds_only),
		cmocka_unit_test(visitors_make_room_by_those_that_nobody_misses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
