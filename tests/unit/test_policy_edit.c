/* test_policy_edit.c - an edit of a policy's text changes what it must and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/policy_edit.h"

#define NOTE "# ringfence: unblocked id=4f2a"

static char *made;
static size_t made_len;

static int end(void **state)
{
	(void)state;
	free(made);
	made = NULL;
	return 0;
}

static struct policy_note note_of(enum policy_list list, const char *entry)
{
	struct policy_note note = { .list = list, .id = "4f2a" };

	snprintf(note.entry, sizeof(note.entry), "%s", entry);
	return note;
}

static int add(const char *text, enum policy_list list, const char *entry)
{
	struct policy_note note = note_of(list, entry);

	free(made);
	made = NULL;
	return policy_edit_add(str_of(text), &note, &made, &made_len);
}

/* before becomes after, and removing the note's line gives `without` back. */
static void edit(const char *before, enum policy_list list, const char *entry, const char *after,
		 const char *without)
{
	char *back = NULL;
	size_t len;

	assert_int_equal(add(before, list, entry), 0);
	assert_string_equal(made, after);
	assert_int_equal(made_len, strlen(after));
	assert_int_equal(policy_edit_remove(str_of(made), "4f2a", &back, &len), 0);
	assert_string_equal(back, without);
	free(back);
}

static void an_entry_goes_behind_the_last_one_and_the_rest_stays_byte_for_byte(void **state)
{
	(void)state;
	edit("# top\nallowlist:   # here\n  domains:\n  - a.test # one\n\n  - 'b.test'\n"
	     "  # end\n  ips: [1.1.1.1]\n# last", POLICY_DOMAINS, "c.test",
	     "# top\nallowlist:   # here\n  domains:\n  - a.test # one\n\n  - 'b.test'\n"
	     "  - \"c.test\" " NOTE "\n  # end\n  ips: [1.1.1.1]\n# last",
	     "# top\nallowlist:   # here\n  domains:\n  - a.test # one\n\n  - 'b.test'\n"
	     "  # end\n  ips: [1.1.1.1]\n# last");
}

static void a_file_without_its_last_line_end_gets_one(void **state)
{
	(void)state;
	edit("allowlist:\n  ips:\n    - 1.1.1.1", POLICY_IPS, "2001:db8::1",
	     "allowlist:\n  ips:\n    - 1.1.1.1\n    - \"2001:db8::1\" " NOTE "\n",
	     "allowlist:\n  ips:\n    - 1.1.1.1\n");
}

static void line_ends_of_windows_stay(void **state)
{
	(void)state;
	edit("allowlist:\r\n  domains:\r\n    - a.test\r\n  ips: []\r\n", POLICY_DOMAINS, "c.test",
	     "allowlist:\r\n  domains:\r\n    - a.test\r\n    - \"c.test\" " NOTE "\r\n"
	     "  ips: []\r\n",
	     "allowlist:\r\n  domains:\r\n    - a.test\r\n  ips: []\r\n");
}

static void an_empty_list_is_filled(void **state)
{
	(void)state;
	edit("allowlist:\n  domains: []\n  ips:\n", POLICY_DOMAINS, "c.test",
	     "allowlist:\n  domains:\n    - \"c.test\" " NOTE "\n  ips:\n",
	     "allowlist:\n  domains:\n  ips:\n");
	edit("allowlist:\n  domains: # none\n  ips:\n", POLICY_DOMAINS, "c.test",
	     "allowlist:\n  domains: # none\n    - \"c.test\" " NOTE "\n  ips:\n",
	     "allowlist:\n  domains: # none\n  ips:\n");
	edit("allowlist:\n  domains: ~\n", POLICY_DOMAINS, "c.test",
	     "allowlist:\n  domains:\n    - \"c.test\" " NOTE "\n",
	     "allowlist:\n  domains:\n");
}

static void what_is_missing_is_made(void **state)
{
	(void)state;
	edit("allowlist:\n  ips:\n  - 1.1.1.1\n", POLICY_DOMAINS, "c.test",
	     "allowlist:\n  domains:\n    - \"c.test\" " NOTE "\n  ips:\n  - 1.1.1.1\n",
	     "allowlist:\n  domains:\n  ips:\n  - 1.1.1.1\n");
	edit("default_action: deny # no\n", POLICY_IPS, "1.1.1.1",
	     "allowlist:\n  ips:\n    - \"1.1.1.1\" " NOTE "\ndefault_action: deny # no\n",
	     "allowlist:\n  ips:\ndefault_action: deny # no\n");
	edit("# nothing", POLICY_DOMAINS, "c.test",
	     "# nothing\nallowlist:\n  domains:\n    - \"c.test\" " NOTE "\n",
	     "# nothing\nallowlist:\n  domains:\n");
	edit("", POLICY_DOMAINS, "*.c.test",
	     "allowlist:\n  domains:\n    - \"*.c.test\" " NOTE "\n", "allowlist:\n  domains:\n");
	edit("allowlist:\n", POLICY_DOMAINS, "c.test",
	     "allowlist:\n  domains:\n    - \"c.test\" " NOTE "\n", "allowlist:\n  domains:\n");
}

static void names_of_many_bytes_a_character_do_not_shift_the_place(void **state)
{
	(void)state;
	edit("allowlist:\n  domains: # n\xc3\xa4men\n    - m\xc3\xbcnchen.test # \xe2\x82\xac\n",
	     POLICY_DOMAINS, "c.test",
	     "allowlist:\n  domains: # n\xc3\xa4men\n    - m\xc3\xbcnchen.test # \xe2\x82\xac\n"
	     "    - \"c.test\" " NOTE "\n",
	     "allowlist:\n  domains: # n\xc3\xa4men\n    - m\xc3\xbcnchen.test # \xe2\x82\xac\n");
}

static void what_is_there_already_is_said(void **state)
{
	(void)state;
	assert_int_equal(add("allowlist: {domains: [C.test]}", POLICY_DOMAINS, "c.test"), -EEXIST);
	assert_null(made);
}

static void in_a_policy_that_is_no_good_nothing_is_there_already(void **state)
{
	(void)state;
	assert_int_equal(add("allowlist:\n  domains:\n  - c.test\n  ips:\n  - 192.0.2.300\n",
			     POLICY_DOMAINS, "c.test"), -EINVAL);
	assert_int_equal(add("allowlist:\n  domains:\n  - c.test\nother: 1\n", POLICY_DOMAINS,
			     "c.test"), -EINVAL);
	assert_null(made);
}

/* Such a file once kept us looking for its end for ever. */
static void a_list_or_a_mapping_as_a_key_is_refused(void **state)
{
	(void)state;
	assert_int_equal(add("allowlist:\n? domains: [a.test]\ndenylist:\n  domains: [b.test]\n",
			     POLICY_DOMAINS, "c.test"), -EINVAL);
	assert_int_equal(add("? [a]\n: b\n", POLICY_DOMAINS, "c.test"), -EINVAL);
	assert_null(made);
}

static void a_layout_without_a_place_is_refused(void **state)
{
	static const char *const texts[] = {
		"allowlist: {domains: [a.test]}\n",
		"allowlist:\n  domains: [a.test]\n",
		"{}\n",
		"allowlist: {}\n",
		"allowlist:\n  domains:\n  -\n    a.test\n",
		"allowlist:\n  domains: [] # a comment that would have no place\n",
		"---\n...\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(add(texts[i], POLICY_DOMAINS, "c.test"), -ENOTSUP);
		assert_null(made);
	}
	assert_int_equal(add("allowlist: [", POLICY_DOMAINS, "c.test"), -EINVAL);
	assert_int_equal(add("", POLICY_DOMAINS, "a\"b"), -EINVAL);
	assert_int_equal(add("", POLICY_DOMAINS, "not a name"), -EINVAL);
}

static void a_note_carries_its_time_and_once_over_a_restart(void **state)
{
	struct policy_note note = note_of(POLICY_DOMAINS, "c.test"), found[4];

	(void)state;
	note.until = policy_edit_time("2026-11-29T12:00:00Z");
	note.once = true;
	assert_int_equal(policy_edit_add(str_of("allowlist:\n  domains:\n  - a.test # b\n"), &note,
					 &made, &made_len), 0);
	assert_string_equal(made, "allowlist:\n  domains:\n  - a.test # b\n  - \"c.test\" " NOTE
			    " until=2026-11-29T12:00:00Z once\n");
	assert_int_equal(policy_edit_notes(str_of(made), found, 4), 1);
	assert_string_equal(found[0].entry, "c.test");
	assert_string_equal(found[0].id, "4f2a");
	assert_int_equal(found[0].until, 1795953600);
	assert_true(found[0].once);
}

static void only_what_was_unblocked_is_ever_cut_out(void **state)
{
	char *back = NULL;
	size_t len;

	(void)state;
	assert_int_equal(policy_edit_remove(str_of("allowlist:\n  domains:\n  - a.test\n"), "4f2a",
					    &back, &len), -ENOENT);
	assert_null(back);
	/* The word in a name's own comment, of another id. */
	assert_int_equal(policy_edit_remove(str_of("allowlist:\n  domains:\n"
						   "  - a.test " NOTE "b\n"),
					    "4f2a", &back, &len), -ENOENT);
}

static void times_are_read(void **state)
{
	(void)state;
	assert_int_equal(policy_edit_time("1970-01-01T00:00:01Z"), 1);
	assert_int_equal(policy_edit_time("2026-11-29T12:00:00.123456789Z"), 1795953600);
	assert_int_equal(policy_edit_time("2026-11-29T12:00:00"), 0);
	assert_int_equal(policy_edit_time("2026-11-29T12:00:00Zx"), 0);
	assert_int_equal(policy_edit_time("?"), 0);
}

int main(void)
{
#define test(name) cmocka_unit_test_teardown(name, end)
	const struct CMUnitTest tests[] = {
		test(an_entry_goes_behind_the_last_one_and_the_rest_stays_byte_for_byte),
		test(a_file_without_its_last_line_end_gets_one),
		test(line_ends_of_windows_stay),
		test(an_empty_list_is_filled),
		test(what_is_missing_is_made),
		test(names_of_many_bytes_a_character_do_not_shift_the_place),
		test(what_is_there_already_is_said),
		test(in_a_policy_that_is_no_good_nothing_is_there_already),
		test(a_list_or_a_mapping_as_a_key_is_refused),
		test(a_layout_without_a_place_is_refused),
		test(a_note_carries_its_time_and_once_over_a_restart),
		test(only_what_was_unblocked_is_ever_cut_out),
		test(times_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
