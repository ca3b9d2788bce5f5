/* test_queue.c - events waiting: bounded, in order, and in a spool beyond our own end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "dashboard/queue.h"

static char folder[64], out[1 << 20];
static struct queue queue;
static size_t len;

static int begin(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), P_tmpdir "/test_queue.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int end(void **state)
{
	char path[400];
	DIR *dir;

	(void)state;
	queue_finish(&queue);
	dir = opendir(folder);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		(void)unlink(path);
	}
	closedir(dir);
	return rmdir(folder);
}

static struct spool *open_spool(uint64_t bytes)
{
	char error[SPOOL_ERROR_MAX];
	struct spool *spool = NULL;

	assert_int_equal(spool_open(&spool, folder, "events", bytes, error), 0);
	return spool;
}

static void push(unsigned number)
{
	char text[32];

	snprintf(text, sizeof(text), "{\"n\":%u}", number);
	queue_push(&queue, str_of(text));
}

static void push_some(unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		push(first + i);
	queue_flush(&queue);
}

/* The numbers in the oldest batch are first, first + 1 ...; returns how many. */
static unsigned peek_from(unsigned first, unsigned count_max)
{
	unsigned count = queue_peek(&queue, count_max, out, sizeof(out) - 1, &len);
	char wanted[32], *at = out;

	out[len] = '\0';
	for (unsigned i = 0; i < count; i++) {
		snprintf(wanted, sizeof(wanted), "%s{\"n\":%u}", i > 0 ? "," : "", first + i);
		assert_memory_equal(at, wanted, strlen(wanted));
		at += strlen(wanted);
	}
	assert_int_equal(at - out, len);
	return count;
}

/* Those with these numbers, in order, and nothing else. */
static void take_all(unsigned from, unsigned to)
{
	for (unsigned at = from, count; at < to; at += count) {
		count = peek_from(at, 40);
		assert_true(count > 0);
		queue_pop(&queue);
	}
	assert_int_equal(queue_count(&queue), 0);
}

static void texts_come_out_in_order_and_once(void **state)
{
	(void)state;
	assert_int_equal(queue_init(&queue, 8, NULL), 0);
	push_some(0, 5);
	assert_int_equal(peek_from(0, 3), 3);
	assert_int_equal(peek_from(0, 2), 2);           /* a peek takes nothing */
	queue_pop(&queue);
	assert_int_equal(peek_from(2, 9), 3);
	queue_pop(&queue);
	assert_int_equal(peek_from(0, 9), 0);
	assert_int_equal(queue.dropped, 0);
}

static void a_full_queue_drops_the_oldest_and_counts(void **state)
{
	(void)state;
	assert_int_equal(queue_init(&queue, 4, NULL), 0);
	push_some(0, 10);
	assert_int_equal(queue.dropped, 6);
	assert_int_equal(peek_from(6, 9), 4);
}

static void what_is_dropped_on_its_way_is_not_popped_again(void **state)
{
	(void)state;
	assert_int_equal(queue_init(&queue, 4, NULL), 0);
	push_some(0, 4);
	assert_int_equal(peek_from(0, 3), 3);
	push_some(4, 2);                                /* 0 and 1 go */
	queue_pop(&queue);
	assert_int_equal(peek_from(3, 9), 3);
}

static void a_spool_is_read_again_after_a_restart_from_where_it_was(void **state)
{
	(void)state;
	assert_int_equal(queue_init(&queue, 4, open_spool(1 << 20)), 0);
	push_some(0, 100);
	assert_int_equal(queue_count(&queue), 100);
	assert_int_equal(peek_from(0, 30), 30);
	queue_pop(&queue);
	assert_int_equal(peek_from(30, 30), 30);        /* not popped: comes again */
	queue_finish(&queue);
	assert_int_equal(queue_init(&queue, 4, open_spool(1 << 20)), 0);
	assert_int_equal(queue_count(&queue), 70);
	push_some(100, 5);
	take_all(30, 105);
	assert_int_equal(queue.dropped, 0);
}

static void a_torn_last_line_is_left_out(void **state)
{
	char path[400];
	FILE *file;

	(void)state;
	assert_int_equal(queue_init(&queue, 4, open_spool(1 << 20)), 0);
	push_some(0, 3);
	queue_finish(&queue);
	snprintf(path, sizeof(path), "%s/events-00000001.jsonl", folder);
	file = fopen(path, "a");
	assert_non_null(file);
	fputs("{\"n\":3", file);
	fclose(file);
	assert_int_equal(queue_init(&queue, 4, open_spool(1 << 20)), 0);
	assert_int_equal(queue_count(&queue), 3);
	push_some(3, 1);
	assert_int_equal(peek_from(0, 9), 4);
	queue_pop(&queue);
	assert_int_equal(queue_count(&queue), 0);
	assert_int_equal(queue.dropped, 0);
}

static unsigned count_files(void)
{
	DIR *dir = opendir(folder);
	unsigned count = 0;

	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		count += strncmp(entry->d_name, "events-", 7) == 0;
	closedir(dir);
	return count;
}

static void a_hundred_starts_lose_nothing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(queue_init(&queue, 4, open_spool(1 << 20)), 0);
		assert_int_equal(queue_count(&queue), i);
		push_some(i, 1);
		queue_finish(&queue);
		assert_int_equal(queue_init(&queue, 4, open_spool(1 << 20)), 0);
		queue_finish(&queue);                   /* with nothing to say */
	}
	assert_true(count_files() < 10);
	assert_int_equal(queue_init(&queue, 4, open_spool(1 << 20)), 0);
	take_all(0, 100);
	assert_int_equal(queue.dropped, 0);
}

static void put_file(unsigned number, const char *text)
{
	char path[400];
	FILE *file;

	snprintf(path, sizeof(path), "%s/events-%08u.jsonl", folder, number);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void of_more_files_than_it_has_room_for_the_newest_stay(void **state)
{
	char text[32];

	(void)state;
	/* In an order that is not theirs, empty ones among them: as many starts have left them. */
	for (unsigned i = 0; i < 200; i++) {
		unsigned number = i * 77 % 200;

		snprintf(text, sizeof(text), "{\"n\":%u}\n", number / 2);
		put_file(number + 1, number % 2 == 0 ? text : "");
	}
	assert_int_equal(queue_init(&queue, 4, open_spool(1 << 20)), 0);
	assert_int_equal(queue_count(&queue), 63);
	push_some(100, 1);
	assert_int_equal(queue.dropped, 37);
	take_all(37, 101);
	assert_int_equal(queue.dropped, 37);
}

static void what_has_arrived_does_not_come_again_after_a_restart(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(queue_init(&queue, 4, open_spool(1 << 20)), 0);
		assert_int_equal(queue_count(&queue), i == 0 ? 0 : 1);
		push_some(2 * i, 2);
		for (unsigned at = i == 0 ? 0 : 2 * i - 1; at < 2 * i + 1; at++) {
			assert_int_equal(peek_from(at, 1), 1);
			queue_pop(&queue);
		}
		queue_finish(&queue);
	}
	assert_true(count_files() < 10);
}

static void what_is_no_object_is_passed_over_and_counted(void **state)
{
	char path[400];
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/events-00000001.jsonl", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("rubbish\n{\"n\":0}\n\n{\"n\":1}\n", file);
	fclose(file);
	assert_int_equal(queue_init(&queue, 4, open_spool(1 << 20)), 0);
	assert_int_equal(peek_from(0, 9), 1);
	queue_pop(&queue);
	assert_int_equal(peek_from(1, 9), 1);
	assert_int_equal(queue.dropped, 2);
}

static void a_spool_has_its_bounds(void **state)
{
	static char big[4096];
	uint64_t before;

	(void)state;
	memset(big, 'x', sizeof(big));
	big[0] = '{';
	big[sizeof(big) - 1] = '}';
	assert_int_equal(queue_init(&queue, 4, open_spool(SPOOL_BYTES_MIN)), 0);
	for (unsigned i = 0; i < 100; i++) {
		queue_push(&queue, (struct str){ big, sizeof(big) });
		queue_flush(&queue);
	}
	assert_true(queue.dropped > 0);
	assert_true(queue_count(&queue) <= SPOOL_BYTES_MIN / sizeof(big) + 2);
	assert_int_equal(queue.dropped + queue_count(&queue), 100);
	before = queue_count(&queue);
	/* One on its way is dropped: its pop must not take another's place. */
	assert_true(queue_peek(&queue, 1, out, sizeof(out), &len) == 1);
	for (unsigned i = 0; i < 50; i++) {
		queue_push(&queue, (struct str){ big, sizeof(big) });
		queue_flush(&queue);
	}
	queue_pop(&queue);
	assert_int_equal(queue.dropped + queue_count(&queue), 150);
	assert_true(queue_count(&queue) <= before + 1);
}

static void two_processes_do_not_share_a_folder(void **state)
{
	char error[SPOOL_ERROR_MAX] = "";
	struct spool *other;

	(void)state;
	assert_int_equal(queue_init(&queue, 4, open_spool(1 << 20)), 0);
	assert_int_equal(spool_open(&other, folder, "events", 1 << 20, error), -EBUSY);
	assert_non_null(strstr(error, "another process"));
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		test(texts_come_out_in_order_and_once),
		test(a_full_queue_drops_the_oldest_and_counts),
		test(what_is_dropped_on_its_way_is_not_popped_again),
		test(a_spool_is_read_again_after_a_restart_from_where_it_was),
		test(a_torn_last_line_is_left_out),
		test(a_hundred_starts_lose_nothing),
		test(of_more_files_than_it_has_room_for_the_newest_stay),
		test(what_has_arrived_does_not_come_again_after_a_restart),
		test(what_is_no_object_is_passed_over_and_counted),
		test(a_spool_has_its_bounds),
		test(two_processes_do_not_share_a_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
