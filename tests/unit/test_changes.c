/* test_changes.c - when a file that others write may be read; the clock is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "jobs/changes.h"

#define NOON UINT64_C(1000000)

static char folder[64], path[128], other[128], log_path[128];
static struct changes changes;

static int open_file(const char *where, int flags)
{
	int fd = open(where, O_WRONLY | O_CLOEXEC | flags, 0644);

	assert_true(fd >= 0);
	return fd;
}

/* Longer than what was there: times of change may be as coarse as a few milliseconds. */
static void write_some(int fd)
{
	assert_int_equal(write(fd, "allowlist:\n", 11), 11);
}

static void save(const char *where)
{
	int fd = open_file(where, O_CREAT | O_TRUNC);

	assert_int_equal(write(fd, "---\n", 4), 4);
	close(fd);
}

static bool is_due(void)
{
	changes_look(&changes);
	return changes_due(&changes);
}

/* How often the log says so. */
static unsigned told(const char *event)
{
	static char text[4096];
	FILE *in = fopen(log_path, "r");
	unsigned count = 0;

	assert_non_null(in);
	text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
	fclose(in);
	for (const char *at = text; (at = strstr(at, event)); at++)
		count++;
	return count;
}

static int begin(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), P_tmpdir "/test_changes.XXXXXX");
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/policy.yaml", folder);
	snprintf(other, sizeof(other), "%s/policy.yaml.new", folder);
	snprintf(log_path, sizeof(log_path), "%s/log", folder);
	if (log_open(LOG_LEVEL_INFO, false, true, log_path, NULL) < 0)
		return 1;
	save(path);
	if (changes_open(&changes, path) < 0 || !changes_take(&changes))
		return 1;
	/* What is there has been seen. */
	return changes_recheck(&changes, NOON) != RECHECK_CHANGED ||
	       changes_recheck(&changes, NOON) != RECHECK_STILL;
}

static int end(void **state)
{
	(void)state;
	changes_close(&changes);
	log_close();
	(void)unlink(path);
	(void)unlink(other);
	(void)unlink(log_path);
	return rmdir(folder);
}

/* Somebody begins to write, and a re-check sees it. */
static int begin_to_write(void)
{
	int fd = open_file(path, O_TRUNC);

	write_some(fd);
	assert_false(is_due());
	assert_int_equal(changes_recheck(&changes, NOON), RECHECK_CHANGED);
	return fd;
}

static void a_writer_who_is_silent_for_a_minute_is_told_and_not_waited_for(void **state)
{
	int fd = begin_to_write();

	(void)state;
	assert_int_equal(changes_recheck(&changes, NOON + 200), RECHECK_WRITTEN);
	assert_int_equal(changes_recheck(&changes, NOON + 59999), RECHECK_WRITTEN);
	assert_int_equal(told("policy.being_written"), 0);
	assert_int_equal(changes_recheck(&changes, NOON + 60000), RECHECK_STILL);
	assert_int_equal(told("WRN policy.being_written"), 1);
	assert_int_equal(told(path), 1);
	assert_int_equal(changes_recheck(&changes, NOON + 65000), RECHECK_STILL);
	assert_int_equal(told("policy.being_written"), 1);
	/* He closes it after all: that is a change like any other. */
	close(fd);
	assert_true(is_due());
}

static void a_writer_who_goes_on_has_a_minute_from_then(void **state)
{
	int fd = begin_to_write();

	(void)state;
	assert_int_equal(changes_recheck(&changes, NOON + 50000), RECHECK_WRITTEN);
	write_some(fd);
	assert_false(is_due());
	assert_int_equal(changes_recheck(&changes, NOON + 55000), RECHECK_CHANGED);
	assert_int_equal(changes_recheck(&changes, NOON + 114999), RECHECK_WRITTEN);
	close(fd);
	assert_true(is_due());
	assert_int_equal(changes_recheck(&changes, NOON + 120000), RECHECK_STILL);
	assert_int_equal(told("policy.being_written"), 0);
}

static void who_cuts_it_by_its_name_is_waited_for_as_well(void **state)
{
	(void)state;
	assert_int_equal(truncate(path, 0), 0);
	assert_false(is_due());
	assert_int_equal(changes_recheck(&changes, NOON), RECHECK_CHANGED);
	assert_int_equal(changes_recheck(&changes, NOON + 59999), RECHECK_WRITTEN);
	assert_int_equal(changes_recheck(&changes, NOON + 60000), RECHECK_STILL);
	assert_int_equal(told("policy.being_written"), 1);
}

static void a_file_is_due_when_its_writer_has_closed_it(void **state)
{
	int fd = open_file(path, O_TRUNC);

	(void)state;
	assert_false(is_due());
	write_some(fd);
	assert_false(is_due());
	close(fd);
	assert_true(is_due());
	assert_true(changes_take(&changes));
	assert_false(is_due());
	assert_false(changes_take(&changes));
}

static void a_new_file_is_not_due_before_its_writer_has_closed_it(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(unlink(path), 0);
	fd = open_file(path, O_CREAT | O_EXCL);
	assert_false(is_due());
	write_some(fd);
	assert_false(is_due());
	close(fd);
	assert_true(is_due());
}

static void what_is_moved_into_its_place_is_due_whoever_has_the_old_one_open(void **state)
{
	int fd = open_file(path, O_TRUNC);

	(void)state;
	assert_false(is_due());
	save(other);
	assert_false(is_due());
	assert_int_equal(rename(other, path), 0);
	assert_true(is_due());
	assert_true(changes_take(&changes));
	write_some(fd);                         /* to what has no name any more */
	close(fd);
	assert_int_equal(changes_recheck(&changes, NOON), RECHECK_CHANGED);
	assert_int_equal(changes_recheck(&changes, NOON + 200), RECHECK_STILL);
}

static void a_link_is_a_whole_file(void **state)
{
	(void)state;
	save(other);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(unlink(path), 0);
		assert_int_equal(i == 0 ? link(other, path) : symlink(other, path), 0);
		assert_true(is_due());
		assert_true(changes_take(&changes));
	}
}

static void its_neighbours_are_no_reason_to_read_it(void **state)
{
	(void)state;
	save(other);
	assert_int_equal(chmod(other, 0600), 0);
	assert_false(is_due());
	assert_int_equal(changes_recheck(&changes, NOON + 5000), RECHECK_STILL);
}

/* As on a file system that has none, or where the user has no watches left. */
static void without_watches_a_re_check_sees_that_it_has_changed(void **state)
{

	(void)state;
	changes_close(&changes);
	save(other);
	assert_int_equal(rename(other, path), 0);
	assert_false(is_due());
	assert_int_equal(changes_recheck(&changes, NOON + 5000), RECHECK_CHANGED);
	assert_int_equal(changes_recheck(&changes, NOON + 5200), RECHECK_STILL);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		test(a_writer_who_is_silent_for_a_minute_is_told_and_not_waited_for),
		test(a_writer_who_goes_on_has_a_minute_from_then),
		test(who_cuts_it_by_its_name_is_waited_for_as_well),
		test(a_file_is_due_when_its_writer_has_closed_it),
		test(a_new_file_is_not_due_before_its_writer_has_closed_it),
		test(what_is_moved_into_its_place_is_due_whoever_has_the_old_one_open),
		test(a_link_is_a_whole_file),
		test(its_neighbours_are_no_reason_to_read_it),
		test(without_watches_a_re_check_sees_that_it_has_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
