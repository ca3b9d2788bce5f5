/* payload.c - bodies that agents ship. */
#include "dashboard/payload.h"

#include <stdlib.h>
#include <zlib.h>

/* An empty object takes three bytes of text and 224 of memory. */
enum { CONTAINERS_MAX = 50000, VALUES_MAX = 500000 };

bool payload_inflate(struct str packed, struct out *plain)
{
	z_stream stream = { .next_in = (Bytef *)(uintptr_t)packed.at,
			    .avail_in = (uInt)packed.len };
	unsigned char piece[16384];
	int result = Z_OK;

	if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
		return false;
	while (result == Z_OK && !plain->failed) {
		stream.next_out = piece;
		stream.avail_out = sizeof(piece);
		result = inflate(&stream, Z_NO_FLUSH);
		if (result == Z_OK || result == Z_STREAM_END)
			out_put(plain, (char *)piece, sizeof(piece) - stream.avail_out);
		/* Several members one after another are one body. */
		if (result == Z_STREAM_END && stream.avail_in > 0)
			result = inflateReset(&stream);
	}
	inflateEnd(&stream);
	return result == Z_STREAM_END && !plain->failed;
}

/* Behind the end of the string that begins here, after its quotation mark. */
static size_t skip_string(struct str body, size_t at)
{
	const char *end;

	while ((end = memchr(body.at + at, '"', body.len - at))) {
		size_t stop = (size_t)(end - body.at), escapes = 0;

		while (escapes < stop - at && body.at[stop - escapes - 1] == '\\')
			escapes++;
		if (escapes % 2 == 0)
			return stop + 1;
		at = stop + 1;
	}
	return body.len;
}

static bool is_object(struct str body)
{
	size_t blanks = 0;

	while (blanks < body.len && strchr(" \t\r\n", body.at[blanks]))
		blanks++;
	return blanks < body.len && body.at[blanks] == '{';
}

bool payload_too_many(struct str body, bool lines)
{
	size_t items = 1, containers = 0, values = 0, depth = 0, i = 0;

	/* Where this loses its way, and beyond its depth, the parser stops. */
	while (i < body.len && depth <= JSON_PARSER_MAX_DEPTH) {
		switch (body.at[i++]) {
		case '"':
			i = skip_string(body, i);
			break;
		case '{':
		case '[':
			depth++;
			containers++;
			break;
		case '}':
		case ']':
			depth--;
			break;
		case ',':
			values++;
			items += depth == 1 && !lines;
			break;
		case '\n':
			items += lines;
			break;
		}
	}
	return containers > CONTAINERS_MAX || values > VALUES_MAX ||
	       (items > PAYLOAD_ITEMS_MAX && (lines || !is_object(body)));
}

static json_t *load(struct str text, json_error_t *error)
{
	return json_loadb(text.at, text.len, JSON_ALLOW_NUL, error);
}

/* One JSON text; a second try without what is no UTF-8. */
static json_t *load_repaired(struct str text)
{
	json_error_t error;
	json_t *value = load(text, &error);
	struct out repaired;
	size_t len;
	char *again;

	if (value || json_error_code(&error) != json_error_invalid_utf8)
		return value;
	out_init(&repaired, text.len * 3);
	out_utf8(&repaired, text);
	again = out_take(&repaired, &len);
	if (again)
		value = load((struct str){ again, len }, &error);
	free(again);
	return value;
}

static json_t *load_lines(struct str body)
{
	json_t *items = json_array();

	while (body.len > 0 && items) {
		const char *end = memchr(body.at, '\n', body.len);
		struct str line = { body.at, end ? (size_t)(end - body.at) : body.len };
		json_t *item;

		body.at += line.len + (end ? 1 : 0);
		body.len -= line.len + (end ? 1 : 0);
		if (line.len > 0 && line.at[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0)
			continue;
		item = load_repaired(line);
		if (json_array_append_new(items, item) < 0) {   /* also when item is NULL */
			json_decref(items);
			return NULL;
		}
	}
	return items;
}

static bool all_objects(const json_t *items)
{
	for (size_t i = 0; i < json_array_size(items); i++)
		if (!json_is_object(json_array_get(items, i)))
			return false;
	return true;
}

json_t *payload_parse(struct str body, bool lines, const char **error)
{
	json_t *items = lines ? load_lines(body) : load_repaired(body);

	if (json_is_object(items)) {
		json_t *array = json_array();

		(void)json_array_append_new(array, items);
		items = array;
	}
	*error = NULL;
	if (!json_is_array(items) || !all_objects(items))
		*error = "invalid json";
	else if (json_array_size(items) == 0)
		*error = "empty payload";
	if (!*error)
		return items;
	json_decref(items);
	return NULL;
}
