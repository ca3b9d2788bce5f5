/* fuzz_json.c - the input as JSON: what is good is walked through, each piece of it good too. */
#include <assert.h>

#include "proto/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void walk(struct str value, unsigned depth)
{
	struct str inner;
	char text[64];
	size_t at = 0;

	assert(json_valid(value));
	assert(depth <= JSON_DEPTH_MAX);
	(void)json_text(value, text, sizeof(text));
	(void)json_is_true(value);
	inner = json_member(value, "pending");
	if (inner.at)
		walk(inner, depth + 1);
	while (json_element(value, &at, &inner))
		walk(inner, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct str text = { (const char *)data, len };

	if (json_valid(text))
		walk(text, 0);
	return 0;
}
