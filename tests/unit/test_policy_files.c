/* test_policy_files.c - the policy file as a file that others write as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jobs/policy_files.h"

static char folder[64], path[128], other[128];
static struct policy_file_state file;

static void save(const char *where, const char *text)
{
	FILE *out = fopen(where, "w");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
}

static void assert_file(const char *where, const char *text)
{
	size_t len;
	char *found;

	assert_int_equal(policy_file_read(where, &found, &len, NULL), 0);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(found, text, len);
	free(found);
}

static void read_state(void)
{
	size_t len;
	char *text;

	assert_int_equal(policy_file_read(path, &text, &len, &file), 0);
	free(text);
}

static unsigned count_files(void)
{
	DIR *dir = opendir(folder);
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;               /* . and .. */
}

static int begin(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), P_tmpdir "/test_policy_files.XXXXXX");
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/policy.yaml", folder);
	snprintf(other, sizeof(other), "%s/policy.yaml.new", folder);
	save(path, "one\n");
	read_state();
	return 0;
}

static int end(void **state)
{
	(void)state;
	(void)unlink(path);
	(void)unlink(other);
	return rmdir(folder);
}

static void a_file_is_replaced_and_stays_ours_until_somebody_writes_it(void **state)
{
	(void)state;
	assert_int_equal(chmod(path, 0640), 0);         /* no change of what it says */
	assert_int_equal(policy_file_write(path, str_of("two\n"), &file), 0);
	assert_file(path, "two\n");
	assert_int_equal(policy_file_write(path, str_of("three\n"), &file), 0);
	assert_file(path, "three\n");
	assert_int_equal(policy_file_remove(path, &file), 0);
	assert_int_equal(count_files(), 0);
}

static void what_somebody_saved_meanwhile_is_not_replaced(void **state)
{
	(void)state;
	save(other, "two\n");                           /* as long as the first */
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(policy_file_write(path, str_of("three\n"), &file), -ESTALE);
	assert_int_equal(policy_file_remove(path, &file), -ESTALE);
	assert_file(path, "two\n");
	read_state();
	save(path, "in place\n");
	assert_int_equal(policy_file_write(path, str_of("three\n"), &file), -ESTALE);
	assert_file(path, "in place\n");
	assert_int_equal(count_files(), 1);
}

static void what_somebody_removed_meanwhile_is_not_made_again(void **state)
{
	(void)state;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(policy_file_write(path, str_of("two\n"), &file), -ESTALE);
	assert_int_equal(count_files(), 0);
}

static void what_somebody_made_meanwhile_is_not_replaced(void **state)
{
	(void)state;
	file = (struct policy_file_state){ 0 };
	assert_int_equal(policy_file_write(path, str_of("two\n"), &file), -ESTALE);
	assert_file(path, "one\n");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(policy_file_write(path, str_of("two\n"), &file), 0);
	assert_file(path, "two\n");
	assert_true(file.there);
}

static void a_draft_beside_it_stays(void **state)
{
	(void)state;
	save(other, "a draft\n");
	assert_int_equal(policy_file_write(path, str_of("two\n"), &file), 0);
	assert_file(path, "two\n");
	assert_file(other, "a draft\n");
	assert_int_equal(count_files(), 2);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		test(a_file_is_replaced_and_stays_ours_until_somebody_writes_it),
		test(what_somebody_saved_meanwhile_is_not_replaced),
		test(what_somebody_removed_meanwhile_is_not_made_again),
		test(what_somebody_made_meanwhile_is_not_replaced),
		test(a_draft_beside_it_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
