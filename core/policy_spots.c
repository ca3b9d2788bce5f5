/* policy_spots.c - where things are in a policy's text.
 * Whether it is a good policy is for policy_parse() to say; here anything strange is -EINVAL. */
#include "core/policy_spots.h"

#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

struct finder {
	yaml_parser_t parser;
	yaml_event_t event;             /* in hand */
	struct str text;
	size_t at, line, column;        /* of the last mark, in bytes and as libyaml counts */
	struct policy_spots *spots;
};

/* Marks come in the order of the text, but for a few that go back a little: then from the start.
 * Lines are counted by '\n', columns in characters. */
static size_t offset_of(struct finder *finder, yaml_mark_t mark)
{
	struct str text = finder->text;

	if (mark.line < finder->line || (mark.line == finder->line &&
					 mark.column < finder->column)) {
		finder->at = finder->line = finder->column = 0;
	}
	if (finder->at == 0 && text.len >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0)
		finder->at = 3;
	while (finder->at < text.len && (finder->line < mark.line ||
					 finder->column < mark.column)) {
		if (text.at[finder->at] == '\n') {
			if (finder->line == mark.line)
				break;
			finder->line++;
			finder->column = 0;
			finder->at++;
			continue;
		}
		finder->at++;
		while (finder->at < text.len && ((unsigned char)text.at[finder->at] & 0xc0) == 0x80)
			finder->at++;
		finder->column++;
	}
	return finder->at;
}

static int next(struct finder *finder)
{
	yaml_event_delete(&finder->event);
	if (yaml_parser_parse(&finder->parser, &finder->event))
		return finder->event.type == YAML_ALIAS_EVENT ||
		       finder->event.type == YAML_NO_EVENT ? -EINVAL : 0;      /* behind the end */
	finder->event = (yaml_event_t){ 0 };
	return finder->parser.error == YAML_MEMORY_ERROR ? -ENOMEM : -EINVAL;
}

static bool scalar_is(const struct finder *finder, const char *text)
{
	return finder->event.type == YAML_SCALAR_EVENT &&
	       str_equal((struct str){ (const char *)finder->event.data.scalar.value,
				       finder->event.data.scalar.length }, str_of(text));
}

static bool is_null(const struct finder *finder)
{
	return finder->event.type == YAML_SCALAR_EVENT &&
	       finder->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (scalar_is(finder, "") || scalar_is(finder, "~") || scalar_is(finder, "null") ||
		scalar_is(finder, "Null") || scalar_is(finder, "NULL"));
}

/* Whatever is in hand, up to its end. */
static int skip(struct finder *finder)
{
	unsigned depth = 0;
	int err = 0;

	do {
		switch (finder->event.type) {
		case YAML_SEQUENCE_START_EVENT:
		case YAML_MAPPING_START_EVENT:
			depth++;
			break;
		case YAML_SEQUENCE_END_EVENT:
		case YAML_MAPPING_END_EVENT:
			depth--;
			break;
		default:
			break;
		}
		if (depth > 0)
			err = next(finder);
	} while (err == 0 && depth > 0);
	return err;
}

/* The value of a key that is in hand and means nothing to us.  A list or a mapping can be a key too
 * ("? [a]: b"): such a file is none of ours. */
static int skip_value(struct finder *finder)
{
	int err = finder->event.type == YAML_SCALAR_EVENT ? next(finder) : -EINVAL;

	return err < 0 ? err : skip(finder);
}

static int add_item(struct finder *finder, enum policy_list list)
{
	struct policy_spots *spots = finder->spots;
	struct policy_item item = { .list = list, .len = finder->event.data.scalar.length };

	if (spots->item_count == spots->item_cap) {
		size_t cap = spots->item_cap ? 2 * spots->item_cap : 64;
		struct policy_item *grown = reallocarray(spots->items, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		spots->items = grown;
		spots->item_cap = cap;
	}
	item.begin = offset_of(finder, finder->event.start_mark);
	item.end = offset_of(finder, finder->event.end_mark);
	item.value = malloc(item.len + 1);
	if (!item.value)
		return -ENOMEM;
	memcpy(item.value, finder->event.data.scalar.value, item.len);
	item.value[item.len] = '\0';
	spots->items[spots->item_count++] = item;
	return 0;
}

/* The key is in hand: note it, and take its value in hand. */
static int begin_value(struct finder *finder, struct policy_spot *spot)
{
	int err;

	if (spot->there)
		return -EINVAL;                 /* twice */
	spot->there = true;
	spot->key = offset_of(finder, finder->event.start_mark);
	spot->key_end = offset_of(finder, finder->event.end_mark);
	err = next(finder);
	if (err < 0)
		return err;
	spot->value_begin = offset_of(finder, finder->event.start_mark);
	spot->value_end = offset_of(finder, finder->event.end_mark);
	spot->is_empty = is_null(finder);
	if (spot->is_empty && scalar_is(finder, ""))
		spot->value_begin = spot->value_end = spot->key_end;
	return 0;
}

static int read_list(struct finder *finder, enum policy_list list)
{
	struct policy_spot *spot = &finder->spots->lists[list];
	size_t count = finder->spots->item_count;
	int err = begin_value(finder, spot);

	if (err < 0 || spot->is_empty)
		return err;
	if (finder->event.type != YAML_SEQUENCE_START_EVENT)
		return -EINVAL;
	spot->is_block = finder->event.data.sequence_start.style == YAML_BLOCK_SEQUENCE_STYLE;
	while ((err = next(finder)) == 0 && finder->event.type != YAML_SEQUENCE_END_EVENT) {
		if (finder->event.type != YAML_SCALAR_EVENT)
			return -EINVAL;
		err = add_item(finder, list);
		if (err < 0)
			return err;
	}
	if (err == 0 && !spot->is_block && finder->spots->item_count == count) {
		spot->is_empty = true;
		spot->value_end = offset_of(finder, finder->event.end_mark);
	}
	return err;
}

static int read_allowlist(struct finder *finder)
{
	struct policy_spot *spot = &finder->spots->allowlist;
	bool first = true;
	int err = begin_value(finder, spot);

	if (err < 0 || spot->is_empty)
		return err;
	if (finder->event.type != YAML_MAPPING_START_EVENT)
		return -EINVAL;
	spot->is_block = finder->event.data.mapping_start.style == YAML_BLOCK_MAPPING_STYLE;
	while ((err = next(finder)) == 0 && finder->event.type != YAML_MAPPING_END_EVENT) {
		if (first)
			spot->first_key = offset_of(finder, finder->event.start_mark);
		first = false;
		if (scalar_is(finder, "domains"))
			err = read_list(finder, POLICY_DOMAINS);
		else if (scalar_is(finder, "ips"))
			err = read_list(finder, POLICY_IPS);
		else
			err = skip_value(finder);
		if (err < 0)
			return err;
	}
	if (first)
		spot->is_block = false;         /* {} */
	return err;
}

static int read_root(struct finder *finder)
{
	struct policy_spots *spots = finder->spots;
	bool first = true;
	int err = 0;

	if (finder->event.type != YAML_MAPPING_START_EVENT)
		return is_null(finder) ? 0 : -EINVAL;
	spots->root_is_block = finder->event.data.mapping_start.style == YAML_BLOCK_MAPPING_STYLE;
	while ((err = next(finder)) == 0 && finder->event.type != YAML_MAPPING_END_EVENT) {
		if (first)
			spots->root_first_key = offset_of(finder, finder->event.start_mark);
		first = false;
		if (scalar_is(finder, "allowlist"))
			err = read_allowlist(finder);
		else
			err = skip_value(finder);
		if (err < 0)
			return err;
	}
	spots->root_is_block &= !first;
	return err;
}

static int read_stream(struct finder *finder)
{
	int err;

	do {
		err = next(finder);
		if (err < 0 || finder->event.type == YAML_STREAM_END_EVENT)
			return err;
	} while (finder->event.type != YAML_DOCUMENT_START_EVENT);
	finder->spots->root_there = true;
	err = next(finder);
	return err < 0 ? err : read_root(finder);
}

int policy_spots_find(struct str text, struct policy_spots *spots)
{
	struct finder finder = { .text = text, .spots = spots };
	int err;

	*spots = (struct policy_spots){ 0 };
	if (!yaml_parser_initialize(&finder.parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&finder.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&finder.parser, (const yaml_char_t *)text.at, text.len);
	err = read_stream(&finder);
	yaml_event_delete(&finder.event);
	yaml_parser_delete(&finder.parser);
	if (err < 0)
		policy_spots_finish(spots);
	return err;
}

void policy_spots_finish(struct policy_spots *spots)
{
	for (size_t i = 0; i < spots->item_count; i++)
		free(spots->items[i].value);
	free(spots->items);
	*spots = (struct policy_spots){ 0 };
}
