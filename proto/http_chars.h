/* http_chars.h - which bytes HTTP allows where.
 * Private to http.c and http_body.c.  RFC 9110 5.5, 5.6.2. */
#ifndef PROTO_HTTP_CHARS_H
#define PROTO_HTTP_CHARS_H

#include <stdbool.h>
#include <stdint.h>

/* tchar: what methods and field names are made of */
static inline bool http_is_token(uint8_t c)
{
	static const bool token[256] = {
		['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
		['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true,
		['\''] = true, ['*'] = true, ['+'] = true, ['-'] = true, ['.'] = true,
		['^'] = true, ['_'] = true, ['`'] = true, ['|'] = true, ['~'] = true,
	};

	return token[c];
}

/* field-vchar, SP and HTAB; obs-text passes, real clients send UTF-8 in values */
static inline bool http_is_text(uint8_t c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

#endif
