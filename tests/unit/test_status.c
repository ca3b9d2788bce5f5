/* test_status.c - the control socket: both ends, in a folder of its own. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/status.h"

static char path[STATUS_PATH_MAX];
static struct status_place place = { path, "test" };
static struct control control;
static struct status *server;
static struct status_text text;
static char error[STATUS_ERROR_MAX];

static void say_little(void *context, struct status_text *out)
{
	status_add(out, "job", "test");
	status_add(out, "count", "%d", *(int *)context);
	status_add(out, "counted", "no number");
	status_add(out, "odd", "a\nb\tc\x7f");
}

static void say_too_much(void *context, struct status_text *out)
{
	(void)context;
	for (int i = 0; i < STATUS_TEXT_MAX; i++)
		status_add(out, "line", "%d", i);
}

static void say_all_that_fits(void *context, struct status_text *out)
{
	(void)context;
	while (out->len + 10 < STATUS_TEXT_MAX - 8)
		status_add(out, "line", "%04d", 7);
}

static int setup(void **state)
{
	(void)state;
	text_copy(path, sizeof(path), "/tmp/ringfence-status-XXXXXX");
	assert_non_null(mkdtemp(path));
	snprintf(path + strlen(path), sizeof(path) - strlen(path), "/socket");
	return control_init(&control);
}

static int teardown(void **state)
{
	char *slash = strrchr(path, '/');

	(void)state;
	status_close(server);
	server = NULL;
	control_finish(&control);
	(void)unlink(path);
	*slash = '\0';
	return rmdir(path);
}

static int open_server(status_fn *fill, void *context)
{
	return status_open(&control, &place, fill, context, &server, error);
}

struct asker {
	struct watch done;
	int err;
};

static void *ask_elsewhere(void *context)
{
	struct asker *asker = context;
	uint64_t one = 1;

	asker->err = status_read(&place, 10000, &text, error);
	assert_int_equal(write(asker->done.fd, &one, sizeof(one)), sizeof(one));
	return NULL;
}

static void on_asked(struct watch *watch)
{
	(void)watch;
	control.stop = true;
}

/* What one who asks gets while the control thread, which is us, runs. */
static int ask(void)
{
	struct asker asker = { .done = { eventfd(0, EFD_CLOEXEC), on_asked } };
	pthread_t thread;

	assert_int_equal(control_add(&control, &asker.done), 0);
	assert_int_equal(pthread_create(&thread, NULL, ask_elsewhere, &asker), 0);
	assert_int_equal(control_run(&control), 0);
	pthread_join(thread, NULL);
	close(asker.done.fd);
	control.stop = false;
	return asker.err;
}

static void assert_value(const char *key, const char *wanted)
{
	struct str value = status_value(&text, key);

	assert_non_null(value.at);
	assert_int_equal(value.len, strlen(wanted));
	assert_memory_equal(value.at, wanted, value.len);
}

static void status_is_read_line_by_line(void **state)
{
	int count = 42;
	uint64_t number = 0;

	(void)state;
	assert_int_equal(open_server(say_little, &count), 0);
	assert_string_equal(status_path(server), path);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(ask(), 0);
		assert_value("job", "test");
		assert_value("counted", "no number");
		assert_true(status_number(&text, "count", &number));
		assert_int_equal(number, 42);
	}
	assert_value("odd", "a?b?c?");
	assert_null(status_value(&text, "coun").at);
	assert_null(status_value(&text, "test").at);
	assert_false(status_number(&text, "counted", &number));
}

static void status_of_any_length_comes_whole_or_not_at_all(void **state)
{
	(void)state;
	assert_int_equal(open_server(say_all_that_fits, NULL), 0);
	assert_int_equal(ask(), 0);
	assert_true(text.len > STATUS_TEXT_MAX - 30);
	status_close(server);
	assert_int_equal(open_server(say_too_much, NULL), 0);
	assert_int_equal(ask(), -EPROTO);
}

static void status_socket_is_for_its_owner_alone(void **state)
{
	mode_t before = umask(0);
	struct stat stat_;

	(void)state;
	assert_int_equal(open_server(say_little, NULL), 0);
	umask(before);
	assert_int_equal(stat(path, &stat_), 0);
	assert_true(S_ISSOCK(stat_.st_mode));
	assert_int_equal(stat_.st_mode & 0777, 0600);
}

static void status_socket_goes_with_its_server(void **state)
{
	(void)state;
	assert_int_equal(status_read(&place, 1000, &text, error), -ENOENT);
	assert_int_equal(open_server(say_little, NULL), 0);
	status_close(server);
	server = NULL;
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(status_read(&place, 1000, &text, error), -ENOENT);
	assert_non_null(strstr(error, "CONTROL_SOCKET"));
}

static void status_socket_of_the_living_is_not_taken(void **state)
{
	struct status *second = NULL;
	int count = 1;

	(void)state;
	assert_int_equal(open_server(say_little, &count), 0);
	assert_int_equal(status_open(&control, &place, say_little, NULL, &second, error),
			 -EADDRINUSE);
	assert_null(second);
	assert_non_null(strstr(error, "another running ringfence"));
	assert_int_equal(ask(), 0);             /* and the first one still answers */
}

static void status_socket_of_the_dead_is_replaced(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), count = 1;

	(void)state;
	text_copy(addr.sun_path, sizeof(addr.sun_path), path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(status_read(&place, 1000, &text, error), -ECONNREFUSED);
	assert_int_equal(open_server(say_little, &count), 0);
	assert_int_equal(ask(), 0);
}

static void status_never_replaces_a_file(void **state)
{
	FILE *file = fopen(path, "w");

	(void)state;
	assert_non_null(file);
	fclose(file);
	assert_int_equal(open_server(say_little, NULL), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
}

static void status_that_nobody_serves_is_given_up(void **state)
{
	(void)state;
	assert_int_equal(open_server(say_little, NULL), 0);     /* and control does not run */
	assert_int_equal(status_read(&place, 50, &text, error), -ETIMEDOUT);
	assert_non_null(strstr(error, "stuck"));
}

static void status_client_that_talks_or_leaves_does_no_harm(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fds[8], count = 1;

	(void)state;
	assert_int_equal(open_server(say_little, &count), 0);
	text_copy(addr.sun_path, sizeof(addr.sun_path), path);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&addr, sizeof(addr)), 0);
		assert_int_equal(write(fds[i], "GET / HTTP/1.0\r\n", 16), 16);
		if (i % 2)
			close(fds[i]);
	}
	assert_int_equal(ask(), 0);
	assert_value("job", "test");
	for (unsigned i = 0; i < ARRAY_LEN(fds); i += 2)
		close(fds[i]);
}

static void status_path_that_is_too_long_is_said(void **state)
{
	char name[300];
	struct status_place far = { name, "test" };

	(void)state;
	memset(name, 'x', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(status_read(&far, 1000, &text, error), -ENAMETOOLONG);
	assert_int_equal(status_open(&control, &far, say_little, NULL, &server, error), -ENOENT);
	assert_non_null(strstr(error, "at most 107"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(status_is_read_line_by_line, setup, teardown),
		cmocka_unit_test_setup_teardown(status_of_any_length_comes_whole_or_not_at_all,
						setup, teardown),
		cmocka_unit_test_setup_teardown(status_socket_is_for_its_owner_alone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(status_socket_goes_with_its_server, setup,
						teardown),
		cmocka_unit_test_setup_teardown(status_socket_of_the_living_is_not_taken, setup,
						teardown),
		cmocka_unit_test_setup_teardown(status_socket_of_the_dead_is_replaced, setup,
						teardown),
		cmocka_unit_test_setup_teardown(status_never_replaces_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(status_that_nobody_serves_is_given_up, setup,
						teardown),
		cmocka_unit_test_setup_teardown(status_client_that_talks_or_leaves_does_no_harm,
						setup, teardown),
		cmocka_unit_test_setup_teardown(status_path_that_is_too_long_is_said, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
