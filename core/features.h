/* features.h - which kernel features are used: all that are there, but for those masked by
 * RINGFENCE_FEATURES, so that tests walk the slower ways too. */
#ifndef CORE_FEATURES_H
#define CORE_FEATURES_H

#include <stdbool.h>

struct features {
#define FEATURE(name, word, text) bool name;
#include "core/features.def"
#undef FEATURE
	unsigned recv_len;              /* most bytes received at once; tests make it small */
};

/* Set before the first loop, then only read. */
extern struct features features;

/* "auto": all; "none": none; "-recv-multishot,recv=7": all but that, 7 bytes at a time.
 * 0, or -EINVAL for anything else. */
int features_parse(const char *text);

#endif
