/* test_policy_ports.c - what the entries of a policy open of a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/policy.h"

static int parse_ports(const char *text, struct policy **policy, struct policy_error *error)
{
	return policy_parse(text, strlen(text), policy, error);
}

static struct policy *parse(const char *text)
{
	struct policy *policy = NULL;
	struct policy_error error;

	if (parse_ports(text, &policy, &error) < 0)
		fail_msg("%u:%u: %s", error.line, error.column, error.text);
	return policy;
}

static void a_name_opens_every_port_or_those_it_names(void **state)
{
	struct policy *policy = parse("allowlist:\n  domains:\n"
				      "    - all.example\n"
				      "    - git.example:22\n"
				      "    - 'udp/*.voip.example:10000-20000'\n"
				      "    - sip.voip.example:UDP/5060\n"
				      "    - tcp/tcp.example\n"
				      "    - twice.example:443\n"
				      "    - twice.example:80\n"
				      "    - twice.example:81-90\n"
				      "    - open.example:443\n"
				      "    - open.example\n"
				      "    - open.example:udp/53\n");
	static const struct {
		const char *name;
		uint8_t protocol;
		uint16_t port;
		bool opens;
	} all[] = {
		{ "all.example", IPPROTO_TCP, 1, true },
		{ "all.example", IPPROTO_UDP, 65535, true },
		{ "git.example", IPPROTO_TCP, 22, true },
		{ "git.example", IPPROTO_UDP, 22, false },
		{ "git.example", IPPROTO_TCP, 23, false },
		{ "a.git.example", IPPROTO_TCP, 22, false },
		{ "a.voip.example", IPPROTO_UDP, 10000, true },
		{ "a.voip.example", IPPROTO_UDP, 20001, false },
		{ "a.voip.example", IPPROTO_TCP, 10000, false },
		{ "sip.voip.example", IPPROTO_UDP, 5060, true },
		{ "sip.voip.example", IPPROTO_UDP, 10001, true },
		{ "tcp.example", IPPROTO_TCP, 9, true },
		{ "tcp.example", IPPROTO_UDP, 9, false },
		{ "twice.example", IPPROTO_TCP, 90, true },
		{ "twice.example", IPPROTO_TCP, 443, true },
		{ "twice.example", IPPROTO_TCP, 91, false },
		{ "open.example", IPPROTO_TCP, 9, true },
		{ "other.example", IPPROTO_TCP, 443, false },
	};
	struct policy_opens opens;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if ((policy_match_port(policy, str_of(all[i].name), all[i].protocol,
				       all[i].port) != NULL) != all[i].opens)
			fail_msg("%s %u %u", all[i].name, all[i].protocol, all[i].port);
	assert_non_null(policy_match_name(policy, STR("git.example")));
	assert_true(policy_opens(policy, STR("all.example"), &opens) && opens.all);
	assert_true(policy_opens(policy, STR("open.example"), &opens) && opens.all);
	assert_false(policy_opens(policy, STR("other.example"), &opens));
	assert_true(policy_opens(policy, STR("twice.example"), &opens) && !opens.all);
	assert_int_equal(opens.count, 2);       /* 80-90 have become one */
	assert_int_equal(opens.ports[0].first, 80);
	assert_int_equal(opens.ports[0].last, 90);
	assert_true(policy_opens(policy, STR("sip.voip.example"), &opens) && opens.count == 2);
	policy_free(policy);
}

static void an_entry_as_written_gives_its_name_and_its_ports(void **state)
{
	static const struct {
		const char *entry, *pattern;
		struct policy_port port;
	} good[] = {
		{ "Example.COM", "example.com", { 0, 1, UINT16_MAX } },
		{ "name.example:22", "name.example", { IPPROTO_TCP, 22, 22 } },
		{ "udp/name.example:53", "name.example", { IPPROTO_UDP, 53, 53 } },
		{ "*.name.example:udp/100-200", "*.name.example", { IPPROTO_UDP, 100, 200 } },
		{ "tcp/*", "*", { IPPROTO_TCP, 1, UINT16_MAX } },
	};
	static const char *const bad[] = { "name.example:0", "a.*.example", "https://a.example" };
	struct policy_port port;
	char pattern[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(policy_entry_read(good[i].entry, pattern, &port));
		assert_string_equal(pattern, good[i].pattern);
		assert_int_equal(port.protocol, good[i].port.protocol);
		assert_int_equal(port.first, good[i].port.first);
		assert_int_equal(port.last, good[i].port.last);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(policy_entry_read(bad[i], pattern, &port));
}

static void more_ports_than_a_name_can_have_are_an_error(void **state)
{
	struct policy *policy;
	struct policy_error error;
	char text[1024] = "";

	(void)state;
	for (unsigned i = 0; i < POLICY_PORTS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "a.example:%u,",
			 2 * i + 1);
	assert_int_equal(policy_from_lists(NULL, text, &policy, &error), 0);
	policy_free(policy);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "a.example:99");
	assert_int_equal(policy_from_lists(NULL, text, &policy, &error), -EINVAL);
	assert_non_null(strstr(error.text, "more than 16 ports"));
}

static void a_name_has_the_ports_of_all_entries_that_match_it(void **state)
{
	static char text[8192];
	static const char *const names[] = { "a.b.c.d.e", "*.b.c.d.e", "*.c.d.e", "*.d.e" };
	struct policy *policy;
	struct policy_error error;
	struct policy_opens opens;

	(void)state;
	snprintf(text, sizeof(text), "allowlist:\n  domains:\n");
	for (unsigned name = 0; name < 4; name++)
		for (unsigned i = 0; i < POLICY_PORTS_MAX; i++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text),
				 "    - \"%s:%u\"\n", names[name], name * 1000 + 2 * i + 1);
	assert_int_equal(parse_ports(text, &policy, &error), 0);
	assert_true(policy_opens(policy, STR("a.b.c.d.e"), &opens));
	assert_int_equal(opens.count, POLICY_OPENS_MAX);
	assert_false(opens.full);
	assert_int_equal(opens.ports[63].first, 3031);
	assert_true(policy_opens(policy, STR("x.b.c.d.e"), &opens) && opens.count == 48);
	policy_free(policy);

	/* One that is open already is no more. */
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "    - \"*:3031\"\n");
	assert_int_equal(parse_ports(text, &policy, &error), 0);
	policy_free(policy);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "    - \"*:3033\"\n");
	assert_int_equal(parse_ports(text, &policy, &error), -EINVAL);
	assert_non_null(strstr(error.text, "'a.b.c.d.e' and the wildcards that match it have "
			       "more than 64 ports"));
	assert_int_equal(error.line, 3);

	/* A name that is listed with every port hides nothing of its neighbours. */
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "    - a.b.c.d.e\n"
		 "    - \"x.b.c.d.e:4000-4001\"\n");
	for (unsigned i = 0; i < POLICY_PORTS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "    - \"*.e:%u\"\n", 5000 + 2 * i);
	assert_int_equal(parse_ports(text, &policy, &error), -EINVAL);
	assert_non_null(strstr(error.text, "b.c.d.e' and the wildcards"));
}

static void a_port_too_many_is_told_with_its_line(void **state)
{
	static char text[2048] = "allowlist:\n  domains:\n    - good.example\n";
	struct policy *policy;
	struct policy_error error;

	(void)state;
	for (unsigned i = 0; i <= POLICY_PORTS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "    - \"a.example:%u\"\n", 2 * i + 1);
	assert_int_equal(parse_ports(text, &policy, &error), -EINVAL);
	assert_int_equal(error.line, 20);
	assert_non_null(strstr(error.text, "'a.example' has more than 16 ports"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_opens_every_port_or_those_it_names),
		cmocka_unit_test(an_entry_as_written_gives_its_name_and_its_ports),
		cmocka_unit_test(more_ports_than_a_name_can_have_are_an_error),
		cmocka_unit_test(a_name_has_the_ports_of_all_entries_that_match_it),
		cmocka_unit_test(a_port_too_many_is_told_with_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
