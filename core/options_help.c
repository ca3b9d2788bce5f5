/* options_help.c - options.def for people: --help rows, the README's table, and what a value must
 * look like. */
#include "core/options_table.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "core/duration.h"

bool option_read_by(const struct option *option, char program)
{
	return program != '?' && strchr(option->programs, program) != NULL;
}

const char *option_flag(const struct option *option, char out[OPTION_FLAG_MAX])
{
	int len = snprintf(out, OPTION_FLAG_MAX, "--%s", option->name);

	assert(len > 0 && len < OPTION_FLAG_MAX);
	for (int i = 2; i < len; i++)
		out[i] = out[i] == '_' ? '-' : (char)tolower((unsigned char)out[i]);
	return out;
}

static const char *join_words(const struct option_word *words, char out[OPTION_EXPECTS_MAX])
{
	size_t len = (size_t)snprintf(out, OPTION_EXPECTS_MAX, "%s%s",
				      words[1].text ? "one of " : "", words[0].text);

	for (unsigned i = 1; words[i].text && len < OPTION_EXPECTS_MAX; i++)
		len += (size_t)snprintf(out + len, OPTION_EXPECTS_MAX - len, ", %s",
					words[i].text);
	assert(len < OPTION_EXPECTS_MAX);
	return out;
}

const char *option_expects(const struct option *option, char out[OPTION_EXPECTS_MAX])
{
	char min[DURATION_TEXT_MAX], max[DURATION_TEXT_MAX];

	switch (option->type) {
	case OPTION_CHOICE:
		return join_words(option->words, out);
	case OPTION_LEVEL:
		snprintf(out, OPTION_EXPECTS_MAX, "one of TRACE, DEBUG, INFO, WARN, ERROR");
		return out;
	case OPTION_MSEC:
		snprintf(out, OPTION_EXPECTS_MAX,
			 "a time from %s to %s, like 5s or 1m30s (a bare number is seconds)",
			 duration_format(option->min, min), duration_format(option->max, max));
		return out;
	case OPTION_BOOL:
		snprintf(out, OPTION_EXPECTS_MAX, "true or false");
		return out;
	case OPTION_TEXT:
	case OPTION_GIVEN:
		snprintf(out, OPTION_EXPECTS_MAX, "a text");
		return out;
	case OPTION_COUNT:
		snprintf(out, OPTION_EXPECTS_MAX,
			 "a number from %" PRIu64 " to %" PRIu64 ", decimal or 0x hexadecimal",
			 option->min, option->max);
		return out;
	case OPTION_REAL:
		snprintf(out, OPTION_EXPECTS_MAX, "a number above 0, up to %" PRIu64, option->max);
		return out;
	case OPTION_AUTO:
	case OPTION_UINT:
	case OPTION_PORT:
	case OPTION_MILLI:
		break;
	}
	snprintf(out, OPTION_EXPECTS_MAX, "%sa %s from %" PRIu64 " to %" PRIu64,
		 option->type == OPTION_AUTO ? "auto or " : "",
		 option->type == OPTION_PORT ? "port" : "number", option->min, option->max);
	return out;
}

/* The help text, and behind it each word of a choice with its meaning. */
static void print_meaning(FILE *out, const struct option *option)
{
	fprintf(out, "%s", option->help);
	for (unsigned i = 0; option->words && option->words[i].text; i++)
		fprintf(out, "%s %s: %s", i ? ";" : ".", option->words[i].text,
			option->words[i].help);
}

static const char *placeholder(enum option_type type)
{
	switch (type) {
	case OPTION_UINT:
	case OPTION_MILLI:
	case OPTION_AUTO:
	case OPTION_COUNT:
	case OPTION_REAL:
		return " N";
	case OPTION_PORT:
		return " PORT";
	case OPTION_MSEC:
		return " TIME";
	case OPTION_LEVEL:
	case OPTION_CHOICE:
		return " WORD";
	case OPTION_TEXT:
		return " TEXT";
	case OPTION_BOOL:
	case OPTION_GIVEN:
		break;
	}
	return "";
}

void options_help(FILE *out, char program)
{
	char flag[OPTION_FLAG_MAX], left[OPTION_FLAG_MAX + 8];

	for (const struct option *o = option_table; o < option_table + option_table_len; o++) {
		if (!option_read_by(o, program))
			continue;
		snprintf(left, sizeof(left), "%s%s", option_flag(o, flag), placeholder(o->type));
		fprintf(out, "  %-28s ", left);
		print_meaning(out, o);
		if (o->def[0] != '\0')
			fprintf(out, " (default %s)", o->def);
		fputc('\n', out);
	}
}

void options_readme(FILE *out, char program)
{
	fprintf(out, "| Variable | Default | Meaning |\n| --- | --- | --- |\n");
	for (const struct option *o = option_table; o < option_table + option_table_len; o++) {
		if (!option_read_by(o, program))
			continue;
		fprintf(out, "| `%s` | ", o->name);
		if (o->def[0] != '\0')
			fprintf(out, "`%s` | ", o->def);
		else
			fprintf(out, "unset | ");
		print_meaning(out, o);
		fprintf(out, " |\n");
	}
}
