/* policy_walk.c - is this text a policy in YAML's plain part, and where is each entry?
 *
 * One function for each thing that may stand in the file, root to entry; none calls itself, so
 * the depth is that of the schema whatever is in the file.  Each starts with its first event in
 * hand and ends with its last. */
#include "core/policy_walk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <yaml.h>

struct walker {
	yaml_parser_t parser;
	yaml_event_t event;             /* in hand */
	struct str text;
	struct policy_walk *walk;
	struct policy_error *error;
	const char *section;            /* "policy", "allowlist.domains" ...: where we are */
	bool deny;                      /* in the denylist */
};

typedef int read_fn(struct walker *w);

struct key {
	const char *name;
	read_fn *read;
};

static const struct str no_value;

#define STAR_HINT \
	"begins with '*', which means something else in YAML; put it in quotes: " \
	"write e.g. \"*.example.com\" or \"*\""

static const char *field_of(const struct walker *w)
{
	const char *dot = strchr(w->section, '.');

	if (!dot)
		return "";
	return strcmp(dot, ".ips") == 0 ? "ip" : "domain";
}

__attribute__((format(printf, 4, 5)))
static int fail(struct walker *w, yaml_mark_t mark, struct str value, const char *what, ...)
{
	const struct policy_place place = {
		w->section, (unsigned)mark.line + 1, (unsigned)mark.column + 1,
	};
	char sentence[sizeof(w->error->text)];
	va_list args;

	va_start(args, what);
	vsnprintf(sentence, sizeof(sentence), what, args);
	va_end(args);
	return policy_fail(w->error, &place, field_of(w), value, "%s", sentence);
}

/* What stands at a mark, up to the end of the line or of the entry, or a comment. */
static struct str text_at(const struct walker *w, yaml_mark_t mark)
{
	const char *at = w->text.at, *end = at + w->text.len, *stop, *stops;

	if (w->text.len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
		at += 3;
	for (size_t line = 0; at < end && line < mark.line; at++)
		line += *at == '\n';
	/* Columns count characters, not bytes. */
	for (size_t column = 0; at < end && column < mark.column && *at != '\n'; column++)
		for (at++; at < end && ((unsigned char)*at & 0xc0) == 0x80; at++)
			;
	stops = at < end && strchr("[{", *at) ? "\n\r" : "\n\r,]}";
	for (stop = at; stop < end && !strchr(stops, *stop); stop++)
		if (*stop == '#' && stop > at && stop[-1] == ' ')
			break;
	while (stop > at && stop[-1] == ' ')
		stop--;
	return (struct str){ at, (size_t)(stop - at) };
}

/* Line and column (in bytes) of an offset: a reader error comes without a mark. */
static yaml_mark_t mark_of_byte(const struct walker *w, size_t offset)
{
	yaml_mark_t mark = { 0 };

	for (size_t i = 0; i < offset && i < w->text.len; i++) {
		bool new_line = w->text.at[i] == '\n';

		mark.line += new_line;
		mark.column = new_line ? 0 : mark.column + 1;
	}
	return mark;
}

/* libyaml's words for common slips (parts of its context and problem; NULL: any), and ours for
 * someone who does not know YAML's grammar.  The first that fits counts. */
static const struct slip {
	const char *context, *problem;
	bool at_context;                /* the context's mark is where to look */
	bool show;                      /* quote what stands there */
	const char *say;
} slips[] = {
	{ "scanning an alias", NULL, true, true, STAR_HINT },
	{ "scanning an anchor", NULL, true, true,
	  "begins with '&', which means something else in YAML; put it in quotes" },
	{ "scanning a quoted scalar", "unexpected", true, true,
	  "begins with a quote that is never closed" },
	{ NULL, "unknown escape character", false, false,
	  "unknown \\ escape in double quotes; use single quotes" },
	{ NULL, "cannot start any token", false, true,
	  "begins with what YAML keeps for itself; put it in quotes; indent with spaces only" },
	{ NULL, "mapping values are not allowed", false, false,
	  "unexpected ':'; is a line indented otherwise, or is a quote missing?" },
	{ NULL, "expected node content", false, false,
	  "a value is missing inside [ ], or begins with ':' and needs quotes, e.g. \"::1\"" },
};

static bool slip_fits(const struct slip *slip, const char *context, const char *problem)
{
	return (!slip->context || strstr(context, slip->context)) &&
	       (!slip->problem || strstr(problem, slip->problem));
}

/* libyaml stopped. */
static int fail_syntax(struct walker *w)
{
	const yaml_parser_t *parser = &w->parser;
	const char *context = parser->context ? parser->context : "";
	const char *problem = parser->problem ? parser->problem : "not understood";

	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR)
		return fail(w, mark_of_byte(w, parser->problem_offset), no_value,
			    "this is not UTF-8 text: %s", problem);
	for (size_t i = 0; i < ARRAY_LEN(slips); i++) {
		const struct slip *slip = &slips[i];
		yaml_mark_t mark = slip->at_context ? parser->context_mark : parser->problem_mark;

		if (slip_fits(slip, context, problem))
			return fail(w, mark, slip->show ? text_at(w, mark) : no_value, "%s",
				    slip->say);
	}
	return fail(w, parser->problem_mark, no_value,
		    "not good YAML: %s%s%s; look at indentation, dashes and quotes", context,
		    *context ? ", " : "", problem);
}

/* What is YAML but has no business in a policy: it would make entries that nobody sees.
 * Returns what is wrong with the event in hand, or NULL. */
static const char *what_is_foreign(const yaml_event_t *event)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return STAR_HINT;
	case YAML_SCALAR_EVENT:
		for (size_t i = 0; i < event->data.scalar.length; i++)
			if (event->data.scalar.value[i] < ' ')
				return "has a line end or a control character in it";
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
		break;
	default:
		break;
	}
	if (anchor)
		return "has an anchor (&), which a policy does not use";
	return tag ? "has a tag (!), which a policy does not use; quote text that begins with '!'"
		   : NULL;
}

static int next(struct walker *w)
{
	const char *foreign;

	yaml_event_delete(&w->event);
	if (!yaml_parser_parse(&w->parser, &w->event)) {
		w->event = (yaml_event_t){ 0 };
		return fail_syntax(w);
	}
	foreign = what_is_foreign(&w->event);
	if (foreign)
		return fail(w, w->event.start_mark, text_at(w, w->event.start_mark), "%s", foreign);
	return 0;
}

static struct str scalar(const struct walker *w)
{
	return (struct str){ (const char *)w->event.data.scalar.value,
			     w->event.data.scalar.length };
}

/* YAML's spellings of "no value"; in quotes they are text. */
static bool is_null(const struct walker *w)
{
	static const char *const spellings[] = { "", "~", "null", "Null", "NULL" };

	if (w->event.type != YAML_SCALAR_EVENT ||
	    w->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(spellings); i++)
		if (str_equal(scalar(w), str_of(spellings[i])))
			return true;
	return false;
}

/* A mapping with some of these keys, each once, or nothing at all. */
static int read_keys(struct walker *w, const struct key *keys, size_t count, const char *known)
{
	const char *section = w->section;
	unsigned seen = 0;
	int err;

	if (is_null(w))
		return 0;
	if (w->event.type != YAML_MAPPING_START_EVENT)
		return fail(w, w->event.start_mark, text_at(w, w->event.start_mark),
			    "stands where a key with a colon belongs: %s", known);
	for (err = next(w); err == 0 && w->event.type != YAML_MAPPING_END_EVENT; err = next(w)) {
		yaml_mark_t mark = w->event.start_mark;
		size_t i = 0;

		if (w->event.type == YAML_SCALAR_EVENT)
			while (i < count && !str_equal(scalar(w), str_of(keys[i].name)))
				i++;
		if (w->event.type != YAML_SCALAR_EVENT || i == count)
			return fail(w, mark,
				    w->event.type == YAML_SCALAR_EVENT ? scalar(w)
								       : text_at(w, mark),
				    "is not a key that a policy has here; known: %s", known);
		if (seen & 1U << i)
			return fail(w, mark, scalar(w),
				    "is there twice; put all entries under one");
		seen |= 1U << i;
		err = next(w);
		if (err == 0)
			err = keys[i].read(w);
		if (err < 0)
			break;
		w->section = section;
	}
	return err;
}

static int note_mark(struct walker *w, struct mark_list *list)
{
	if (list->count == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 64;
		struct mark *grown = reallocarray(list->marks, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->marks = grown;
		list->cap = cap;
	}
	list->marks[list->count++] = (struct mark){
		.line = (uint32_t)w->event.start_mark.line + 1,
		.column = (uint32_t)w->event.start_mark.column + 1,
		.is_null = is_null(w),
	};
	return 0;
}

/* A list stands where a text should: "- [2001:db8::1]:80" is one to YAML, and so is "[]". */
static int fail_entry(struct walker *w)
{
	static const char *const lists[] = { "domains:", "ips:" };
	struct str value = text_at(w, w->event.start_mark);

	if (w->event.type == YAML_SEQUENCE_START_EVENT)
		return fail(w, w->event.start_mark, value,
			    "is a list within the list; write one entry after each dash, and IPv6 "
			    "addresses without brackets");
	/* to_allow="domains: evil.test", as a log line has it. */
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (value.len > strlen(lists[i]) &&
		    memcmp(value.at, lists[i], strlen(lists[i])) == 0)
			return fail(w, w->event.start_mark, value,
				    "names its list too; write only \"- \" and what follows "
				    "\"%s\", in the list of that name", lists[i]);
	return fail(w, w->event.start_mark, value,
		    "is a key with a value; drop the ':' and what follows, or put an address that "
		    "ends with ':' in quotes");
}

static int read_entries(struct walker *w, struct mark_list *list)
{
	int err;

	if (is_null(w))
		return 0;
	if (w->event.type != YAML_SEQUENCE_START_EVENT)
		return fail(w, w->event.start_mark, text_at(w, w->event.start_mark),
			    "must be in a list: write \"- \" before each entry, one entry a line");
	for (err = next(w); err == 0 && w->event.type != YAML_SEQUENCE_END_EVENT; err = next(w)) {
		if (w->event.type != YAML_SCALAR_EVENT)
			return fail_entry(w);
		if (w->deny && scalar(w).len > 0 && !is_null(w))
			return fail(w, w->event.start_mark, scalar(w),
				    "is denied, but this version does not support deny lists yet; "
				    "what is not on the allowlist is blocked anyway");
		if (!w->deny) {
			err = note_mark(w, list);
			if (err < 0)
				return err;
		}
	}
	return err;
}

static int read_ips(struct walker *w)
{
	w->section = w->deny ? "denylist.ips" : "allowlist.ips";
	return read_entries(w, &w->walk->ips);
}

static int read_domains(struct walker *w)
{
	w->section = w->deny ? "denylist.domains" : "allowlist.domains";
	return read_entries(w, &w->walk->domains);
}

static int read_section(struct walker *w, bool deny)
{
	static const struct key keys[] = { { "ips", read_ips }, { "domains", read_domains } };

	w->deny = deny;
	w->section = deny ? "denylist" : "allowlist";
	return read_keys(w, keys, ARRAY_LEN(keys), "ips, domains");
}

static int read_allowlist(struct walker *w)
{
	return read_section(w, false);
}

static int read_denylist(struct walker *w)
{
	return read_section(w, true);
}

static int read_default_action(struct walker *w)
{
	w->section = "default_action";
	if (is_null(w))
		return 0;
	if (w->event.type == YAML_SCALAR_EVENT && str_equal_nocase(scalar(w), STR("deny")))
		return 0;
	if (w->event.type == YAML_SCALAR_EVENT && str_equal_nocase(scalar(w), STR("allow")))
		return fail(w, w->event.start_mark, scalar(w),
			    "is not supported by this version yet; write deny and list what is "
			    "allowed");
	return fail(w, w->event.start_mark, text_at(w, w->event.start_mark),
		    "is not an action; write deny");
}

static int read_document(struct walker *w)
{
	static const struct key keys[] = {
		{ "default_action", read_default_action },
		{ "allowlist", read_allowlist },
		{ "denylist", read_denylist },
	};
	int err = next(w);              /* the root */

	if (err == 0)
		err = read_keys(w, keys, ARRAY_LEN(keys), "default_action, allowlist, denylist");
	return err == 0 ? next(w) : err;        /* the end of the document */
}

static int read_stream(struct walker *w)
{
	int err = next(w);              /* the start of the stream */

	if (err == 0)
		err = next(w);
	if (err < 0 || w->event.type == YAML_STREAM_END_EVENT)
		return err;             /* an empty file, or comments only */
	err = read_document(w);
	if (err == 0)
		err = next(w);
	if (err == 0 && w->event.type != YAML_STREAM_END_EVENT)
		return fail(w, w->event.start_mark, no_value,
			    "a second document begins (---); a policy is one document");
	return err;
}

int policy_walk(struct str text, struct policy_walk *walk, struct policy_error *error)
{
	struct walker w = { .text = text, .walk = walk, .error = error, .section = "policy" };
	int err;

	walk->ips.list = "allowlist.ips";
	walk->domains.list = "allowlist.domains";
	if (!yaml_parser_initialize(&w.parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&w.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&w.parser, (const yaml_char_t *)text.at, text.len);
	err = read_stream(&w);
	yaml_event_delete(&w.event);
	yaml_parser_delete(&w.parser);
	return err;
}

void policy_walk_finish(struct policy_walk *walk)
{
	free(walk->ips.marks);
	free(walk->domains.marks);
	*walk = (struct policy_walk){ 0 };
}
