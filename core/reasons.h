/* reasons.h - why a connection ended: see reasons.def. */
#ifndef CORE_REASONS_H
#define CORE_REASONS_H

enum close_reason {
#define REASON(name, slug, text) CLOSE_##name,
#include "core/reasons.def"
#undef REASON
	CLOSE_REASON_COUNT,
};

const char *reason_slug(enum close_reason reason);
const char *reason_text(enum close_reason reason);

#endif
