/* fuzz_policy_edit.c - the input as a policy file that gets one entry more, and loses it again.
 * What comes out is a good policy that differs by that entry only, in the text by lines put in. */
#include <assert.h>
#include <stdlib.h>

#include "core/policy.h"
#include "core/policy_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct policy_note notes[] = {
	{ .list = POLICY_DOMAINS, .entry = "added.example", .id = "fuzz-1" },
	{ .list = POLICY_IPS, .entry = "2001:db8:ffff::1", .id = "fuzz-2", .until = 1795953600,
	  .once = true },
};

static size_t entries(struct str text)
{
	struct policy *policy = NULL;
	struct policy_error error;
	size_t count;

	assert(policy_parse(text.at, text.len, &policy, &error) == 0);
	count = policy->entry_count;
	policy_free(policy);
	return count;
}

/* Is one what is left of two when one piece is cut out of it, and one of the first put in its
 * place: blanks, "[]" or "~" at most? */
static void check_piece(struct str one, struct str two)
{
	size_t front = 0, back = 0;

	while (front < one.len && front < two.len && one.at[front] == two.at[front])
		front++;
	while (back < one.len - front && back < two.len - front &&
	       one.at[one.len - 1 - back] == two.at[two.len - 1 - back])
		back++;
	for (size_t i = front; i < one.len - back; i++)
		assert(strchr(" \r\n\t[]~NULnul", one.at[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct str text = { (const char *)data, len };
	static struct policy_note found[64];

	for (size_t i = 0; i < ARRAY_LEN(notes); i++) {
		char *more = NULL, *less = NULL;
		size_t more_len, less_len;
		unsigned before = policy_edit_notes(text, found, ARRAY_LEN(found));

		if (policy_edit_add(text, &notes[i], &more, &more_len) < 0) {
			assert(!more);
			continue;
		}
		assert(entries((struct str){ more, more_len }) == entries(text) + 1);
		check_piece(text, (struct str){ more, more_len });
		assert(before == ARRAY_LEN(found) ||
		       policy_edit_notes((struct str){ more, more_len }, found,
					 ARRAY_LEN(found)) == before + 1);
		assert(policy_edit_add((struct str){ more, more_len }, &notes[i], &less,
				       &less_len) < 0);
		assert(policy_edit_remove((struct str){ more, more_len }, notes[i].id, &less,
					  &less_len) == 0 || before > 0);
		if (less)
			assert(entries((struct str){ less, less_len }) == entries(text));
		free(more);
		free(less);
	}
	return 0;
}
