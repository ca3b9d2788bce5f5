/* test_options.c - variables and flags: defaults, what is refused and in which words. */
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
	error[0] = '\0';
	return clearenv();
}

/* Parse for the filter with these arguments, at most two. */
static int parse(bool lenient, const char *first, const char *second)
{
	static char copies[2][256];
	char *argv[] = { copies[0], copies[1], NULL };
	int argc = (first != NULL) + (second != NULL);

	snprintf(copies[0], sizeof(copies[0]), "%s", first ? first : "");
	snprintf(copies[1], sizeof(copies[1]), "%s", second ? second : "");
	return options_parse(&options, 'F', argc, argv, lenient, error);
}

/* Parse with one variable set: the error's text, or "" when it is good. */
static const char *error_of(const char *name, const char *value)
{
	int err;

	error[0] = '\0';
	setenv(name, value, 1);
	err = parse(false, NULL, NULL);
	assert_int_equal(err, error[0] ? -EINVAL : 0);
	unsetenv(name);
	return error;
}

static void an_empty_environment_gives_the_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse(false, NULL, NULL), 0);
	assert_int_equal(options.http_port, 8080);
	assert_int_equal(options.https_port, 8443);
	assert_int_equal(options.dns_port, 53);
	assert_string_equal(options.policy_path, "");
	assert_int_equal(options.filter_mode, FILTER_HTTPS);
	assert_int_equal(options.log_level, LOG_LEVEL_INFO);
	assert_int_equal(options.destination_check, DESTINATION_PIN);
	assert_int_equal(options.private_answers, PRIVATE_DENY);
	assert_int_equal(options.block_action, BLOCK_RESET);
	assert_int_equal(options.ech, ECH_ALLOW_OUTER);
	assert_int_equal(options.nflog_bufsize, 96);
	assert_int_equal(options.conn_max_lifetime_ms, 0);
	assert_int_equal(options.hello_timeout, 5000);
	assert_int_equal(options.idle_timeout, 600000);
	assert_int_equal(options.workers, 0);
	assert_int_equal(options.egress_uid, 65380);
	assert_false(options.no_color);
	assert_int_equal(options.warning_count, 0);
}

static void values_are_trimmed_and_empty_is_unset(void **state)
{
	(void)state;
	setenv("POLICY_PATH", "  /etc/policy.yaml\t\n", 1);
	setenv("HTTP_PORT", " 3128 ", 1);
	setenv("HTTPS_PORT", "", 1);
	setenv("IDLE_TIMEOUT", " \t ", 1);
	assert_int_equal(parse(false, NULL, NULL), 0);
	assert_string_equal(options.policy_path, "/etc/policy.yaml");
	assert_int_equal(options.http_port, 3128);
	assert_int_equal(options.https_port, 8443);
	assert_int_equal(options.idle_timeout, 600000);
}

static void a_flag_wins_over_its_variable(void **state)
{
	(void)state;
	setenv("POLICY_PATH", "/from/environment", 1);
	assert_int_equal(parse(false, "--policy-path", "/from/flag"), 0);
	assert_string_equal(options.policy_path, "/from/flag");
	assert_int_equal(parse(false, "--policy-path=/x=y", "--http-port=81"), 0);
	assert_string_equal(options.policy_path, "/x=y");
	assert_int_equal(options.http_port, 81);
}

static void an_empty_flag_is_the_default(void **state)
{
	(void)state;
	setenv("HTTP_PORT", "3128", 1);
	assert_int_equal(parse(false, "--http-port=", NULL), 0);
	assert_int_equal(options.http_port, 8080);
}

static void no_color_is_given_by_any_value_or_a_flag_that_stands_alone(void **state)
{
	(void)state;
	setenv("NO_COLOR", "0", 1);
	assert_int_equal(parse(false, NULL, NULL), 0);
	assert_true(options.no_color);
	unsetenv("NO_COLOR");
	assert_int_equal(parse(false, "--no-color", "--http-port=81"), 0);
	assert_true(options.no_color);
	assert_int_equal(options.http_port, 81);
}

static void every_type_says_what_it_takes(void **state)
{
	(void)state;
	assert_string_equal(error_of("HTTP_PORT", "x"),
			    "HTTP_PORT: \"x\" is not a port from 1 to 65535");
	assert_string_equal(error_of("MAX_CONNECTIONS", "-1"),
			    "MAX_CONNECTIONS: \"-1\" is not a number from 0 to 10000000");
	assert_string_equal(error_of("HELLO_TIMEOUT", "5x"),
			    "HELLO_TIMEOUT: \"5x\" is not a time from 100ms to 10m, "
			    "like 5s or 1m30s (a bare number is seconds)");
	assert_string_equal(error_of("DESTINATION_CHECK", "on"),
			    "DESTINATION_CHECK: \"on\" is not one of pin, strict, off");
	assert_string_equal(error_of("WORKERS", "0"),
			    "WORKERS: \"0\" is not auto or a number from 1 to 256");
}

static void ports_are_decimal_from_1_to_65535(void **state)
{
	static const char *const bad[] = {
		"0", "65536", "+80", "-80", "0x50", "80x", "8 0", "1e3", "99999999999999999999",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (error_of("DNS_PORT", bad[i])[0] == '\0')
			fail_msg("DNS_PORT took \"%s\"", bad[i]);
	assert_string_equal(error_of("DNS_PORT", "65535"), "");
	assert_string_equal(error_of("DNS_PORT", "1"), "");
}

static void durations_are_kept_between_their_limits(void **state)
{
	(void)state;
	assert_string_equal(error_of("HELLO_TIMEOUT", "100ms"), "");
	assert_int_equal(options.hello_timeout, 100);
	assert_string_equal(error_of("HELLO_TIMEOUT", "2.5"), "");
	assert_int_equal(options.hello_timeout, 2500);
	assert_string_not_equal(error_of("HELLO_TIMEOUT", "99ms"), "");
	assert_string_not_equal(error_of("HELLO_TIMEOUT", "11m"), "");
	assert_string_equal(error_of("CONN_MAX_LIFETIME_MS", "600000"), "");
	assert_int_equal(options.conn_max_lifetime_ms, 600000);
}

static void one_port_for_two_listeners_is_refused(void **state)
{
	(void)state;
	assert_string_equal(error_of("HTTPS_PORT", "8080"),
			    "HTTPS_PORT: 8080 is HTTP_PORT too: give them different ports");
	assert_int_equal(parse(false, "--http-port", "8443"), -EINVAL);
}

static void choices_are_words_in_any_case(void **state)
{
	(void)state;
	setenv("DESTINATION_CHECK", "Strict", 1);
	setenv("PRIVATE_ANSWERS", "allow", 1);
	setenv("LOG_FORMAT", "json", 1);
	setenv("BLOCK_ACTION", "explain", 1);
	setenv("ECH", "BLOCK", 1);
	assert_int_equal(parse(false, NULL, NULL), 0);
	assert_int_equal(options.destination_check, DESTINATION_STRICT);
	assert_int_equal(options.private_answers, PRIVATE_ALLOW);
	assert_int_equal(options.log_format, LOG_FORMAT_JSON);
	assert_int_equal(options.block_action, BLOCK_EXPLAIN);
	assert_int_equal(options.ech, ECH_BLOCK);
	assert_int_equal(options.warning_count, 0);
}

static void log_level_knows_the_seeds_words(void **state)
{
	static const struct {
		const char *text;
		enum log_level level;
	} words[] = {
		{ "TRACE", LOG_LEVEL_TRACE }, { "debug", LOG_LEVEL_DEBUG },
		{ "Info", LOG_LEVEL_INFO }, { "warn", LOG_LEVEL_WARN },
		{ "WARNING", LOG_LEVEL_WARN }, { "ERROR", LOG_LEVEL_ERROR },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		assert_string_equal(error_of("LOG_LEVEL", words[i].text), "");
		assert_int_equal(options.log_level, words[i].level);
		assert_int_equal(options.warning_count, 0);
	}
}

static void what_the_seed_falls_back_on_is_warned_of(void **state)
{
	(void)state;
	setenv("FILTER_MODE", "htps", 1);
	setenv("LOG_LEVEL", "loud", 1);
	setenv("NFLOG_BUFSIZE", "0", 1);
	setenv("NFLOG_QTHRESH", "many", 1);
	assert_int_equal(parse(false, NULL, NULL), 0);
	assert_int_equal(options.filter_mode, FILTER_HTTPS);
	assert_int_equal(options.log_level, LOG_LEVEL_INFO);
	assert_int_equal(options.nflog_bufsize, 96);
	assert_int_equal(options.nflog_qthresh, 50);
	assert_int_equal(options.warning_count, 4);
	assert_string_equal(options.warnings[0],
			    "FILTER_MODE: \"htps\" is not one of https, dns, dns-strict: "
			    "using https");
	assert_string_equal(options.warnings[1],
			    "LOG_LEVEL: \"loud\" is not one of TRACE, DEBUG, INFO, WARN, ERROR: "
			    "using INFO");
	assert_string_equal(options.warnings[2],
			    "NFLOG_BUFSIZE: \"0\" is not a number from 1 to 65535: using 96");
}

static void unknown_arguments_are_errors_but_warnings_by_a_seeds_name(void **state)
{
	(void)state;
	assert_int_equal(parse(false, "--frobnicate", NULL), -EINVAL);
	assert_string_equal(error, "unknown argument \"--frobnicate\": see --help");
	assert_int_equal(parse(false, "policy.yaml", NULL), -EINVAL);
	assert_int_equal(parse(true, "--frobnicate", "policy.yaml"), 0);
	assert_int_equal(options.warning_count, 2);
	assert_string_equal(options.warnings[1], "unknown argument \"policy.yaml\" is ignored");
}

static void more_warnings_than_there_is_room_for_are_said_to_be_more(void **state)
{
	char word[] = "serve", *argv[OPTION_WARNINGS_MAX + 3];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(argv); i++)
		argv[i] = word;
	assert_int_equal(options_parse(&options, 'F', ARRAY_LEN(argv), argv, true, error), 0);
	assert_int_equal(options.warning_count, OPTION_WARNINGS_MAX);
	assert_string_equal(options.warnings[0], "unknown argument \"serve\" is ignored");
	assert_string_equal(options.warnings[OPTION_WARNINGS_MAX - 1],
			    "more arguments or variables than could be listed are not good");
}

static void a_flag_without_its_value_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(parse(false, "--http-port", NULL), -EINVAL);
	assert_string_equal(error, "--http-port: needs a value");
	assert_int_equal(parse(false, "--http-por", "80"), -EINVAL);
	assert_int_equal(parse(false, "--http-ports", "80"), -EINVAL);
}

static void errors_name_the_flag_that_was_used(void **state)
{
	(void)state;
	assert_int_equal(parse(false, "--dns-port=x", NULL), -EINVAL);
	assert_string_equal(error, "--dns-port: \"x\" is not a port from 1 to 65535");
	assert_int_equal(parse(false, "--https-mode-dns", "off"), -EINVAL);
	assert_string_equal(error, "--https-mode-dns: \"off\" is not one of listed, strict, pass");
}

static void errors_show_no_control_characters_and_no_endless_values(void **state)
{
	char value[4096];

	(void)state;
	assert_string_equal(error_of("HTTP_PORT", "\x1b[31m\xff"),
			    "HTTP_PORT: \"?[31m?\" is not a port from 1 to 65535");
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	error_of("HTTP_PORT", value);
	assert_non_null(strstr(error, "xxx...\" is not a port"));
}

static void another_programs_variables_are_not_read(void **state)
{
	char flag[] = "--http-port=81", *argv[] = { flag };

	(void)state;
	setenv("HTTP_PORT", "x", 1);
	assert_int_equal(options_parse(&options, 'W', 0, NULL, false, error), 0);
	assert_int_equal(options_parse(&options, 'W', 1, argv, false, error), -EINVAL);
}

/* Set one variable: what options_not_built() says, "" if nothing. */
static const char *not_built(const char *name, const char *value)
{
	setenv(name, value, 1);
	if (!options_not_built(error))
		error[0] = '\0';
	unsetenv(name);
	return error;
}

static void what_is_not_built_yet_is_named_with_what_to_do(void **state)
{
	static const char *const variables[][2] = {
		{ "DENYLIST_IPS", "10.0.0.0/8" }, { "DENYLIST_DOMAINS", "x.test" },
		{ "DEFAULT_ACTION", "Allow" }, { "ENFORCE", "audit" }, { "LEARNING_MODE", "True" },
		{ "PROCESS_INFO", "true" }, { "METRICS_ADDR", ":9095" },
		{ "BRIDGE_INTERFACES", "br-*" }, { "GATEWAY_INTERFACES", "docker0" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		const char *text = not_built(variables[i][0], variables[i][1]);

		if (strncmp(text, variables[i][0], strlen(variables[i][0])) != 0 ||
		    !strstr(text, "not in this version yet: "))
			fail_msg("%s=%s: \"%s\"", variables[i][0], variables[i][1], text);
	}
	assert_string_equal(not_built("DEFAULT_ACTION", "allow"),
			    "DEFAULT_ACTION: allow is not in this version yet: "
			    "unset it and list what may be reached");
}

static void settings_that_ask_for_nothing_new_are_fine(void **state)
{
	static const char *const variables[][2] = {
		{ "FILTER_MODE", "https" }, { "FILTER_MODE", "dns-strict" },
		{ "HTTPS_MODE_DNS", "pass" },
		{ "DEFAULT_ACTION", "deny" }, { "ENFORCE", "block" },
		{ "LEARNING_MODE", "false" }, { "LEARNING_MODE", "1" },
		{ "PROCESS_INFO", "" }, { "DENYLIST_IPS", " " }, { "ENABLE_REMOTE_UNBLOCK", "no" },
		{ "DNS_HARDENING", "true" }, { "DASHBOARD_API_KEY", "k" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		assert_string_equal(not_built(variables[i][0], variables[i][1]), "");
}

static void the_modes_and_what_is_done_about_dns_are_read(void **state)
{
	(void)state;
	assert_string_equal(error_of("FILTER_MODE", " DNS-strict "), "");
	assert_int_equal(options.filter_mode, FILTER_DNS_STRICT);
	assert_string_equal(error_of("FILTER_MODE", "dns"), "");
	assert_int_equal(options.filter_mode, FILTER_DNS);
	assert_int_equal(options.https_mode_dns, HTTPS_DNS_LISTED);
	assert_int_equal(options.dns_blocked_answer, DNS_BLOCKED_NXDOMAIN);
	assert_true(options.dns_hardening);
	assert_string_equal(error_of("DNS_HARDENING", "False"), "");
	assert_false(options.dns_hardening);
	assert_int_equal(options.warning_count, 0);
	assert_string_equal(error_of("DNS_RATE_QPS", "-1"), "");
	assert_int_equal(options.dns_rate_qps, 50);
	assert_int_equal(options.warning_count, 1);
}

static void what_is_neither_true_nor_false_is_told_and_changes_nothing(void **state)
{
	static const char *const texts[] = { "1", "0", "yes", "on", "no", "truee" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_string_equal(error_of("DNS_HARDENING", texts[i]), "");
		assert_true(options.dns_hardening);
		assert_int_equal(options.warning_count, 1);
		assert_string_equal(error_of("ENABLE_REMOTE_UNBLOCK", texts[i]), "");
		assert_false(options.enable_remote_unblock);
		assert_int_equal(options.warning_count, 1);
	}
	assert_string_equal(options.warnings[0],
			    "ENABLE_REMOTE_UNBLOCK: \"truee\" is not true or false: using false");
	assert_int_equal(parse(false, "--dns-hardening=1", NULL), 0);
	assert_true(options.dns_hardening);
	assert_string_equal(options.warnings[0],
			    "--dns-hardening: \"1\" is not true or false: using true");
}

static void a_word_of_a_later_version_that_is_unknown_is_told(void **state)
{
	(void)state;
	assert_string_equal(error_of("LEARNING_MODE", "1"), "");
	assert_string_equal(options.warnings[0],
			    "LEARNING_MODE: \"1\" is not false: using false");
	assert_string_equal(error_of("ENFORCE", "dryrun"), "");
	assert_string_equal(options.warnings[0], "ENFORCE: \"dryrun\" is not block: using block");
	assert_string_equal(error_of("DEFAULT_ACTION", "accept"), "");
	assert_string_equal(options.warnings[0],
			    "DEFAULT_ACTION: \"accept\" is not deny: using deny");
	assert_string_equal(error_of("PROCESS_INFO", "False"), "");
	assert_int_equal(options.warning_count, 0);
	assert_string_equal(error_of("ENFORCE", "Block"), "");
	assert_int_equal(options.warning_count, 0);
}

static void what_is_no_port_list_is_refused(void **state)
{
	static const char *const bad[] = {
		"", ",", "80,", ",80", "0", "65536", "80-79", "-80", "80-", "80-90-100", "80 90",
		"http", "any,80", "1,2,3,4,5",
	};
	struct port_range ranges[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (options_port_list(bad[i], ranges, 4) != -EINVAL)
			fail_msg("\"%s\" was taken for a port list", bad[i]);
	assert_string_equal(error_of("INBOUND_PORTS", "80,http"),
			    "INBOUND_PORTS: \"80,http\" is not any, none or a list like "
			    "80,8000-8010 (at most 64 entries)");
}

/* What a printing function writes for this program, to be freed. */
static char *printed(void (*print)(FILE *, char), char program)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	print(out, program);
	fclose(out);
	return text;
}

static void help_has_a_row_for_every_flag(void **state)
{
	char *text = printed(options_help, 'F');

	(void)state;
	assert_non_null(strstr(text, "  --https-port PORT "));
	assert_non_null(strstr(text, "  --hello-timeout TIME "));
	assert_non_null(strstr(text, "pin: dial an address of the name; strict: block"));
	assert_non_null(strstr(text, "(default 8443)\n"));
	assert_non_null(strstr(text, "  --no-color  "));
	free(text);
	text = printed(options_help, '?');
	assert_string_equal(text, "");
	free(text);
}

static void the_readme_table_has_three_columns_in_every_row(void **state)
{
	static const char head[] = "| Variable | Default | Meaning |\n| --- | --- | --- |\n";
	char *text = printed(options_readme, 'F'), *rest = text;
	unsigned rows = 0;

	(void)state;
	assert_int_equal(strncmp(text, head, strlen(head)), 0);
	assert_non_null(strstr(text, "| `HELLO_TIMEOUT` | `5s` | time for a whole"));
	assert_non_null(strstr(text, "| `POLICY_PATH` | unset | policy file"));
	for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n"), rows++) {
		unsigned bars = 0;

		for (const char *at = line; *at; at++)
			bars += *at == '|';
		assert_int_equal(bars, 4);
	}
	assert_true(rows > 30);
	free(text);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup(name, empty_environment)
	const struct CMUnitTest tests[] = {
		test(an_empty_environment_gives_the_defaults),
		test(values_are_trimmed_and_empty_is_unset),
		test(a_flag_wins_over_its_variable),
		test(an_empty_flag_is_the_default),
		test(no_color_is_given_by_any_value_or_a_flag_that_stands_alone),
		test(every_type_says_what_it_takes),
		test(ports_are_decimal_from_1_to_65535),
		test(durations_are_kept_between_their_limits),
		test(one_port_for_two_listeners_is_refused),
		test(choices_are_words_in_any_case),
		test(log_level_knows_the_seeds_words),
		test(what_the_seed_falls_back_on_is_warned_of),
		test(unknown_arguments_are_errors_but_warnings_by_a_seeds_name),
		test(more_warnings_than_there_is_room_for_are_said_to_be_more),
		test(a_flag_without_its_value_is_an_error),
		test(errors_name_the_flag_that_was_used),
		test(errors_show_no_control_characters_and_no_endless_values),
		test(another_programs_variables_are_not_read),
		test(what_is_not_built_yet_is_named_with_what_to_do),
		test(settings_that_ask_for_nothing_new_are_fine),
		test(the_modes_and_what_is_done_about_dns_are_read),
		test(what_is_neither_true_nor_false_is_told_and_changes_nothing),
		test(a_word_of_a_later_version_that_is_unknown_is_told),
		test(what_is_no_port_list_is_refused),
		test(help_has_a_row_for_every_flag),
		test(the_readme_table_has_three_columns_in_every_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
