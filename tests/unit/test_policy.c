/* test_policy.c - what a policy file lets through, and what is said about a bad one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/policy.h"
#include "tests/unit/guard.h"

static struct policy *parse(const char *text)
{
	struct policy *policy = NULL;
	struct policy_error error;
	size_t len = strlen(text);

	if (policy_parse((const char *)guarded((const uint8_t *)text, len), len, &policy, &error) <
	    0)
		fail_msg("%u:%u: %s", error.line, error.column, error.text);
	return policy;
}

static bool has_addr(const struct policy *policy, const char *text)
{
	union addr addr;

	assert_true(addr_parse(str_of(text), &addr));
	return policy_has_addr(policy, &addr);
}

static void the_entries_of_a_file_are_let_through(void **state)
{
	struct policy *policy = parse("# ours\n"
				      "default_action: Deny\n"
				      "allowlist:\n"
				      "  ips: [ 1.1.1.1, \"10.0.0.0/8\", 2001:db8::/32 ]\n"
				      "  domains:\n"
				      "    - github.com\n"
				      "    - '*.Example.com'\n"
				      "    - \"m\xc3\xbcnchen.de\"   # a comment\n");

	(void)state;
	assert_string_equal(policy_match_name(policy, STR("github.com")), "github.com");
	assert_string_equal(policy_match_name(policy, STR("a.example.com")), "*.example.com");
	assert_string_equal(policy_match_name(policy, STR("xn--mnchen-3ya.de")),
			    "xn--mnchen-3ya.de");
	assert_null(policy_match_name(policy, STR("example.com")));
	assert_null(policy_match_name(policy, STR("")));
	assert_true(has_addr(policy, "10.200.3.4") && has_addr(policy, "2001:db8::7"));
	assert_false(has_addr(policy, "1.1.1.2") || has_addr(policy, "2001:db9::"));
	assert_int_equal(policy->domain_count, 3);
	assert_int_equal(policy->ip_count, 3);
	policy_free(policy);
}

static void empty_files_and_sections_are_an_empty_policy(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"# nothing\n",
		"---\n",
		"---\n...\n",
		"~",
		"null\n",
		"{}",
		"allowlist:\n",
		"allowlist: {}\n",
		"allowlist:\n  ips:\n  domains: ~\ndenylist:\ndefault_action:\n",
		"allowlist: {ips: [], domains: []}\n",
		"denylist:\n  ips: ['']\n  domains: [ ~ ]\n",
		"allowlist:\n  domains: [ '', ~, null, ' ' ]\n  ips:\n    -\n    - ''\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct policy *policy = parse(texts[i]);

		assert_int_equal(policy->domain_count + policy->ip_count + policy->entry_count, 0);
		assert_null(policy_match_name(policy, STR("example.com")));
		assert_false(has_addr(policy, "1.1.1.1") || has_addr(policy, "::1"));
		policy_free(policy);
	}
	assert_null(policy_match_name(NULL, STR("example.com")));
	assert_false(has_addr(NULL, "1.1.1.1"));
	policy_free(NULL);
}

static void a_quoted_null_is_a_name_and_windows_line_ends_are_fine(void **state)
{
	struct policy *policy = parse("\xef\xbb\xbf"
				      "allowlist:\r\n  domains:\r\n    - 'null'\r\n    - no\r\n");

	(void)state;
	assert_non_null(policy_match_name(policy, STR("null")));
	assert_non_null(policy_match_name(policy, STR("no")));
	assert_int_equal(policy->domain_count, 2);
	policy_free(policy);
}

/* The text, where the mistake is, and a part of what must be said about it. */
static const struct bad {
	const char *text;
	unsigned line, column;
	const char *field, *say;
} bad[] = {
	{ "allowlist:\n  domains:\n    - *.example.com\n", 3, 7, "domain", "put it in quotes" },
	{ "allowlist:\n  domains:\n    - a.com\n    - *\n", 4, 7, "domain", "put it in quotes" },
	{ "allowlist:\n  domains: [ *foo ]\n", 2, 14, "domain", "'*foo' begins with '*'" },
	{ "allowlist:\n  domains:\n    - exa mple\n", 3, 7, "domain",
	  "allowlist.domains: 'exa mple' is not a host name: there is a blank" },
	{ "allowlist:\n  domains:\n    - a.com:https\n", 3, 7, "domain", "no port from 1" },
	{ "allowlist:\n  domains:\n    - a.com:0\n", 3, 7, "domain", "no port from 1" },
	{ "allowlist:\n  domains:\n    - a.com:65536\n", 3, 7, "domain", "no port from 1" },
	{ "allowlist:\n  domains:\n    - a.com:90-80\n", 3, 7, "domain", "no port from 1" },
	{ "allowlist:\n  domains:\n    - a.com:80-\n", 3, 7, "domain", "no port from 1" },
	{ "allowlist:\n  domains:\n    - a.com:tcp/\n", 3, 7, "domain", "no port from 1" },
	{ "allowlist:\n  domains:\n    - tcp/a.com:tcp/1\n", 3, 7, "domain", "protocol twice" },
	{ "allowlist:\n  domains:\n    - a:b:22\n", 3, 7, "domain", "a colon in it" },
	{ "allowlist:\n  domains:\n    - sctp/a.com:22\n", 3, 7, "domain", "no slash" },
	{ "allowlist:\n  domains:\n    - 1.2.3.4:22\n", 3, 7, "domain", "list of ips" },
	{ "allowlist:\n  domains:\n    - a.com: 443\n", 3, 7, "domain", "key with a value" },
	{ "allowlist:\n  domains:\n    - domains: evil.test\n", 3, 7, "domain",
	  "write only \"- \" and what follows \"domains:\"" },
	{ "allowlist:\n  ips:\n    - ips: 192.0.2.1\n", 3, 7, "ip", "what follows \"ips:\"" },
	{ "allowlist:\n  ips:\n    - domains: a.com\n", 3, 7, "ip", "in the list of that name" },
	{ "allowlist:\n  domains:\n    - https://a.com/\n", 3, 7, "domain", "is a URL" },
	{ "allowlist:\n  domains:\n    - 1.2.3.4\n", 3, 7, "domain", "list of ips" },
	{ "allowlist:\n  domains:\n    - a.*.com\n", 3, 7, "domain", "does not support yet" },
	{ "allowlist:\n  domains:\n    - '/^a$/'\n", 3, 7, "domain", "regular expression" },
	{ "allowlist:\n  domains:\n    - \xe2\x98\x83.de\n", 3, 7, "domain", "\\xe2\\x98\\x83.de" },
	{ "allowlist:\n  domains:\n    - \"a\\0b.com\"\n", 3, 7, "domain", "control character" },
	{ "allowlist:\n  domains:\n    - 'a.com\n", 3, 7, "domain", "never closed" },
	{ "allowlist:\n  domains:\n    - \"a\\.com\"\n", 3, 9, "domain", "single quotes" },
	{ "allowlist:\n  ips:\n    - 1.1.1.1:80\n", 3, 7, "ip", "has a port; drop it" },
	{ "allowlist:\n  ips:\n    - [::1]:80\n", 3, 7, "ip", "without brackets" },
	{ "allowlist:\n  ips:\n    - fe80::\n", 3, 7, "ip", "in quotes" },
	{ "allowlist:\n  ips:\n    - fe80::1%eth0\n", 3, 7, "ip", "has a zone" },
	{ "allowlist:\n  ips: [::1]\n", 2, 9, "ip", "needs quotes" },
	{ "allowlist:\n  ips: [1.1.1.1, 1.2.3.4/33]\n", 2, 18, "ip", "from 0 to 32" },
	{ "allowlist:\n  ips: [ github.com ]\n", 2, 10, "ip", "list of domains" },
	{ "allowlist:\n  ips:\n    - 1.2.3.0-1.2.3.9\n", 3, 7, "ip", "prefixes" },
	{ "allowlist:\n\tdomains:\n", 2, 1, "", "spaces" },
	{ "allowlist:\n  domains: a.com\n", 2, 12, "domain", "in a list" },
	{ "allowlist: a.com\n", 1, 12, "", "key with a colon" },
	{ "- a.com\n", 1, 1, "", "allowlist" },
	{ "allow_list:\n", 1, 1, "", "'allow_list' is not a key" },
	{ "allowlist:\n  domain: []\n", 2, 3, "", "known: ips, domains" },
	{ "<<: {}\n", 1, 1, "", "not a key" },
	{ "? [a]\n: b\n", 1, 3, "", "not a key" },
	{ "allowlist:\n  ips: []\n  ips: []\n", 3, 3, "", "'ips' is there twice" },
	{ "allowlist: {}\nallowlist: {}\n", 2, 1, "", "twice" },
	{ "allowlist: &x {}\n", 1, 12, "", "anchor" },
	{ "allowlist:\n  domains:\n    - &y a.com\n", 3, 7, "domain", "anchor" },
	{ "allowlist:\n  domains:\n    - !y a.com\n", 3, 7, "domain", "tag" },
	{ "---\n{}\n---\n{}\n", 3, 1, "", "second document" },
	{ "default_action: allow\n", 1, 17, "", "not supported by this version yet" },
	{ "default_action: drop\n", 1, 17, "", "write deny" },
	{ "denylist:\n  domains:\n    - evil.com\n", 3, 7, "domain",
	  "does not support deny lists yet" },
	{ "denylist:\n  ips: ['', 1.1.1.1]\n", 2, 13, "ip", "does not support deny lists yet" },
	{ "allowlist:\n  domains:\n    - a\xff.com\n", 3, 8, "", "not UTF-8" },
};

static void a_mistake_is_named_with_its_place_and_the_way_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct policy *policy = NULL;
		struct policy_error error;
		size_t len = strlen(bad[i].text);
		const uint8_t *text = guarded((const uint8_t *)bad[i].text, len);

		assert_int_equal(policy_parse((const char *)text, len, &policy, &error), -EINVAL);
		assert_null(policy);
		if (error.line != bad[i].line || error.column != bad[i].column ||
		    !strstr(error.text, bad[i].say) || strcmp(error.field, bad[i].field))
			fail_msg("%s: %u:%u: [%s] %s", bad[i].text, error.line, error.column,
				 error.field, error.text);
		for (const char *c = error.text; *c; c++)
			assert_in_range(*c, 0x20, 0x7e);
	}
}

static void every_prefix_and_every_changed_byte_is_parsed_or_refused(void **state)
{
	static const char text[] =
		"# \xc3\xbc\ndefault_action: deny\nallowlist:\n  ips: [1.1.1.1, ::1/8]\n"
		"  domains:\n    - \"*.m\xc3\xbcn.de\"\n    - b.com\ndenylist:\n";
	static const char others[] = "\0 \t\n*&!-:[]{}'\"#%@\\\xff\xc3"
				     "a0";
	char copy[sizeof(text)];
	struct policy_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		for (size_t k = 0; k < sizeof(others); k++) {
			struct policy *policy = NULL;
			bool change = k < sizeof(others) - 1;
			size_t len = change ? sizeof(text) - 1 : i;

			memcpy(copy, text, sizeof(text));
			copy[i] = change ? others[k] : copy[i];
			if (policy_parse((const char *)guarded((const uint8_t *)copy, len), len,
					 &policy, &error) < 0)
				assert_true(error.text[0] && !policy);
			policy_free(policy);
		}
	}
}

static void ranges_are_merged_and_both_their_ends_are_in(void **state)
{
	struct policy *policy = NULL;
	struct policy_error error;

	(void)state;
	assert_int_equal(
		policy_from_lists("10.1.1.1,10.0.0.0/8, 11.0.0.0/8 ,192.0.2.7,192.0.2.8,192.0.2.7,"
				  "::1,::2,::3,::ffff:9.9.9.9,255.255.255.255,2001:db8::/32,"
				  "2001:db8:7::/48,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
				  NULL, &policy, &error),
		0);
	assert_int_equal(policy->ranges_v4, 4);
	assert_int_equal(policy->ranges_v6, 3);
	assert_int_equal(policy->ip_count, 14);
	assert_true(has_addr(policy, "10.0.0.0") && has_addr(policy, "11.255.255.255"));
	assert_true(has_addr(policy, "192.0.2.7") && has_addr(policy, "192.0.2.8"));
	assert_true(has_addr(policy, "9.9.9.9") && has_addr(policy, "::ffff:9.9.9.9"));
	assert_true(has_addr(policy, "255.255.255.255") && has_addr(policy, "::2"));
	assert_true(has_addr(policy, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"));
	assert_false(has_addr(policy, "9.255.255.255") || has_addr(policy, "12.0.0.0"));
	assert_false(has_addr(policy, "192.0.2.6") || has_addr(policy, "192.0.2.9"));
	assert_false(has_addr(policy, "::") || has_addr(policy, "::4"));
	assert_false(has_addr(policy, "2001:db9::") || policy_has_addr(policy, &(union addr){ 0 }));
	policy_free(policy);
}

static void everything_and_nothing_are_ranges_too(void **state)
{
	struct policy *policy = NULL;
	struct policy_error error;

	(void)state;
	assert_int_equal(policy_from_lists("0.0.0.0/0,1.2.3.4,255.0.0.0/8", "", &policy, &error),
			 0);
	assert_int_equal(policy->ranges_v4 + policy->ranges_v6, 1);
	assert_true(has_addr(policy, "0.0.0.0") && has_addr(policy, "255.255.255.255"));
	assert_false(has_addr(policy, "::1"));
	policy_free(policy);
}

static void an_address_is_found_exactly_where_a_linear_search_finds_it(void **state)
{
	char list[4000] = "";
	struct policy *policy = NULL;
	struct policy_error error;

	(void)state;
	for (int i = 0; i < 100; i++) /* 10.0.x.y, gaps of every small size */
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "10.0.%d.%d/%d,",
			 i * i % 251, i * 7 % 256, 24 + i % 9);
	assert_int_equal(policy_from_lists(list, NULL, &policy, &error), 0);
	for (unsigned i = 0; i < 65536; i++) {
		union addr addr = { .v4 = { .sin_family = AF_INET,
					    .sin_addr.s_addr = htonl(10U << 24 | i) } };
		bool found = false;

		for (size_t k = 0; k < policy->ranges_v4; k++)
			found = found || (addr_compare_ip(&addr, &policy->ranges[k].first) >= 0 &&
					  addr_compare_ip(&addr, &policy->ranges[k].last) <= 0);
		assert_int_equal(policy_has_addr(policy, &addr), found);
	}
	policy_free(policy);
}

static void comma_lists_skip_blanks_and_name_the_variable_in_errors(void **state)
{
	struct policy *policy = NULL;
	struct policy_error error;

	(void)state;
	assert_int_equal(policy_from_lists(" 1.1.1.1 ,,", ", a.com,*.b.com ", &policy, &error), 0);
	assert_int_equal(policy->ip_count, 1);
	assert_int_equal(policy->domain_count, 2);
	assert_non_null(policy_match_name(policy, STR("x.b.com")));
	policy_free(policy);
	policy = NULL;
	assert_int_equal(policy_from_lists(NULL, "a.com,b c", &policy, &error), -EINVAL);
	assert_non_null(strstr(error.text, "ALLOWLIST_DOMAINS: 'b c' is not a host name"));
	assert_int_equal(error.line, 0);
	assert_string_equal(error.value, "b c");
	assert_int_equal(policy_from_lists("1.1.1.1:53", NULL, &policy, &error), -EINVAL);
	assert_non_null(strstr(error.text, "ALLOWLIST_IPS"));
	assert_null(policy);
}

static void a_difference_is_listed_as_far_as_it_fits(void **state)
{
	struct policy *from = parse(
		"allowlist:\n  ips: [10.0.0.0/8]\n  domains: [a.com, b.com, b.com]\n");
	struct policy *to = parse("allowlist:\n  domains: [c.com, c.com, b.com, aa.com]\n");
	char out[200];

	(void)state;
	assert_string_equal(policy_diff(from, to, out, sizeof(out)),
			    "-10.0.0.0/8 -a.com +aa.com +c.com");
	assert_string_equal(policy_diff(to, to, out, sizeof(out)), "");
	assert_string_equal(policy_diff(NULL, to, out, sizeof(out)), "+aa.com +b.com +c.com");
	assert_string_equal(policy_diff(to, NULL, out, sizeof(out)), "-aa.com -b.com -c.com");
	assert_string_equal(policy_diff(from, to, out, 80), "-10.0.0.0/8 (+2 -1 more)");
	assert_string_equal(policy_diff(from, to, out, 10), "(+2 -2 mo");
	policy_free(from);
	policy_free(to);
}

static void the_hash_is_of_the_text(void **state)
{
	struct policy *a = parse("allowlist:\n"), *b = parse("allowlist:\n"),
		      *c = parse("allowlist: \n");

	(void)state;
	assert_memory_equal(a->hash, b->hash, sizeof(a->hash));
	for (size_t i = 0; i < 4; i++)
		assert_true(a->hash[i] != c->hash[i]);
	policy_free(a);
	policy_free(b);
	policy_free(c);
}

static void the_current_policy_is_replaced_and_the_old_one_freed(void **state)
{
	struct policy *a = parse("allowlist:\n"), *b = parse("denylist:\n");

	(void)state;
	assert_null(policy_current());
	policy_set_current(a);
	assert_ptr_equal(policy_current(), a);
	policy_set_current(b);
	assert_ptr_equal(policy_current(), b);
	policy_set_current(NULL);
	quiet_reclaim(); /* the leak checker sees whether both are gone */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_entries_of_a_file_are_let_through),
		cmocka_unit_test(empty_files_and_sections_are_an_empty_policy),
		cmocka_unit_test(a_quoted_null_is_a_name_and_windows_line_ends_are_fine),
		cmocka_unit_test(a_mistake_is_named_with_its_place_and_the_way_out),
		cmocka_unit_test(every_prefix_and_every_changed_byte_is_parsed_or_refused),
		cmocka_unit_test(ranges_are_merged_and_both_their_ends_are_in),
		cmocka_unit_test(everything_and_nothing_are_ranges_too),
		cmocka_unit_test(an_address_is_found_exactly_where_a_linear_search_finds_it),
		cmocka_unit_test(comma_lists_skip_blanks_and_name_the_variable_in_errors),
		cmocka_unit_test(a_difference_is_listed_as_far_as_it_fits),
		cmocka_unit_test(the_hash_is_of_the_text),
		cmocka_unit_test(the_current_policy_is_replaced_and_the_old_one_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
