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

enum { PATTERNS_MAX = 16, LINE_MAX_LEN = 1 << 16 };

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

static void names_match_as_the_shared_vectors_say(void **state)
{
	const char *folder = getenv("RINGFENCE_CORPUS");
	int checked = 0, skipped = 0, wrong = 0;
	static char line[LINE_MAX_LEN];
	char path[4096];
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/names.jsonl", folder ? folder : "../shared/corpus");
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		json_t *vector = json_loads(line, 0, NULL);
		bool expected = json_is_true(
			json_object_get(json_object_get(vector, "expect"), "match"));
		int match;

		assert_non_null(vector);
		match = matches(vector);
		skipped += match < 0;
		checked += match >= 0;
		if (match >= 0 && match != (int)expected) {
			print_error("%s: expected %d\n",
				    json_string_value(json_object_get(vector, "id")), expected);
			wrong++;
		}
		json_decref(vector);
	}
	print_message("names corpus: %d checked, %d skipped (inner wildcards and regexes)%s\n",
		      checked, skipped, file ? "" : ": file not found");
	if (file)
		fclose(file);
	else
		skip();
	assert_true(checked > 0);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_match_as_the_shared_vectors_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
