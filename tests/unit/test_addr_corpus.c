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
#include "tests/unit/corpus.h"

/* The vectors mean the strict setting: global or not at all. */
static unsigned judge(json_t *vector)
{
	const json_t *expect = json_object_get(vector, "expect");
	const char *text = json_string_value(json_object_get(vector, "addr"));
	bool dial = json_is_true(json_object_get(expect, "dial_by_name"));
	union addr addr;

	assert_true(addr_parse(str_of(text), &addr));
	if ((addr_classify(&addr) == ADDR_GLOBAL) == dial)
		return 0;
	print_error("%s: expected %s\n", text, dial ? "global" : "not global");
	return 1;
}

static void addresses_are_dialled_as_the_shared_vectors_say(void **state)
{
	(void)state;
	corpus_run("addrs.jsonl", judge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_dialled_as_the_shared_vectors_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
