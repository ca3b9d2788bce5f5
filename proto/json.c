/* json.c - reading JSON in place. */
#include "proto/json.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_space(struct str text, size_t at)
{
	while (at < text.len && is_space(text.at[at]))
		at++;
	return at;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Each of these begins at its first character and returns where it ends, 0 when it is none. */

static size_t end_of_string(struct str text, size_t at)
{
	for (at++; at < text.len && text.at[at] != '"'; at++) {
		if ((unsigned char)text.at[at] < ' ')
			return 0;
		if (text.at[at] != '\\')
			continue;
		at++;
		if (at >= text.len || !text.at[at] || !strchr("\"\\/bfnrtu", text.at[at]))
			return 0;
		for (size_t i = 1; text.at[at] == 'u' && i <= 4; i++)
			if (at + i >= text.len || hex_digit(text.at[at + i]) < 0)
				return 0;
	}
	return at < text.len ? at + 1 : 0;
}

static size_t skip_digits(struct str text, size_t at)
{
	while (at < text.len && text.at[at] >= '0' && text.at[at] <= '9')
		at++;
	return at;
}

static size_t end_of_number(struct str text, size_t at)
{
	size_t digits = at + (text.at[at] == '-'), end = skip_digits(text, digits);

	if (end == digits || (text.at[digits] == '0' && end > digits + 1))
		return 0;
	if (end < text.len && text.at[end] == '.') {
		digits = end + 1;
		end = skip_digits(text, digits);
		if (end == digits)
			return 0;
	}
	if (end < text.len && ascii_lower(text.at[end]) == 'e') {
		digits = end + 1;
		if (digits < text.len && (text.at[digits] == '+' || text.at[digits] == '-'))
			digits++;
		end = skip_digits(text, digits);
		if (end == digits)
			return 0;
	}
	return end;
}

static size_t end_of_word(struct str text, size_t at)
{
	static const struct str words[] = { { "true", 4 }, { "false", 5 }, { "null", 4 } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (text.len - at >= words[i].len &&
		    memcmp(text.at + at, words[i].at, words[i].len) == 0)
			return at + words[i].len;
	return 0;
}

static size_t end_of_scalar(struct str text, size_t at)
{
	char c = text.at[at];

	if (c == '"')
		return end_of_string(text, at);
	return c == '-' || (c >= '0' && c <= '9') ? end_of_number(text, at) :
						     end_of_word(text, at);
}

/* What may come next inside an object or array. */
enum expect { VALUE, VALUE_OR_END, NAME, NAME_OR_END, COMMA_OR_END };

/* "name": - where its value begins. */
static size_t skip_name(struct str text, size_t at)
{
	size_t end = text.at[at] == '"' ? end_of_string(text, at) : 0;

	if (end == 0)
		return 0;
	end = skip_space(text, end);
	return end < text.len && text.at[end] == ':' ? end + 1 : 0;
}

/* No recursion: the open brackets are in a stack of their own. */
static size_t end_of_value(struct str text, size_t at)
{
	char open[JSON_DEPTH_MAX];
	unsigned depth = 0;
	enum expect expect = VALUE;

	for (;;) {
		char c;

		at = skip_space(text, at);
		if (at >= text.len)
			return 0;
		c = text.at[at];
		if (depth > 0 && c == (open[depth - 1] == '{' ? '}' : ']') &&
		    (expect == VALUE_OR_END || expect == NAME_OR_END || expect == COMMA_OR_END)) {
			depth--;
			at++;
			expect = COMMA_OR_END;
		} else if (expect == COMMA_OR_END) {
			if (c != ',')
				return 0;
			at++;
			expect = open[depth - 1] == '{' ? NAME : VALUE;
			continue;
		} else if (expect == NAME || expect == NAME_OR_END) {
			at = skip_name(text, at);
			if (at == 0)
				return 0;
			expect = VALUE;
			continue;
		} else if (c == '{' || c == '[') {
			if (depth == JSON_DEPTH_MAX)
				return 0;
			open[depth++] = c;
			at++;
			expect = c == '{' ? NAME_OR_END : VALUE_OR_END;
			continue;
		} else {
			at = end_of_scalar(text, at);
			if (at == 0)
				return 0;
			expect = COMMA_OR_END;
		}
		if (depth == 0)
			return at;
	}
}

bool json_valid(struct str text)
{
	size_t end = end_of_value(text, 0);

	return end > 0 && skip_space(text, end) == text.len;
}

/* The next value from at on, without blanks; *at is moved behind it and a comma. */
static bool take_value(struct str text, size_t *at, struct str *value)
{
	size_t begin = skip_space(text, *at);
	size_t end = begin < text.len ? end_of_value(text, begin) : 0;

	if (end == 0)
		return false;
	*value = (struct str){ text.at + begin, end - begin };
	end = skip_space(text, end);
	*at = end < text.len && text.at[end] == ',' ? end + 1 : end;
	return true;
}

/* Behind the bracket that opens it; 0: it is none. */
static size_t enter(struct str text, char bracket)
{
	size_t at = skip_space(text, 0);

	return at < text.len && text.at[at] == bracket ? at + 1 : 0;
}

struct str json_member(struct str object, const char *name)
{
	size_t at = enter(object, '{'), len = strlen(name);

	while (at > 0 && (at = skip_space(object, at)) < object.len && object.at[at] == '"') {
		size_t end = end_of_string(object, at);
		bool same = end == at + len + 2 && memcmp(object.at + at + 1, name, len) == 0;
		struct str value;

		at = skip_name(object, at);
		if (at == 0 || !take_value(object, &at, &value))
			break;
		if (same)
			return value;
	}
	return (struct str){ NULL, 0 };
}

bool json_element(struct str array, size_t *at, struct str *value)
{
	if (*at == 0)
		*at = enter(array, '[');
	return *at > 0 && take_value(array, at, value);
}

static size_t put_utf8(char out[4], uint32_t point)
{
	if (point < 0x80) {
		out[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (char)(0xc0 | point >> 6);
		out[1] = (char)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (char)(0xe0 | point >> 12);
		out[1] = (char)(0x80 | (point >> 6 & 0x3f));
		out[2] = (char)(0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | point >> 18);
	out[1] = (char)(0x80 | (point >> 12 & 0x3f));
	out[2] = (char)(0x80 | (point >> 6 & 0x3f));
	out[3] = (char)(0x80 | (point & 0x3f));
	return 4;
}

static uint32_t four_digits(const char *at)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 4 | (uint32_t)hex_digit(at[i]);
	return value;
}

/* The escape at *at, a backslash; moved behind it. */
static uint32_t take_escape(struct str value, size_t *at)
{
	static const char letters[] = "\"\\/bfnrt", points[] = "\"\\/\b\f\n\r\t";
	char c = value.at[*at + 1];
	uint32_t point, low;

	if (c != 'u') {
		*at += 2;
		return (unsigned char)points[strchr(letters, c) - letters];
	}
	point = four_digits(value.at + *at + 2);
	*at += 6;
	if (point < 0xd800 || point > 0xdfff)
		return point;
	if (point < 0xdc00 && *at + 6 < value.len && value.at[*at] == '\\' &&
	    value.at[*at + 1] == 'u') {
		low = four_digits(value.at + *at + 2);
		if (low >= 0xdc00 && low <= 0xdfff) {
			*at += 6;
			return 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
		}
	}
	return 0xfffd;                          /* half of a pair */
}

bool json_text(struct str value, char *out, size_t size)
{
	size_t len = 0, at = 1;

	if (value.len < 2 || value.at[0] != '"' || end_of_string(value, 0) != value.len)
		return false;
	while (at < value.len - 1) {
		char bytes[4] = { value.at[at] };
		size_t count = 1;

		if (value.at[at] == '\\') {
			uint32_t point = take_escape(value, &at);

			if (point == 0)
				return false;
			count = put_utf8(bytes, point);
		} else {
			at++;
		}
		if (len + count >= size)
			return false;
		memcpy(out + len, bytes, count);
		len += count;
	}
	out[len] = '\0';
	return true;
}

bool json_is_true(struct str value)
{
	return str_equal(value, STR("true"));
}
