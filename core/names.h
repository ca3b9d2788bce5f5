/* names.h - a set of name patterns; a lookup among a million costs about what one among ten does.
 * Patterns: exact "a.example", "*.example" (any depth, never the apex), "*" (every name). */
#ifndef CORE_NAMES_H
#define CORE_NAMES_H

#include "proto/str.h"

struct names;                           /* immutable once built */

enum name_pattern {                     /* what a pattern is; the last two are not built yet */
	NAME_EXACT, NAME_SUFFIX, NAME_ANY,
	NAME_INNER_WILDCARD, NAME_REGEX,
	NAME_INVALID,
};

/* Classify and normalise one pattern as spec g0efilter 3.3 says (single labels and underscores are
 * good too, decisions.md 23; IDNs are converted to ASCII, UTS-46 non-transitional): blanks around
 * it are dropped, out gets the text to store for the first three kinds.  On NAME_INVALID *why is
 * a static text that says what is wrong, a clause like "it is a URL; write the host name alone". */
enum name_pattern name_pattern_parse(struct str text, char out[256], const char **why);

/* Build from an array of patterns, each already parsed by name_pattern_parse() into text that the
 * set copies.  Duplicates are fine.  0, -ENOMEM (also beyond 4 GiB of text) or -EIO (no random
 * key). */
int names_build(const char *const *patterns, size_t count, struct names **names);
void names_free(struct names *names);

/* Does any pattern match this normalised name (hostname_normalise())?  An empty name matches
 * nothing.  Returns the index of the pattern as given to names_build(), -1: none. Exact before
 * suffix (longest first) before "*". Keyed hash (SipHash-2-4 or the like), no allocation. */
long names_match(const struct names *names, struct str name);

/* The same for each pattern that matches, in that order, one a call: *walk is all zero before the
 * first.  -1: no more. */
struct names_walk { size_t at, labels_left; unsigned step; };
long names_match_next(const struct names *names, struct str name, struct names_walk *walk);

/* The index that names_match() gives for this pattern, itself as name_pattern_parse() wrote it;
 * -1: it is not among them. */
long names_find(const struct names *names, struct str pattern);

size_t names_count(const struct names *names);
const char *names_pattern(const struct names *names, long index);

#endif
