/* ends.c - which row an end belongs to, and what it adds to it. */
#include "dashboard/ends.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINK_TEXT_MAX = 512 };

static struct str text_at(const json_t *fields, const char *key)
{
	const json_t *value = json_object_get(fields, key);

	if (!json_is_string(value))
		return (struct str){ NULL, 0 };
	return (struct str){ json_string_value(value), json_string_length(value) };
}

static json_int_t number_at(const json_t *fields, const char *key)
{
	return json_integer_value(json_object_get(fields, key));
}

int64_t end_link(const json_t *fields)
{
	struct str hostname = text_at(fields, "hostname"), flow = text_at(fields, "flow_id");
	json_int_t conn = number_at(fields, "conn");
	char text[LINK_TEXT_MAX];
	int64_t link;
	int len;

	if (conn <= 0 || hostname.len == 0 || flow.len == 0 ||
	    hostname.len + flow.len > LINK_TEXT_MAX - 32)
		return 0;
	len = snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT "\n%.*s\n%.*s", conn,
		       (int)flow.len, flow.at, (int)hostname.len, hostname.at);
	crypto_generichash((unsigned char *)&link, sizeof(link), (const unsigned char *)text,
			   (size_t)len, NULL, 0);
	return link ? link : 1;
}

static bool has_ending(struct str text, const char *ending)
{
	size_t len = strlen(ending);

	return text.len > len && memcmp(text.at + text.len - len, ending, len) == 0;
}

bool end_init(struct end *end, const json_t *item)
{
	*end = (struct end){ .fields = NULL };
	if (!has_ending(text_at(item, "msg"), ".closed") || json_object_get(item, "action"))
		return false;
	end->fields = entry_merge_fields(item);
	end->link = end_link(end->fields);
	return end->link != 0;
}

void end_finish(struct end *end)
{
	json_decref(end->fields);
	end->fields = NULL;
}

static bool same(const json_t *one, const json_t *other, const char *key)
{
	return json_equal(json_object_get(one, key), json_object_get(other, key));
}

bool end_complete(struct end *end, struct entry *row)
{
	/* The reason of a row is that of its decision. */
	static const struct {
		const char *from, *to;
	} added[] = {
		{ "bytes_up", "bytes_up" }, { "bytes_down", "bytes_down" },
		{ "duration_ms", "duration_ms" }, { "reason", "end_reason" }, { "err", "err" },
	};

	if (row->link != end->link || !same(row->fields, end->fields, "hostname") ||
	    !same(row->fields, end->fields, "conn") || !same(row->fields, end->fields, "flow_id"))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(added); i++) {
		json_t *value = json_object_get(end->fields, added[i].from);

		/* Without memory for one of them it is not in the row. */
		if (json_is_string(value) || (json_is_integer(value) &&
					      json_integer_value(value) >= 0))
			(void)json_object_set(row->fields, added[i].to, value);
	}
	row->link = 0;
	end->used = true;
	return true;
}

struct place {
	int64_t link;
	size_t row;
};

static int compare_places(const void *a, const void *b)
{
	const struct place *left = a, *right = b;

	if (left->link != right->link)
		return left->link < right->link ? -1 : 1;
	return left->row < right->row ? -1 : left->row > right->row;
}

/* The number of places before the first one behind all those with the link. */
static size_t places_until(const struct place *places, size_t count, int64_t link)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (places[middle].link <= link)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void ends_match(struct end *ends, size_t count, struct entry *rows, size_t row_count)
{
	struct place *places;
	size_t used = 0;

	places = count > 0 && row_count > 0 ? calloc(row_count, sizeof(*places)) : NULL;
	/* Without memory for it they are looked for in the store. */
	if (!places)
		return;
	for (size_t i = 0; i < row_count; i++)
		if (rows[i].link != 0)
			places[used++] = (struct place){ rows[i].link, i };
	qsort(places, used, sizeof(*places), compare_places);
	for (size_t i = 0; i < count; i++) {
		size_t at = places_until(places, used, ends[i].link);

		if (at == 0 || !end_complete(&ends[i], &rows[places[at - 1].row]))
			continue;
		/* Earlier requests of the connection get no end of their own. */
		while (at-- > 0 && places[at].link == ends[i].link)
			rows[places[at].row].link = 0;
	}
	free(places);
}
