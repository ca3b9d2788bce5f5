/* test_names_corpus.c - the shared vectors of patterns and names.
 * The folder is $RINGFENCE_CORPUS, by default ../shared/corpus; what is missing is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/names.h"
#include "proto/hostname.h"
#include "tests/unit/corpus.h"

enum { PATTERNS_MAX = 16 };

static unsigned left_out;

/* Does one of the vector's patterns match its name?  -1: it has a kind that is not built yet. */
static int matches(const json_t *vector)
{
	static char stored[PATTERNS_MAX][256];
	const char *patterns[PATTERNS_MAX],
		*name = json_string_value(json_object_get(vector, "name"));
	char normal[HOSTNAME_MAX + 1];
	size_t i, count = 0, len = hostname_normalise(str_of(name), normal);
	struct names *names;
	json_t *pattern;
	bool match;

	json_array_foreach(json_object_get(vector, "patterns"), i, pattern)
	{
		const char *why = NULL;
		enum name_pattern kind;

		assert_true(count < PATTERNS_MAX);
		kind = name_pattern_parse(str_of(json_string_value(pattern)), stored[count], &why);
		if (kind == NAME_INNER_WILDCARD || kind == NAME_REGEX)
			return -1;
		assert_int_not_equal(kind, NAME_INVALID);
		patterns[count] = stored[count];
		count++;
	}
	assert_int_equal(names_build(patterns, count, &names), 0);
	match = len > 0 && names_match(names, (struct str){ normal, len }) >= 0;
	names_free(names);
	return match;
}

static unsigned judge(json_t *vector)
{
	bool expected = json_is_true(json_object_get(json_object_get(vector, "expect"), "match"));
	int match = matches(vector);

	left_out += match < 0;
	if (match < 0 || match == (int)expected)
		return 0;
	print_error("%s: expected %d\n", json_string_value(json_object_get(vector, "id")),
		    expected);
	return 1;
}

static void names_match_as_the_shared_vectors_say(void **state)
{
	(void)state;
	corpus_run("names.jsonl", judge);
	print_message("of these left out: %u (inner wildcards and regexes)\n", left_out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_match_as_the_shared_vectors_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
