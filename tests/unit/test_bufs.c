/* test_bufs.c - receive buffers that come in bundles and are sent in chains, on a real ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "core/features.h"
#include "proto/str.h"
#include "tests/unit/loop_thing.h"

static int set_up_small(void **state)
{
	features.recv_len = 100;
	return set_up(state);
}

static int set_up_small_without_bundles(void **state)
{
	features.recv_bundle = false;
	return set_up_small(state);
}

static int set_up_small_without_features(void **state)
{
	assert_int_equal(features_parse("none,recv=100"), 0);
	return set_up(state);
}

static int tear_down_features(void **state)
{
	assert_int_equal(features_parse("auto"), 0);
	return tear_down(state);
}

/* Buffers that the test keeps for a while, and returns in any order. */
static uint16_t held[6];
static unsigned held_count, random_state, bundles;

static unsigned random_below(unsigned limit)
{
	random_state = random_state * 1103515245 + 12345;
	return (random_state >> 16) % limit;
}

static void return_one_held(void)
{
	unsigned i = random_below(held_count);

	bufs_return(&loop.bufs, held[i]);
	held[i] = held[--held_count];
}

/* Every byte is the low part of its number in the stream. */
static void check_recv(struct op *op, int res, uint32_t flags)
{
	struct thing *thing = container_of(op, struct thing, rx);
	uint16_t id = buf_of(flags), next;
	unsigned before = thing->received;

	thing->last_res = res;
	for (; id != BUF_NONE; id = next) {
		const struct buf_link *link = &loop.bufs.links[id];

		next = link->next;
		bundles += next != BUF_NONE;
		for (unsigned i = link->at; i < link->len; i++)
			assert_int_equal(buf_at(&loop.bufs, id)[i], thing->received++ & 0xff);
		while (held_count == ARRAY_LEN(held))
			return_one_held();
		held[held_count++] = id;
		if (random_below(2) == 0)
			return_one_held();
	}
	assert_int_equal(thing->received - before, res > 0 ? res : 0);
}

static void a_closing_owner_gives_a_whole_bundle_back(void **state)
{
	struct thing thing = thing_of();
	char text[350] = { 0 };                 /* four buffers */

	(void)state;
	thing_ready(&thing);
	op_recv_bundle(&thing.rx, thing.fds[0], 4, check_recv);
	assert_int_equal(write(thing.fds[1], text, sizeof(text)), sizeof(text));
	op_cancel_fd(&thing.cancel, thing.fds[0]);
	thing.owner.closing = true;
	step_until(&thing.freed, 1);
	assert_int_equal(thing.received, 0);
	assert_int_equal(loop.bufs.lent, 0);
	thing_end(&thing);
}

static void say(struct thing *thing, unsigned len)
{
	uint8_t text[1000];

	for (unsigned i = 0; i < len; i++)
		text[i] = (uint8_t)thing->sent++;
	assert_int_equal(write(thing->fds[1], text, len), len);
}

/* Two talk at once, in pieces of all sizes, until places in the ring have been counted through
 * more than once: there are 65536. */
static void listen_to_two(bool in_bundles)
{
	struct thing things[2] = { thing_of(), thing_of() };
	struct thing *one;

	held_count = bundles = 0;
	random_state = 1;
	for (one = things; one < things + 2; one++) {
		thing_ready(one);
		owner_hold(&one->owner);
	}
	for (unsigned talks = 0; talks < 45000; talks++) {
		one = &things[random_below(2)];
		say(one, 1 + random_below(random_below(4) == 0 ? 950 : 120));
		while (things[0].received < things[0].sent || things[1].received < things[1].sent) {
			for (one = things; one < things + 2; one++)
				if (op_idle(&one->rx))
					op_recv_bundle(&one->rx, one->fds[0], 4, check_recv);
			assert_int_equal(loop_step(&loop), 0);
			if (held_count > 0)
				return_one_held();      /* else both may wait for the other */
		}
		assert_int_equal(loop.bufs.lent, held_count);
	}
	assert_int_equal(bundles > 0, in_bundles);
	while (held_count > 0)
		return_one_held();
	for (one = things; one < things + 2; one++) {
		if (!op_idle(&one->rx))
			op_cancel(&one->cancel, &one->rx);
		one->owner.closing = true;
		owner_release(&one->owner);
		step_until(&one->freed, 1);
		thing_end(one);
	}
	assert_int_equal(loop.bufs.lent, 0);
}

static void bytes_keep_their_order_whatever_the_order_of_returns(void **state)
{
	(void)state;
	listen_to_two(loop.recv_bundle);
}

static void without_bundles_every_buffer_comes_by_itself(void **state)
{
	(void)state;
	assert_false(loop.recv_bundle);
	listen_to_two(false);
}

static void hold_recv(struct op *op, int res, uint32_t flags)
{
	struct thing *thing = container_of(op, struct thing, rx);
	uint16_t id = buf_of(flags), last = id;

	assert_true(res > 0);
	thing->received += (unsigned)res;
	while (loop.bufs.links[last].next != BUF_NONE)
		last = loop.bufs.links[last].next;
	loop.bufs.links[last].next = thing->chain;      /* the latest come first */
	thing->chain = id;
}

/* A chain of as many buffers; the first has 10 bytes, each has 10 more than the one before. */
static void chain_receive(struct thing *from, unsigned count)
{
	thing_ready(from);
	owner_hold(&from->owner);
	from->chain = BUF_NONE;
	for (unsigned i = count; i > 0; i--) {
		say(from, i * 10);
		if (op_idle(&from->rx))
			op_recv_bundle(&from->rx, from->fds[0], 8, hold_recv);
		while (from->received < from->sent)
			assert_int_equal(loop_step(&loop), 0);
	}
}

static void chain_end(struct thing *from)
{
	bufs_return_chain(&loop.bufs, from->chain);
	op_cancel(&from->cancel, &from->rx);
	from->owner.closing = true;
	owner_release(&from->owner);
	step_until(&from->freed, 1);
	assert_int_equal(loop.bufs.lent, 0);
	thing_end(from);
}

static void chain_send(struct thing *to, uint16_t first, bool last)
{
	op_send_chain(&to->tx, to->fds[0], first, last, on_sent);
	while (!op_idle(&to->tx))
		assert_int_equal(loop_step(&loop), 0);
}

static void a_chain_is_sent_by_one_request_up_to_its_limit(void **state)
{
	struct thing from = thing_of(), to = thing_of();
	static const struct { unsigned first, len; } parts[SEND_PARTS_MAX] = {
		{ 140 + 7, 3 }, { 120, 20 }, { 90, 30 }, { 50, 40 },
	};
	uint8_t text[200];
	unsigned sum = 0;

	(void)state;
	thing_ready(&to);
	owner_hold(&to.owner);
	chain_receive(&from, SEND_PARTS_MAX + 1);
	loop.bufs.links[from.chain].at += 7;            /* of its 10 bytes some are done */
	chain_send(&to, from.chain, false);
	assert_int_equal(to.last_res, 3 + 20 + 30 + 40);
	assert_int_equal(read(to.fds[1], text, sizeof(text)), to.last_res);
	for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
		for (unsigned at = 0; at < parts[i].len; at++)
			assert_int_equal(text[sum++], parts[i].first + at);
	to.owner.closing = true;
	owner_release(&to.owner);
	thing_end(&to);
	chain_end(&from);
}

/* A pair that can hold bytes back. */
static struct thing thing_of_tcp(void)
{
	struct thing thing = { .owner = { .loop = &loop, .free = thing_free } };
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	thing.fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(thing.fds[0], (struct sockaddr *)&addr, len), 0);
	thing.fds[1] = accept(fd, NULL, NULL);
	close(fd);
	return thing;
}

static void the_last_of_a_chain_waits_for_the_end(void **state)
{
	struct thing from = thing_of(), to = thing_of_tcp();
	uint8_t text[200];
	uint16_t second;

	(void)state;
	thing_ready(&to);
	owner_hold(&to.owner);
	chain_receive(&from, SEND_PARTS_MAX + 1);
	chain_send(&to, from.chain, true);              /* not all: it goes at once */
	assert_int_equal(to.last_res, 10 + 20 + 30 + 40);
	assert_int_equal(recv(to.fds[1], text, sizeof(text), MSG_DONTWAIT), to.last_res);
	second = loop.bufs.links[from.chain].next;
	chain_send(&to, second, true);
	assert_int_equal(to.last_res, 20 + 30 + 40 + 50);
	assert_int_equal(recv(to.fds[1], text, sizeof(text), MSG_DONTWAIT), -1);
	assert_int_equal(shutdown(to.fds[0], SHUT_WR), 0);
	assert_int_equal(recv(to.fds[1], text, sizeof(text), MSG_DONTWAIT), to.last_res);
	to.owner.closing = true;
	owner_release(&to.owner);
	thing_end(&to);
	chain_end(&from);
}

static void trimmed_buffers_are_filled_anew(void **state)
{
	struct thing thing = thing_of();
	char text[350];                         /* four buffers */

	(void)state;
	thing_ready(&thing);
	owner_hold(&thing.owner);
	for (unsigned round = 0; round < 3; round++) {
		thing.received = 0;
		for (unsigned i = 0; i < sizeof(text); i++)
			text[i] = (char)i;
		assert_int_equal(write(thing.fds[1], text, sizeof(text)), sizeof(text));
		while (thing.received < sizeof(text)) {
			if (op_idle(&thing.rx))
				op_recv_multi(&thing.rx, thing.fds[0], 4, check_recv);
			assert_int_equal(loop_step(&loop), 0);
		}
		bufs_trim(&loop.bufs);                  /* nothing, while some are held */
		while (held_count > 0)
			return_one_held();
		loop.bufs.lent_most = loop.bufs.step + 1;
		bufs_trim(&loop.bufs);
		assert_int_equal(loop.bufs.lent_most, 0);
	}
	op_cancel_fd(&thing.cancel, thing.fds[0]);
	thing.owner.closing = true;
	owner_release(&thing.owner);
	step_until(&thing.freed, 1);
	thing_end(&thing);
}

#define small_test(test, how) { #test " " #how, test, how, tear_down_features, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		small_test(a_closing_owner_gives_a_whole_bundle_back, set_up_small),
		small_test(bytes_keep_their_order_whatever_the_order_of_returns, set_up_small),
		small_test(without_bundles_every_buffer_comes_by_itself,
			   set_up_small_without_bundles),
		small_test(without_bundles_every_buffer_comes_by_itself,
			   set_up_small_without_features),
		small_test(a_chain_is_sent_by_one_request_up_to_its_limit, set_up_small),
		small_test(the_last_of_a_chain_waits_for_the_end, set_up_small),
		small_test(trimmed_buffers_are_filled_anew, set_up_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
