/* out.h - text that grows up to a bound, and JSON as Go's encoder writes it.
 * Nothing here fails in between: what would go over the bound, or get no memory, sets failed and
 * the text stays as it was; look once, at the end. */
#ifndef DASHBOARD_OUT_H
#define DASHBOARD_OUT_H

#include <jansson.h>

#include "proto/str.h"

struct out {
	char *at;                       /* NUL-terminated when not NULL */
	size_t len, cap, max;
	bool failed;
};

void out_init(struct out *out, size_t max);
void out_finish(struct out *out);       /* also of one that is all zero */

void out_put(struct out *out, const char *data, size_t len);
void out_text(struct out *out, const char *text);
void out_print(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text, which the caller frees; NULL when it failed.  out is empty again. */
char *out_take(struct out *out, size_t *len);

/* "..." with < > & U+2028 U+2029 and controls as \u00XX; bytes that are no UTF-8 become U+FFFD. */
void out_json_str(struct out *out, struct str text);
/* The bytes as they are, but those that are no UTF-8 become U+FFFD. */
void out_utf8(struct out *out, struct str text);
/* Compact, keys in the order of their bytes. */
void out_json(struct out *out, const json_t *value);
/* ,"key":  (without the comma behind a '{' or '[' or at the beginning) */
void out_key(struct out *out, const char *key);
/* ,"key":"text"; nothing when the text is empty. */
void out_member(struct out *out, const char *key, struct str text);
void out_member_int(struct out *out, const char *key, int64_t number);
/* ,"key":"2026-07-05T00:25:09.123456789Z"; nothing for 0. */
void out_member_time(struct out *out, const char *key, int64_t time_ns);

#endif
