/* corpus.h - the collections of real messages with their verdicts, a JSON object a line.
 * They are not part of the repository: $RINGFENCE_CORPUS, by default ../shared/corpus. */
#ifndef TESTS_UNIT_CORPUS_H
#define TESTS_UNIT_CORPUS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

/* How often an entry was judged wrongly, having told each time. */
typedef unsigned corpus_fn(json_t *entry);

static void corpus_run(const char *name, corpus_fn *judge)
{
	const char *folder = getenv("RINGFENCE_CORPUS");
	unsigned entries = 0, wrong = 0;
	char path[4096];
	json_t *entry;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder ? folder : "../shared/corpus", name);
	file = fopen(path, "r");
	if (!file) {
		print_message("%s: not here, 1 file skipped\n", path);
		skip();
	}
	while ((entry = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL))) {
		wrong += judge(entry);
		entries++;
		json_decref(entry);
	}
	assert_true(feof(file));
	fclose(file);
	print_message("%s: %u entries, %u wrong\n", name, entries, wrong);
	assert_true(entries > 0);
	assert_int_equal(wrong, 0);
}

#endif
