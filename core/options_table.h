/* options_table.h - options.def as an array, for options.c and options_help.c only. */
#ifndef CORE_OPTIONS_TABLE_H
#define CORE_OPTIONS_TABLE_H

#include <stddef.h>

#include "core/options.h"

enum option_type {
	OPTION_UINT, OPTION_PORT, OPTION_MSEC, OPTION_MILLI, OPTION_AUTO, OPTION_COUNT,
	OPTION_LEVEL, OPTION_TEXT, OPTION_BOOL, OPTION_GIVEN, OPTION_REAL,
	OPTION_CHOICE,
};

struct option_word {
	const char *text, *help;        /* text NULL ends the list; its place is the enum's value */
};

struct option {
	const char *programs;
	enum option_type type;
	const char *name, *def;
	uint64_t min, max;
	const char *help;
	const struct option_word *words;        /* CHOICE only */
	size_t offset;                          /* in struct options */
};

extern const struct option option_table[];
extern const size_t option_table_len;

enum { OPTION_FLAG_MAX = 40, OPTION_EXPECTS_MAX = 160 };
/* "--hello-timeout"; returns out. */
const char *option_flag(const struct option *option, char out[OPTION_FLAG_MAX]);
/* What a value must be: "a number from 1 to 65535", "one of pin, strict, off"; returns out. */
const char *option_expects(const struct option *option, char out[OPTION_EXPECTS_MAX]);
bool option_read_by(const struct option *option, char program);
/* Decimal digits only: no sign, no 0x, no blanks; from min to max. */
bool option_number(const char *text, size_t len, uint64_t min, uint64_t max, uint64_t *number);
extern const char *const option_blanks;         /* what is cut off around a value */

#endif
