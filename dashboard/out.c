/* out.c - growing text and JSON. */
#include "dashboard/out.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "dashboard/rfc3339.h"

enum { FIRST_CAP = 256, KEYS_ON_STACK = 64 };

void out_init(struct out *out, size_t max)
{
	*out = (struct out){ .max = max };
}

void out_finish(struct out *out)
{
	free(out->at);
	*out = (struct out){ .max = out->max };
}

/* Room for len more and a NUL. */
static bool reserve(struct out *out, size_t len)
{
	size_t need = out->len + len + 1, cap = out->cap ? out->cap : FIRST_CAP;
	char *at;

	if (out->failed || need < len || need > out->max + 1) {
		out->failed = true;
		return false;
	}
	if (need <= out->cap)
		return true;
	while (cap < need)
		cap *= 2;
	at = realloc(out->at, cap);
	if (!at) {
		out->failed = true;
		return false;
	}
	out->at = at;
	out->cap = cap;
	return true;
}

void out_put(struct out *out, const char *data, size_t len)
{
	if (!reserve(out, len))
		return;
	if (len > 0)
		memcpy(out->at + out->len, data, len);
	out->len += len;
	out->at[out->len] = '\0';
}

void out_text(struct out *out, const char *text)
{
	out_put(out, text, strlen(text));
}

void out_print(struct out *out, const char *format, ...)
{
	va_list args, again;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	if (len >= 0 && reserve(out, (size_t)len)) {
		vsnprintf(out->at + out->len, (size_t)len + 1, format, again);
		out->len += (size_t)len;
	}
	va_end(again);
	va_end(args);
}

char *out_take(struct out *out, size_t *len)
{
	char *text;

	out_put(out, "", 0);            /* an empty text is a text too */
	if (out->failed) {
		out_finish(out);
		return NULL;
	}
	text = out->at;
	*len = out->len;
	*out = (struct out){ .max = out->max };
	return text;
}

/* The length of the well-formed UTF-8 sequence at text[0..len), 0: there is none. */
static size_t utf8_len(const unsigned char *at, size_t len)
{
	static const struct { unsigned char first, last, low, high, len; } forms[] = {
		{ 0x00, 0x7f, 0x80, 0xbf, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (at[0] < forms[i].first || at[0] > forms[i].last)
			continue;
		if (forms[i].len > len)
			return 0;
		if (forms[i].len > 1 && (at[1] < forms[i].low || at[1] > forms[i].high))
			return 0;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((at[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static void put_ascii(struct out *out, unsigned char c)
{
	switch (c) {
	case '"':
		out_put(out, "\\\"", 2);
		break;
	case '\\':
		out_put(out, "\\\\", 2);
		break;
	case '\n':
		out_put(out, "\\n", 2);
		break;
	case '\r':
		out_put(out, "\\r", 2);
		break;
	case '\t':
		out_put(out, "\\t", 2);
		break;
	case 0x7f:
		out_put(out, "\x7f", 1);
		break;
	default:
		out_print(out, "\\u%04x", c);
	}
}

void out_json_str(struct out *out, struct str text)
{
	const unsigned char *at = (const unsigned char *)text.at, *end = at + text.len;

	out_put(out, "\"", 1);
	while (at < end) {
		const unsigned char *run = at;
		size_t len;

		while (at < end && is_plain(*at))
			at++;
		if (at > run)
			out_put(out, (const char *)run, (size_t)(at - run));
		if (at == end)
			break;
		len = utf8_len(at, (size_t)(end - at));
		if (len == 0)
			out_text(out, "\\ufffd");
		else if (len == 1)
			put_ascii(out, *at);
		else if (len == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] & 0xfe) == 0xa8)
			out_print(out, "\\u20%02x", at[2] & 0x3f);      /* U+2028, U+2029 */
		else
			out_put(out, (const char *)at, len);
		at += len ? len : 1;
	}
	out_put(out, "\"", 1);
}

void out_utf8(struct out *out, struct str text)
{
	const unsigned char *at = (const unsigned char *)text.at, *end = at + text.len;

	while (at < end) {
		const unsigned char *run = at;
		size_t len = 1;

		while (at < end && (len = utf8_len(at, (size_t)(end - at))) > 0)
			at += len;
		out_put(out, (const char *)run, (size_t)(at - run));
		if (at < end) {
			out_text(out, "\xef\xbf\xbd");
			at++;
		}
	}
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_object(struct out *out, const json_t *object)
{
	size_t count = json_object_size(object), at = 0;
	const char *on_stack[KEYS_ON_STACK], **keys = on_stack;
	const char *key;
	json_t *member;

	if (count > KEYS_ON_STACK)
		keys = calloc(count, sizeof(*keys));
	if (!keys) {
		out->failed = true;
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)object, key, member)
		keys[at++] = key;
	qsort(keys, count, sizeof(*keys), by_bytes);
	out_put(out, "{", 1);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			out_put(out, ",", 1);
		out_json_str(out, str_of(keys[i]));
		out_put(out, ":", 1);
		out_json(out, json_object_get(object, keys[i]));
	}
	out_put(out, "}", 1);
	if (keys != on_stack)
		free(keys);
}

static void put_real(struct out *out, double number)
{
	char text[40];

	/* The shortest that reads back as the same number. */
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, number);
		if (strtod(text, NULL) == number)
			break;
	}
	out_text(out, text);
}

void out_json(struct out *out, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		put_object(out, value);
		break;
	case JSON_ARRAY:
		out_put(out, "[", 1);
		for (size_t i = 0; i < json_array_size(value); i++) {
			if (i > 0)
				out_put(out, ",", 1);
			out_json(out, json_array_get(value, i));
		}
		out_put(out, "]", 1);
		break;
	case JSON_STRING:
		out_json_str(out, (struct str){ json_string_value(value),
						json_string_length(value) });
		break;
	case JSON_INTEGER:
		out_print(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		put_real(out, json_real_value(value));
		break;
	case JSON_TRUE:
		out_text(out, "true");
		break;
	case JSON_FALSE:
		out_text(out, "false");
		break;
	case JSON_NULL:
		out_text(out, "null");
		break;
	}
}

void out_key(struct out *out, const char *key)
{
	if (out->len > 0 && !strchr("{[", out->at[out->len - 1]))
		out_put(out, ",", 1);
	out_put(out, "\"", 1);
	out_text(out, key);
	out_put(out, "\":", 2);
}

void out_member(struct out *out, const char *key, struct str text)
{
	if (text.len == 0)
		return;
	out_key(out, key);
	out_json_str(out, text);
}

void out_member_int(struct out *out, const char *key, int64_t number)
{
	out_key(out, key);
	out_print(out, "%" PRId64, number);
}

void out_member_time(struct out *out, const char *key, int64_t time_ns)
{
	char text[RFC3339_TEXT_MAX];

	if (time_ns == 0)
		return;
	out_key(out, key);
	out_print(out, "\"%s\"", rfc3339_format(time_ns, text));
}
