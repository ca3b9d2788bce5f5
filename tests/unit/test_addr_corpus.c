/* test_addr_corpus.c - the shared vectors of addresses that may be dialled for a name.
 * The folder is $RINGFENCE_CORPUS, by default ../shared/corpus; what is missing is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/addr.h"

enum { LINE_MAX_LEN = 1 << 16 };

/* The vectors mean the strict setting: global or not at all. */
static bool is_as_expected(const json_t *vector)
{
	const json_t *expect = json_object_get(vector, "expect");
	const char *text = json_string_value(json_object_get(vector, "addr"));
	bool dial = json_is_true(json_object_get(expect, "dial_by_name"));
	union addr addr;

	assert_true(addr_parse(str_of(text), &addr));
	if ((addr_classify(&addr) == ADDR_GLOBAL) == dial)
		return true;
	print_error("%s: expected %s\n", text, dial ? "global" : "not global");
	return false;
}

static void addresses_are_dialled_as_the_shared_vectors_say(void **state)
{
	const char *folder = getenv("RINGFENCE_CORPUS");
	int checked = 0, wrong = 0;
	static char line[LINE_MAX_LEN];
	char path[4096];
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/addrs.jsonl", folder ? folder : "../shared/corpus");
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		json_t *vector = json_loads(line, 0, NULL);

		assert_non_null(vector);
		wrong += !is_as_expected(vector);
		checked++;
		json_decref(vector);
	}
	print_message("addrs corpus: %d checked%s\n", checked,
		      file ? "" : ": file not found, skipped");
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
		cmocka_unit_test(addresses_are_dialled_as_the_shared_vectors_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
