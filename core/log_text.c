/* log_text.c - escaping. */
#include "core/log_text.h"

#include <assert.h>
#include <stdio.h>

static void put_bytes(struct line *line, const char *bytes, size_t len)
{
	assert((size_t)(line->end - line->at) >= len);
	if (len == 0)
		return;                         /* bytes may be NULL */
	memcpy(line->at, bytes, len);
	line->at += len;
}

static void put_char(struct line *line, char c)
{
	put_bytes(line, &c, 1);
}

void line_put(struct line *line, const char *text)
{
	put_bytes(line, text, strlen(text));
}

static void put_hex(struct line *line, const char *prefix, unsigned digits, uint32_t value)
{
	line_put(line, prefix);
	while (digits-- > 0)
		put_char(line, "0123456789abcdef"[value >> 4 * digits & 0xf]);
}

/* Take one character off text: its code point, or -1 and one byte when it is not UTF-8
 * (RFC 3629: no surrogates, nothing overlong, nothing above U+10FFFF). */
static int32_t take_utf8(struct str *text)
{
	static const int32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	uint8_t byte = (uint8_t)text->at[0];
	unsigned more = byte < 0x80 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
	int32_t point = more == 0 ? byte : byte & (0x3f >> more);
	bool good = byte < 0x80 || (byte >= 0xc0 && byte < 0xf8 && more < text->len);

	for (unsigned i = 1; good && i <= more; i++) {
		uint8_t next = (uint8_t)text->at[i];

		good = (next & 0xc0) == 0x80;
		point = point << 6 | (next & 0x3f);
	}
	if (!good || point < least[more] || point > 0x10ffff ||
	    (point >= 0xd800 && point < 0xe000)) {
		point = -1;
		more = 0;
	}
	text->at += 1 + more;
	text->len -= 1 + more;
	return point;
}

static bool plain(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (c <= ' ' || c > '~' || c == '"' || c == '\\')
			return false;
	}
	return true;
}

/* The letter behind the backslash, 0: none. */
static char short_escape(int32_t point, const char *points, const char *letters)
{
	const char *found = point > 0 && point < 0x80 ? strchr(points, point) : NULL;

	return found ? letters[found - points] : '\0';
}

void line_put_quoted(struct line *line, struct str text)
{
	bool cut = text.len > LOG_TEXT_MAX;

	if (cut)
		text.len = LOG_TEXT_MAX;
	if (plain(text)) {
		put_bytes(line, text.at, text.len);
		line_put(line, cut ? "..." : "");
		return;
	}
	put_char(line, '"');
	while (text.len > 0) {
		uint8_t byte = (uint8_t)text.at[0];
		int32_t point = take_utf8(&text);
		char letter = short_escape(point, "\"\\\a\b\f\n\r\t\v", "\"\\abfnrtv");

		if (letter) {
			put_char(line, '\\');
			put_char(line, letter);
		} else if (point >= ' ' && point <= '~') {
			put_char(line, (char)point);
		} else if (point < 0x80) {
			put_hex(line, "\\x", 2, byte);
		} else if (point < 0x10000) {
			put_hex(line, "\\u", 4, (uint32_t)point);
		} else {
			put_hex(line, "\\U", 8, (uint32_t)point);
		}
	}
	line_put(line, cut ? "...\"" : "\"");
}

void line_put_json(struct line *line, struct str text)
{
	bool cut = text.len > LOG_TEXT_MAX;

	if (cut)
		text.len = LOG_TEXT_MAX;
	put_char(line, '"');
	while (text.len > 0) {
		int32_t point = take_utf8(&text);
		char letter = short_escape(point, "\"\\\b\f\n\r\t", "\"\\bfnrt");

		if (letter) {
			put_char(line, '\\');
			put_char(line, letter);
		} else if (point >= ' ' && point <= '~') {
			put_char(line, (char)point);
		} else if (point < 0x10000) {
			put_hex(line, "\\u", 4, point < 0 ? 0xfffd : (uint32_t)point);
		} else {
			put_hex(line, "\\u", 4, 0xd7c0 + ((uint32_t)point >> 10));
			put_hex(line, "\\u", 4, 0xdc00 | ((uint32_t)point & 0x3ff));
		}
	}
	line_put(line, cut ? "...\"" : "\"");
}
