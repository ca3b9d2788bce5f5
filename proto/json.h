/* json.h - reading JSON (RFC 8259) in place: values are pieces of the text, nothing is copied.
 *
 * A text is checked once, as a whole; the others take pieces of a checked text. */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include "proto/str.h"

enum { JSON_DEPTH_MAX = 32 };

/* Is this one value, of at most so many within each other, and nothing behind it? */
bool json_valid(struct str text);

/* The value of the first member with this name (which needs no escapes); at NULL: it is no object,
 * or has none. */
struct str json_member(struct str object, const char *name);
/* The elements of an array one after another: *at begins at 0.  False behind the last. */
bool json_element(struct str array, size_t *at, struct str *value);

/* A string, unescaped to UTF-8 and closed by NUL; false: it is none, does not fit, or has a NUL. */
bool json_text(struct str value, char *out, size_t size);
bool json_is_true(struct str value);

#endif
