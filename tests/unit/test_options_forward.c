/* test_options_forward.c - the forward's variables, as docker-whitelist's users set them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"

static struct options options;
static char error[OPTION_ERROR_MAX];

static int empty_environment(void **state)
{
	(void)state;
	return clearenv();
}

/* Parse with one variable set: the error's text, or "" when it is good. */
static const char *error_of(const char *name, const char *value)
{
	int err;

	error[0] = '\0';
	setenv(name, value, 1);
	err = options_parse(&options, 'W', 0, NULL, false, error);
	assert_int_equal(err, error[0] ? -EINVAL : 0);
	unsetenv(name);
	return error;
}

static void a_variable_of_two_programs_has_a_default_in_each(void **state)
{
	(void)state;
	assert_string_equal(error_of("PORT", ""), "");
	assert_string_equal(options.forward_ports, "80 443");
	assert_int_equal(options.forward_conns_max, 100);
	assert_int_equal(options.forward_idle_timeout, 0);
	assert_int_equal(options.http_healthcheck, HTTP_HEALTHCHECK_OFF);
	assert_int_equal(options.udp_answers, UDP_ANSWERS_PASS);
	assert_string_equal(error_of("IDLE_TIMEOUT", "90"), "");
	assert_int_equal(options.forward_idle_timeout, 90000);
	assert_int_equal(options.idle_timeout, 600000);         /* the filter's, not read here */
	setenv("MAX_CONNECTIONS", "7", 1);
	assert_int_equal(options_parse(&options, 'F', 0, NULL, false, error), 0);
	assert_int_equal(options.max_connections, 7);
	assert_int_equal(options.forward_conns_max, 100);
}

static void a_count_is_what_python_and_socat_agree_on(void **state)
{
	static const struct {
		const char *text;
		uint32_t count;
	} good[] = { { "0", 0 }, { " 5 ", 5 }, { "+5", 5 }, { "0x10", 16 }, { "0XfF", 255 },
		     { "10000000", 10000000 } };
	static const char *const bad[] = { "abc", "-1", "1.5", "1e3", "010", "0x", "0xg", "1_000",
					   "10000001", "0xffffffffffffffffff", "+", "5 6", "+-5" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_string_equal(error_of("MAX_CONNECTIONS", good[i].text), "");
		assert_int_equal(options.forward_conns_max, good[i].count);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (error_of("MAX_CONNECTIONS", bad[i])[0] == '\0')
			fail_msg("MAX_CONNECTIONS took \"%s\"", bad[i]);
	assert_string_equal(error_of("MAX_CONNECTIONS", "many"),
			    "MAX_CONNECTIONS: \"many\" is not a number from 0 to 10000000, "
			    "decimal or 0x hexadecimal");
}

/* docker-whitelist's switches are on by one word; a slip is told, and changes nothing. */
static void a_switch_that_is_neither_on_nor_off_is_warned_of(void **state)
{
	(void)state;
	assert_string_equal(error_of("PRE_RESOLVE", "yes"), "");
	assert_int_equal(options.pre_resolve, PRE_RESOLVE_NO);
	assert_int_equal(options.warning_count, 1);
	assert_string_equal(options.warnings[0],
			    "PRE_RESOLVE: \"yes\" is not one of 0, 1, ttl: using 0");
	assert_string_equal(error_of("UDP_ANSWERS", "false"), "");
	assert_int_equal(options.udp_answers, UDP_ANSWERS_PASS);
	assert_string_equal(error_of("MODE", "sctp"),
			    "MODE: \"sctp\" is not one of tcp, tcp4, tcp6, udp, udp4, udp6");
	assert_string_equal(error_of("MODE", "TCP6"), "");
	assert_int_equal(options.mode, MODE_TCP6);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup(name, empty_environment)
	const struct CMUnitTest tests[] = {
		test(a_variable_of_two_programs_has_a_default_in_each),
		test(a_count_is_what_python_and_socat_agree_on),
		test(a_switch_that_is_neither_on_nor_off_is_warned_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
