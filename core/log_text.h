/* log_text.h - text from outside, made harmless for a terminal and for a JSON reader: nothing but
 * printable ASCII comes out. */
#ifndef CORE_LOG_TEXT_H
#define CORE_LOG_TEXT_H

#include "proto/str.h"

enum {
	LOG_TEXT_MAX = 1024,            /* bytes shown of one text, then "..." */
	LOG_TEXT_GROWTH = 6,            /* at worst, one byte becomes \u00XX */
};

/* A line being built; it is a bug of the caller's to give it too little room. */
struct line {
	char *at, *end;
};

void line_put(struct line *line, const char *text);     /* as it is: only texts of our own */

/*
 * For the console, as g0efilter does (zerolog): as it is, when all is printable ASCII without
 * blank, quote and backslash; otherwise in quotes, escaped as Go's strconv.QuoteToASCII does.
 * (g0efilter leaves printable Unicode as it is; here look-alikes and right-to-left marks show.)
 */
void line_put_quoted(struct line *line, struct str text);

/* A JSON string with its quotes, RFC 8259 section 7.  Bytes that are no UTF-8 become \ufffd. */
void line_put_json(struct line *line, struct str text);

#endif
