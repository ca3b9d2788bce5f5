/* options.c - from words in the environment and on the command line to struct options.
 * A value is stored by its type, or refused in one line that says what would be good. */
#include "core/options_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/duration.h"

/* The words of each CHOICE: words_destination_check[] = { { "pin", ... }, ..., { NULL, NULL } }. */
#define CHOICE(programs, field, name, def, help) \
	static const struct option_word words_##field[] = {
#define WORD(constant, word, help) { word, help },
#define CHOICE_END { NULL, NULL } };
#include "core/options.def"

const struct option option_table[] = {
#define OPTION(programs, type, field, name, def, min, max, help) \
	{ programs, OPTION_##type, #name, def, min, max, help, NULL, \
	  offsetof(struct options, field) },
#define CHOICE(programs, field, name, def, help) \
	{ programs, OPTION_CHOICE, #name, def, 0, 0, help, words_##field, \
	  offsetof(struct options, field) },
#include "core/options.def"
};
const size_t option_table_len = ARRAY_LEN(option_table);

static const struct not_built {
	const char *name, *value, *other, *advice;
} not_built[] = {
#define NOT_BUILT(name, value, other, advice) { #name, value, other, advice },
#include "core/options.def"
};

/* A value as it can be shown: a terminal gets printable ASCII, and not too much of it. */
struct shown {
	char text[96];
};

static struct shown show(const char *text)
{
	struct shown shown;
	size_t len = strlen(text), max = sizeof(shown.text) - 1, i;

	for (i = 0; i < len && i < max; i++)
		shown.text[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	shown.text[i] = '\0';
	if (len > max)
		memcpy(shown.text + max - 3, "...", 3);
	return shown;
}

const char *const option_blanks = " \t\r\n\v\f";

static char *trim(char *text)
{
	size_t len;

	text += strspn(text, option_blanks);
	len = strlen(text);
	while (len > 0 && strchr(option_blanks, text[len - 1]))
		len--;
	if (text[len] != '\0')
		text[len] = '\0';
	return text;
}

/* The value of a variable, NULL when it is unset, empty or blank. */
static char *from_environment(const char *name)
{
	char *text = getenv(name);

	if (text == NULL)
		return NULL;
	text = trim(text);
	return *text != '\0' ? text : NULL;
}

bool option_number(const char *text, size_t len, uint64_t min, uint64_t max, uint64_t *number)
{
	uint64_t value = 0;

	if (len == 0 || len > 18)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (value < min || value > max)
		return false;
	*number = value;
	return true;
}

/* What both Python's int() and socat's strtoul() take for the same number: decimal or 0x
 * hexadecimal, a plus; no leading zeros, which mean octal to one of them. */
static bool parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
	uint64_t value = 0;

	text += *text == '+';
	if (text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
		return (text[0] != '0' || text[1] == '\0') &&
		       option_number(text, strlen(text), min, max, number);
	text += 2;
	if (*text == '\0' || strspn(text, "0123456789abcdefABCDEF") != strlen(text) ||
	    strlen(text) > 15)
		return false;
	value = strtoull(text, NULL, 16);
	if (value < min || value > max)
		return false;
	*number = value;
	return true;
}

/* What Go's ParseFloat takes in the usual form, above 0: no hexadecimal, no infinity. */
static bool parse_real(const char *text, uint64_t max, double *number)
{
	char *end;
	double value;

	if (*text == '\0' || strspn(text, "0123456789.eE+-") != strlen(text))
		return false;
	value = strtod(text, &end);
	if (*end != '\0' || !(value > 0) || value > (double)max)
		return false;
	*number = value;
	return true;
}

static bool parse_word(const struct option_word *words, const char *text, unsigned *index)
{
	for (unsigned i = 0; words[i].text; i++) {
		if (strcasecmp(words[i].text, text) == 0) {
			*index = i;
			return true;
		}
	}
	return false;
}

/* An unknown word is INFO too, and has to be told from it. */
static bool parse_level(const char *text, enum log_level *level)
{
	*level = log_level_parse(text);
	return *level != LOG_LEVEL_INFO || strcasecmp(text, "info") == 0;
}

static bool parse_msec(const struct option *option, const char *text, uint64_t *ms)
{
	uint64_t value;

	if (!duration_parse(str_of(text), &value) || value < option->min || value > option->max)
		return false;
	*ms = value;
	return true;
}

/* Store text in its field by its type; false, the field untouched or at its type's own fallback,
 * when it is not a value of that type. */
static bool store(struct options *options, const struct option *option, const char *text)
{
	void *field = (char *)options + option->offset;
	uint64_t number = 0;
	unsigned word;

	switch (option->type) {
	case OPTION_TEXT:
		*(const char **)field = text;
		return true;
	case OPTION_BOOL:
		*(bool *)field = strcasecmp(text, "true") == 0;
		return *(bool *)field || strcasecmp(text, "false") == 0;
	case OPTION_GIVEN:
		*(bool *)field = *text != '\0';
		return true;
	case OPTION_LEVEL:
		return parse_level(text, field);
	case OPTION_MSEC:
		return parse_msec(option, text, field);
	case OPTION_CHOICE:
		if (!parse_word(option->words, text, &word))
			return false;
		memcpy(field, &word, sizeof(word));     /* every enum here is as wide as unsigned */
		return true;
	case OPTION_REAL:
		return parse_real(text, option->max, field);
	case OPTION_COUNT:
		if (!parse_count(text, option->min, option->max, &number))
			return false;
		*(uint32_t *)field = (uint32_t)number;
		return true;
	case OPTION_AUTO:
	case OPTION_UINT:
	case OPTION_PORT:
	case OPTION_MILLI:
		break;
	}
	if (!(option->type == OPTION_AUTO && strcasecmp(text, "auto") == 0) &&
	    !option_number(text, strlen(text), option->min, option->max, &number))
		return false;
	if (option->type == OPTION_PORT)
		*(uint16_t *)field = (uint16_t)number;
	else if (option->type == OPTION_MILLI)
		*(uint64_t *)field = number;
	else
		*(uint32_t *)field = (uint32_t)number;
	return true;
}

#define CHOICE(programs, field, name, def, help) \
	static_assert(sizeof(enum field) == sizeof(unsigned), "store() copies an unsigned");
#include "core/options.def"

/* The next warning's place; once there is none left, the last one says so. */
static char *next_warning(struct options *options)
{
	static char unused[OPTION_WARNING_MAX];

	if (options->warning_count < OPTION_WARNINGS_MAX)
		return options->warnings[options->warning_count++];
	snprintf(options->warnings[OPTION_WARNINGS_MAX - 1], OPTION_WARNING_MAX,
		 "more arguments or variables than could be listed are not good");
	return unused;
}

/* The entry for a value that is only in a later version, NULL: none. */
static const struct not_built *find_not_built(const char *name, const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(not_built); i++) {
		const struct not_built *row = &not_built[i];

		if (strcmp(row->name, name) == 0 &&
		    (row->value[0] == '\0' || strcasecmp(row->value, text) == 0))
			return row;
	}
	return NULL;
}

static void say_not_built(const struct not_built *row, const char *spelled,
			  char error[OPTION_ERROR_MAX])
{
	if (row->value[0] != '\0')
		snprintf(error, OPTION_ERROR_MAX, "%s: %s is not in this version yet: %s",
			 spelled, row->value, row->advice);
	else
		snprintf(error, OPTION_ERROR_MAX, "%s: not in this version yet: %s",
			 spelled, row->advice);
}

/* spelled: the variable or flag, as the user wrote it. */
static int set(struct options *options, const struct option *option, const char *spelled,
	       const char *text, char error[OPTION_ERROR_MAX])
{
	const struct not_built *later = find_not_built(option->name, text);
	char expects[OPTION_EXPECTS_MAX];
	bool good;

	if (later) {
		say_not_built(later, spelled, error);
		return -EINVAL;
	}
	if (store(options, option, text))
		return 0;
	option_expects(option, expects);
	/* A seed takes any text for true or false: a container that had one still starts. */
	if (!strchr(option->programs, '?') && option->type != OPTION_BOOL) {
		snprintf(error, OPTION_ERROR_MAX, "%s: \"%s\" is not %s", spelled, show(text).text,
			 expects);
		return -EINVAL;
	}
	good = store(options, option, option->def);
	assert(good);
	snprintf(next_warning(options), OPTION_WARNING_MAX, "%s: \"%s\" is not %s: using %s",
		 spelled, show(text).text, expects, option->def);
	return 0;
}

/* Words that g0efilter takes for the other one in silence: LEARNING_MODE=1, ENFORCE=dryrun. */
static void warn_of_unknown_words(struct options *options)
{
	for (size_t i = 0; i < ARRAY_LEN(not_built); i++) {
		const struct not_built *row = &not_built[i];
		const char *text = row->other[0] ? from_environment(row->name) : NULL;

		if (text && strcasecmp(text, row->other) != 0 && strcasecmp(text, row->value) != 0)
			snprintf(next_warning(options), OPTION_WARNING_MAX,
				 "%s: \"%s\" is not %s: using %s", row->name, show(text).text,
				 row->other, row->other);
	}
}

/* The option that argument names, up to its '=', for this program. */
static const struct option *find_flag(const char *argument, char program)
{
	size_t len = strcspn(argument, "=");
	char flag[OPTION_FLAG_MAX];

	for (size_t i = 0; i < option_table_len; i++) {
		option_flag(&option_table[i], flag);
		if (strlen(flag) == len && memcmp(flag, argument, len) == 0 &&
		    option_read_by(&option_table[i], program))
			return &option_table[i];
	}
	return NULL;
}

/* Take argv[0], and argv[1] if it is the value: returns how many, or -EINVAL. */
static int take_flag(struct options *options, const struct option *option, int argc, char **argv,
		     char error[OPTION_ERROR_MAX])
{
	bool alone = option->type == OPTION_BOOL || option->type == OPTION_GIVEN;
	char flag[OPTION_FLAG_MAX];
	char *value = strchr(argv[0], '=');
	int taken = 1, err;

	option_flag(option, flag);
	if (value) {
		value++;
	} else if (!alone && argc > 1) {
		value = argv[1];
		taken = 2;
	}
	value = value ? trim(value) : NULL;
	if (!alone && value == NULL) {
		snprintf(error, OPTION_ERROR_MAX, "%s: needs a value", flag);
		return -EINVAL;
	}
	if (value && *value == '\0')            /* empty equals unset */
		err = store(options, option, option->def) ? 0 : -EINVAL;
	else
		err = set(options, option, flag, value ? value : "true", error);
	return err < 0 ? err : taken;
}

static int read_flags(struct options *options, char program, int argc, char **argv, bool lenient,
		      char error[OPTION_ERROR_MAX])
{
	for (int at = 0; at < argc; ) {
		const struct option *option = find_flag(argv[at], program);
		int taken = 1;

		if (option) {
			taken = take_flag(options, option, argc - at, argv + at, error);
			if (taken < 0)
				return taken;
		} else if (lenient) {
			snprintf(next_warning(options), OPTION_WARNING_MAX,
				 "unknown argument \"%s\" is ignored", show(argv[at]).text);
		} else {
			snprintf(error, OPTION_ERROR_MAX, "unknown argument \"%s\": see --help",
				 show(argv[at]).text);
			return -EINVAL;
		}
		at += taken;
	}
	return 0;
}

/* What no single value shows. */
static int check_together(const struct options *options, char error[OPTION_ERROR_MAX])
{
	struct port_range ranges[OPTION_PORT_RANGES_MAX];

	if (options->http_port == options->https_port) {
		snprintf(error, OPTION_ERROR_MAX,
			 "HTTPS_PORT: %u is HTTP_PORT too: give them different ports",
			 options->https_port);
		return -EINVAL;
	}
	if (options_port_list(options->inbound_ports, ranges, ARRAY_LEN(ranges)) < 0) {
		snprintf(error, OPTION_ERROR_MAX,
			 "INBOUND_PORTS: \"%s\" is not any, none or a list like 80,8000-8010 "
			 "(at most %d entries)",
			 show(options->inbound_ports).text, OPTION_PORT_RANGES_MAX);
		return -EINVAL;
	}
	return 0;
}

int options_parse(struct options *options, char program, int argc, char **argv, bool lenient,
		  char error[OPTION_ERROR_MAX])
{
	int err;

	memset(options, 0, sizeof(*options));
	for (size_t i = 0; i < option_table_len; i++) {
		const struct option *option = &option_table[i];
		const char *text = NULL;
		bool good = store(options, option, option->def);

		assert(good);
		if (option_read_by(option, program))
			text = from_environment(option->name);
		err = text ? set(options, option, option->name, text, error) : 0;
		if (err < 0)
			return err;
	}
	err = read_flags(options, program, argc, argv, lenient, error);
	if (err < 0)
		return err;
	if (program == 'F')
		warn_of_unknown_words(options);
	return check_together(options, error);
}

bool options_not_built(char error[OPTION_ERROR_MAX])
{
	for (size_t i = 0; i < ARRAY_LEN(not_built); i++) {
		const char *text = from_environment(not_built[i].name);
		const struct not_built *row = NULL;

		if (text)
			row = find_not_built(not_built[i].name, text);
		if (row) {
			say_not_built(row, row->name, error);
			return true;
		}
	}
	return false;
}
