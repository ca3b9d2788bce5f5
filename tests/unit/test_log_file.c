/* test_log_file.c - a log file: how it is opened, rotated, and what becomes of lines on errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log_file.h"

static char folder[64];
static char path[128];
static struct log_file file;

static int make_folder(void **state)
{
	const char *made;

	(void)state;
	snprintf(folder, sizeof(folder), P_tmpdir "/test_log_file.XXXXXX");
	made = mkdtemp(folder);
	snprintf(path, sizeof(path), "%s/app.log", folder);
	return made == NULL;
}

/* Every file in the folder that begins with prefix and ends with suffix; removed if asked. */
static unsigned count_files(const char *prefix, const char *suffix, bool removed)
{
	DIR *dir = opendir(folder);
	unsigned count = 0;

	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		const char *name = entry->d_name;
		size_t len = strlen(name), end = strlen(suffix);

		if (name[0] == '.' || strncmp(name, prefix, strlen(prefix)) != 0 || len < end ||
		    strcmp(name + len - end, suffix) != 0)
			continue;
		count++;
		if (removed)
			unlinkat(dirfd(dir), name, 0);
	}
	closedir(dir);
	return count;
}

static int remove_folder(void **state)
{
	(void)state;
	log_file_close(&file);
	count_files("", "", true);
	return rmdir(folder);
}

static bool write_line(const char *text)
{
	char line[256];
	int len = snprintf(line + 1, sizeof(line) - 1, "%s\n", text);

	return log_file_write(&file, line + 1, (size_t)len);
}

static const char *content(const char *name)
{
	static char text[4096];
	FILE *in = fopen(name, "r");
	size_t len = in ? fread(text, 1, sizeof(text) - 1, in) : 0;

	if (in)
		fclose(in);
	text[len] = '\0';
	return text;
}

static void make_file(const char *name)
{
	char full[256];
	int fd;

	snprintf(full, sizeof(full), "%s/%s", folder, name);
	fd = open(full, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static bool exists(const char *name)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/%s", folder, name);
	return access(full, F_OK) == 0;
}

static void a_file_is_made_for_its_owner_only_and_appended_to(void **state)
{
	struct stat stat_of;

	(void)state;
	assert_int_equal(log_file_open(&file, path), 0);
	assert_true(write_line("one"));
	log_file_close(&file);
	assert_int_equal(log_file_open(&file, path), 0);
	assert_true(write_line("two"));
	assert_string_equal(content(path), "one\ntwo\n");
	assert_int_equal(stat(path, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 0777, 0600);
}

static void missing_folders_are_made(void **state)
{
	char deep[256], *slash;

	(void)state;
	snprintf(deep, sizeof(deep), "%s/a/b/app.log", folder);
	assert_int_equal(log_file_open(&file, deep), 0);
	assert_true(write_line("one"));
	assert_string_equal(content(deep), "one\n");
	unlink(deep);
	for (int i = 0; i < 2; i++) {
		slash = strrchr(deep, '/');
		*slash = '\0';
		rmdir(deep);
	}
}

static void a_path_that_cannot_be_a_file_is_an_error(void **state)
{
	char below[256], endless[2 * LOG_FILE_PATH_MAX];

	(void)state;
	assert_int_equal(log_file_open(&file, folder), -EISDIR);
	assert_int_equal(file.fd, -1);
	make_file("plain");
	snprintf(below, sizeof(below), "%s/plain/app.log", folder);
	assert_int_equal(log_file_open(&file, below), -ENOTDIR);
	memset(endless, 'x', sizeof(endless));
	endless[sizeof(endless) - 1] = '\0';
	assert_int_equal(log_file_open(&file, endless), -ENAMETOOLONG);
}

static void a_moved_file_is_left_when_opened_anew(void **state)
{
	char moved[256];

	(void)state;
	snprintf(moved, sizeof(moved), "%s/app.log.1", folder);
	assert_int_equal(log_file_open(&file, path), 0);
	write_line("before");
	assert_int_equal(rename(path, moved), 0);
	write_line("still the same file");
	assert_int_equal(log_file_reopen(&file), 0);
	write_line("after");
	assert_string_equal(content(moved), "before\nstill the same file\n");
	assert_string_equal(content(path), "after\n");
}

static void a_file_that_cannot_be_opened_anew_goes_on(void **state)
{
	(void)state;
	assert_int_equal(log_file_open(&file, path), 0);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(log_file_reopen(&file), -EISDIR);
	assert_true(write_line("nobody reads this, but it is written"));
	assert_int_equal(rmdir(path), 0);
}

static void a_full_file_is_renamed_with_a_stamp_and_begun_anew(void **state)
{
	(void)state;
	assert_int_equal(log_file_open(&file, path), 0);
	assert_int_equal(file.rotate_bytes, LOG_FILE_ROTATE_BYTES);
	file.rotate_bytes = 20;
	write_line("twelve bytes");             /* 13 with the newline */
	assert_int_equal(count_files("app-", ".log", false), 0);
	write_line("more than that");
	assert_int_equal(count_files("app-", ".log", false), 1);
	assert_string_equal(content(path), "more than that\n");
}

static void lines_of_before_the_start_count_for_rotation(void **state)
{
	(void)state;
	assert_int_equal(log_file_open(&file, path), 0);
	write_line("0123456789");
	log_file_close(&file);
	assert_int_equal(log_file_open(&file, path), 0);
	assert_int_equal(file.size, 11);
	file.rotate_bytes = 12;
	write_line("new");
	assert_string_equal(content(path), "new\n");
}

static void the_newest_seven_rotated_files_stay(void **state)
{
	(void)state;
	assert_int_equal(log_file_open(&file, path), 0);
	file.rotate_bytes = 1;
	for (int i = 0; i < 12; i++) {
		char line[16];

		snprintf(line, sizeof(line), "line %d", i);
		assert_true(write_line(line));
	}
	assert_int_equal(count_files("app-", ".log", false), LOG_FILE_KEEP);
	assert_string_equal(content(path), "line 11\n");
}

static void rotated_files_go_after_28_days_and_strangers_stay(void **state)
{
	(void)state;
	make_file("app-2020-01-02T03-04-05.678.log");
	make_file("app-2020-01-02T03-04-05.678.log.gz");
	make_file("app-2999-01-02T03-04-05.678.log");
	make_file("app-2020-01-02T03-04-05.678.txt");
	make_file("app-2020-01-02T03-04-05.678.log.bak");
	make_file("app-2020-01-02.log");
	make_file("other-2020-01-02T03-04-05.678.log");
	assert_int_equal(log_file_open(&file, path), 0);
	file.rotate_bytes = 1;
	write_line("one");
	write_line("two");
	assert_false(exists("app-2020-01-02T03-04-05.678.log"));
	assert_false(exists("app-2020-01-02T03-04-05.678.log.gz"));
	assert_true(exists("app-2999-01-02T03-04-05.678.log"));
	assert_true(exists("app-2020-01-02T03-04-05.678.txt"));
	assert_true(exists("app-2020-01-02T03-04-05.678.log.bak"));
	assert_true(exists("app-2020-01-02.log"));
	assert_true(exists("other-2020-01-02T03-04-05.678.log"));
}

static void a_full_disk_loses_lines_and_counts_them(void **state)
{
	(void)state;
	assert_int_equal(log_file_open(&file, "/dev/full"), 0);
	assert_false(write_line("one"));
	assert_false(write_line("two"));
	assert_int_equal(file.lost, 2);
}

static void a_line_after_a_torn_one_is_a_line_of_its_own(void **state)
{
	struct rlimit old, small = { 6, 0 };

	(void)state;
	signal(SIGXFSZ, SIG_IGN);               /* as log_open() does */
	assert_int_equal(log_file_open(&file, path), 0);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	assert_false(write_line("torn apart"));
	assert_false(write_line("lost"));
	setrlimit(RLIMIT_FSIZE, &old);
	assert_true(write_line("whole"));
	assert_true(write_line("again"));
	assert_string_equal(content(path), "torn a\nwhole\nagain\n");
	assert_int_equal(file.lost, 2);
}

static void a_pipe_that_nobody_reads_loses_lines_instead_of_stopping_us(void **state)
{
	static char text[1 << 20];
	unsigned written = 0;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(log_file_open(&file, path), 0);
	assert_true(dup2(ends[1], file.fd) >= 0);       /* as if stdout were this pipe */
	while (written < sizeof(text) && write_line("a line that nobody reads"))
		written++;
	assert_true(written > 100 && written < sizeof(text));
	assert_false(write_line("lost"));
	assert_int_equal(file.lost, 2);
	assert_true(read(ends[0], text, sizeof(text)) > 0);
	assert_true(write_line("read again"));
	assert_int_equal(file.lost, 2);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		test(a_file_is_made_for_its_owner_only_and_appended_to),
		test(missing_folders_are_made),
		test(a_path_that_cannot_be_a_file_is_an_error),
		test(a_moved_file_is_left_when_opened_anew),
		test(a_file_that_cannot_be_opened_anew_goes_on),
		test(a_full_file_is_renamed_with_a_stamp_and_begun_anew),
		test(lines_of_before_the_start_count_for_rotation),
		test(the_newest_seven_rotated_files_stay),
		test(rotated_files_go_after_28_days_and_strangers_stay),
		test(a_full_disk_loses_lines_and_counts_them),
		test(a_line_after_a_torn_one_is_a_line_of_its_own),
		test(a_pipe_that_nobody_reads_loses_lines_instead_of_stopping_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
