/* test_hosts.c - addresses that a hosts file notes for a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/hosts.h"
#include "tests/unit/guard.h"

static const char file[] =
	"127.0.0.1\tlocalhost\n"
	"::1 localhost ip6-localhost # and more: db.test\n"
	"\n"
	"  192.0.2.1   db.test  DB2.Test.\r\n"
	"2001:db8::1 db.test\n"
	"192.0.2.1 db.test\n"
	"#192.0.2.9 db.test\n"
	"not-an-address db.test\n"
	"192.0.2.7\n"
	"192.0.2.8 -bad- db3.test";

static union addr addrs[8];

static unsigned find(const char *name, unsigned max)
{
	return hosts_parse(str_of(file), str_of(name), addrs, max);
}

static void assert_addr(unsigned at, const char *text)
{
	char out[ADDR_TEXT_MAX];

	assert_string_equal(addr_format_ip(&addrs[at], out), text);
}

static void every_address_of_a_name_is_found_once(void **state)
{
	(void)state;
	assert_int_equal(find("db.test", 8), 2);
	assert_addr(0, "192.0.2.1");
	assert_addr(1, "2001:db8::1");
	assert_int_equal(find("db.test", 1), 1);
	assert_int_equal(find("localhost", 8), 2);
}

static void names_are_compared_as_names(void **state)
{
	(void)state;
	assert_int_equal(find("db2.test", 8), 1);
	assert_int_equal(find("db3.test", 8), 1);       /* without a newline at the end */
	assert_addr(0, "192.0.2.8");
	assert_int_equal(find("db", 8), 0);
	assert_int_equal(find("test", 8), 0);
	assert_int_equal(find("192.0.2.7", 8), 0);
}

static void a_file_of_anything_is_read_within_its_bounds(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(file); len++) {
		const uint8_t *bytes = guarded((const uint8_t *)file, len);

		(void)hosts_parse((struct str){ (const char *)bytes, len }, STR("db.test"),
				  addrs, 8);
	}
	assert_int_equal(hosts_parse(STR("192.0.2.1\0db.test\n\0\0 db.test"), STR("db.test"),
				     addrs, 8), 0);
}

static void a_file_is_loaded_or_its_error_told(void **state)
{
	char path[] = "/tmp/ringfence-hosts-XXXXXX";
	size_t len;
	char *text;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, file, sizeof(file) - 1), sizeof(file) - 1);
	close(fd);
	assert_int_equal(hosts_load(path, STR("db.test"), addrs, 8), 2);
	assert_int_equal(hosts_read(path, &text, &len), 0);
	assert_int_equal(len, sizeof(file) - 1);
	assert_memory_equal(text, file, len);
	free(text);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(hosts_load(path, STR("db.test"), addrs, 8), 0);
	unlink(path);
	assert_int_equal(hosts_read(path, &text, &len), -ENOENT);
	assert_int_equal(len, 0);
	assert_int_equal(hosts_load(path, STR("db.test"), addrs, 8), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_address_of_a_name_is_found_once),
		cmocka_unit_test(names_are_compared_as_names),
		cmocka_unit_test(a_file_of_anything_is_read_within_its_bounds),
		cmocka_unit_test(a_file_is_loaded_or_its_error_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
