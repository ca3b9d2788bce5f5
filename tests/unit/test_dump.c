/* test_dump.c - what passes, as socat 1.7.4.4 and 1.8.0.3 showed the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forward/dump.h"

static char text[DUMP_HEAD_MAX + 2 * DUMP_LEN_MAX + 1];

static const char *format(enum dump_direction direction, const struct timespec *when,
			  uint64_t from, const void *data, size_t len)
{
	memset(text, 'x', sizeof(text));
	text[dump_format(text, direction, when, from, data, len)] = '\0';
	return text;
}

/* 2026/11/21 23:26:02 in UTC */
static const struct timespec when = { .tv_sec = 1795303562, .tv_nsec = 264498999 };

static void a_piece_has_a_line_with_its_place_and_then_its_bytes(void **state)
{
	(void)state;
	assert_string_equal(format(DUMP_UP, &when, 0, "hello", 5),
			    "> 2026/11/21 23:26:02.000264498  length=5 from=0 to=4\nhello");
	assert_string_equal(format(DUMP_DOWN, &when, 5, "world\n", 6),
			    "< 2026/11/21 23:26:02.000264498  length=6 from=5 to=10\nworld\n");
}

static void every_byte_is_shown_as_socat_shows_it(void **state)
{
	static const char expected[] =
		".......\\a\\b\t\n\\v\\f\\r.................. !\"#$%&'()*+,-./0123456789:;<=>?@"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
	const char *bytes;
	uint8_t all[256];

	(void)state;
	for (unsigned i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	bytes = strchr(format(DUMP_UP, &when, 0, all, sizeof(all)), '\n') + 1;
	assert_memory_equal(bytes, expected, sizeof(expected) - 1);
	bytes += sizeof(expected) - 1;
	assert_int_equal(strlen(bytes), 129);           /* 0x7f to 0xff */
	assert_int_equal(strspn(bytes, "."), 129);
}

static void the_largest_numbers_fit_the_line(void **state)
{
	static const uint8_t data[DUMP_LEN_MAX];
	const struct timespec far = { .tv_sec = INT64_C(1) << 40, .tv_nsec = 999999999 };
	const char *line = format(DUMP_UP, &far, UINT64_MAX - DUMP_LEN_MAX, data, sizeof(data));

	(void)state;
	assert_non_null(strstr(line, ".000999999  length=65536 from=18446744073709486079 "
				     "to=18446744073709551614\n."));
	assert_int_equal(strlen(strchr(line, '\n') + 1), DUMP_LEN_MAX);
}

static void the_most_escaped_bytes_fit(void **state)
{
	static uint8_t data[DUMP_LEN_MAX];

	(void)state;
	memset(data, '\\', sizeof(data));
	assert_true(strlen(format(DUMP_UP, &when, 0, data, sizeof(data))) <= sizeof(text) - 1);
}

/* stderr becomes a socket that keeps each write(2) apart. */
static int stderr_apart(int *stderr_before)
{
	int fds[2], size = 4 << 20;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	*stderr_before = dup(STDERR_FILENO);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	close(fds[1]);
	return fds[0];
}

static void stderr_back(int stderr_before)
{
	dup2(stderr_before, STDERR_FILENO);
	close(stderr_before);
}

static void each_piece_is_one_write_and_long_ones_are_several_pieces(void **state)
{
	static uint8_t data[DUMP_LEN_MAX + 3];
	int before, fd = stderr_apart(&before);
	ssize_t first, second;
	static char got[sizeof(text)];

	(void)state;
	memset(data, 'a', sizeof(data));
	dump(DUMP_DOWN, 7, data, sizeof(data));
	first = recv(fd, got, sizeof(got) - 1, 0);
	second = recv(fd, text, sizeof(text) - 1, 0);
	stderr_back(before);
	close(fd);
	assert_true(first > DUMP_LEN_MAX && second > 0);
	got[first] = text[second] = '\0';
	assert_non_null(strstr(got, "  length=65536 from=7 to=65542\naaa"));
	assert_non_null(strstr(text, "  length=3 from=65543 to=65545\naaa"));
	assert_int_equal(strlen(strchr(text, '\n') + 1), 3);
}

enum { WRITERS = 2, PIECES = 50, PIECE = 20000 };

static void *write_pieces(void *arg)
{
	static const char letters[WRITERS] = "ab";
	unsigned number = (unsigned)(uintptr_t)arg;
	uint8_t data[PIECE];

	memset(data, letters[number], sizeof(data));
	for (unsigned i = 0; i < PIECES; i++)
		dump(DUMP_UP, i, data, sizeof(data));
	return NULL;
}

/* Read head lines and pieces of one byte each. */
static unsigned read_pieces(FILE *in)
{
	static char line[256], data[PIECE];
	unsigned pieces = 0;

	while (pieces < WRITERS * PIECES && fgets(line, sizeof(line), in)) {
		assert_non_null(strstr(line, "  length=20000 from="));
		assert_int_equal(fread(data, 1, PIECE, in), PIECE);
		assert_memory_equal(data, data + 1, PIECE - 1);
		pieces++;
	}
	return pieces;
}

static void pieces_of_two_workers_do_not_mix_in_a_pipe(void **state)
{
	int fds[2], before = dup(STDERR_FILENO);
	pthread_t threads[WRITERS];
	unsigned pieces;
	FILE *in;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	close(fds[1]);
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_pieces, (void *)i), 0);
	in = fdopen(fds[0], "r");
	pieces = read_pieces(in);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	stderr_back(before);
	fclose(in);
	assert_int_equal(pieces, WRITERS * PIECES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_piece_has_a_line_with_its_place_and_then_its_bytes),
		cmocka_unit_test(every_byte_is_shown_as_socat_shows_it),
		cmocka_unit_test(the_largest_numbers_fit_the_line),
		cmocka_unit_test(the_most_escaped_bytes_fit),
		cmocka_unit_test(each_piece_is_one_write_and_long_ones_are_several_pieces),
		cmocka_unit_test(pieces_of_two_workers_do_not_mix_in_a_pipe),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
