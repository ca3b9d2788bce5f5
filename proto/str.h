/* str.h - borrowed text, and what a parser can say.
 * A struct str never owns its bytes and never outlives the buffer they are in. */
#ifndef PROTO_STR_H
#define PROTO_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* PARSED_MORE: a prefix of something valid, ask again with more bytes.
 * PARSED_BAD:  no continuation can make it valid. */
enum parsed { PARSED_OK, PARSED_MORE, PARSED_BAD };

struct str {
	const char *at;
	size_t len;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

static inline struct str str_of(const char *text)
{
	return (struct str){ text, text ? strlen(text) : 0 };
}

static inline bool str_equal(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Copy text into out, cut to size - 1 bytes, always NUL-terminated. */
static inline void text_copy(char *out, size_t size, const char *text)
{
	size_t len = strnlen(text, size - 1);

	memcpy(out, text, len);
	out[len] = '\0';
}

/* ASCII only: what RFC 4343 and RFC 9110 mean by case-insensitive. */
static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool str_equal_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (ascii_lower(a.at[i]) != ascii_lower(b.at[i]))
			return false;
	return true;
}

#endif
