/* reasons.c - the words for why a connection ended. */
#include "core/reasons.h"

#include <assert.h>

#include "proto/str.h"

static const char *const slugs[] = {
#define REASON(name, slug, text) slug,
#include "core/reasons.def"
#undef REASON
};

static const char *const texts[] = {
#define REASON(name, slug, text) text,
#include "core/reasons.def"
#undef REASON
};

static_assert(ARRAY_LEN(slugs) == CLOSE_REASON_COUNT, "every reason has a slug");

const char *reason_slug(enum close_reason reason)
{
	assert(reason < CLOSE_REASON_COUNT);
	return slugs[reason];
}

const char *reason_text(enum close_reason reason)
{
	assert(reason < CLOSE_REASON_COUNT);
	return texts[reason];
}
