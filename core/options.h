/* options.h - environment and flags: one table, options.def. */
#ifndef CORE_OPTIONS_H
#define CORE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/log.h"

#define OPTION_TYPE_UINT  uint32_t
#define OPTION_TYPE_PORT  uint16_t
#define OPTION_TYPE_MSEC  uint64_t
#define OPTION_TYPE_MILLI uint64_t
#define OPTION_TYPE_AUTO  uint32_t      /* 0: auto */
#define OPTION_TYPE_COUNT uint32_t
#define OPTION_TYPE_LEVEL enum log_level
#define OPTION_TYPE_TEXT  const char *  /* never NULL; "": not set */
#define OPTION_TYPE_BOOL  bool
#define OPTION_TYPE_GIVEN bool
#define OPTION_TYPE_REAL  double

/* enum destination_check { DESTINATION_PIN, ... }; and so on for every CHOICE. */
#define CHOICE(programs, field, name, def, help) enum field {
#define WORD(constant, word, help) constant,
#define CHOICE_END };
#include "core/options.def"

enum { OPTION_ERROR_MAX = 512, OPTION_WARNINGS_MAX = 16, OPTION_WARNING_MAX = 384 };

struct options {
#define OPTION(programs, type, field, name, def, min, max, help) OPTION_TYPE_##type field;
#define CHOICE(programs, field, name, def, help) enum field field;
#include "core/options.def"

	/* One sentence each, printable, to be logged once the log is open. */
	char warnings[OPTION_WARNINGS_MAX][OPTION_WARNING_MAX];
	unsigned warning_count;
};

/*
 * Fill options for one program ('F', 'W', 'H', 'D') from defaults, then the environment, then
 * flags (--name value, --name=value; a BOOL or GIVEN flag stands alone or takes =value).
 * argv[0..argc) are the arguments after the subcommand; --help and --version are the caller's.
 * Text values point into the environment or argv, where trailing blanks are cut off in place.
 * lenient: unknown arguments are only warned of (called by a seed's name, decisions.md 21).
 *
 * 0, or -EINVAL with one line in error that names the variable or flag, its value and what it
 * takes.  Variables that g0efilter falls back on when invalid fall back here with a warning
 * (spec 2.1: LOG_LEVEL, FILTER_MODE, NFLOG_*...); ports and our own variables are errors, and so
 * is a known word that this version cannot do yet (FILTER_MODE=dns).
 */
int options_parse(struct options *options, char program, int argc, char **argv, bool lenient,
		  char error[OPTION_ERROR_MAX]);

/* Variables of a later version that are set, and what must be done about each: decisions.md 23.
 * true: error names the first one (DENYLIST_*, DEFAULT_ACTION=allow, ENFORCE=audit,
 * LEARNING_MODE=true, FILTER_MODE=dns, DASHBOARD_HOST, NOTIFICATION_*, ...). */
bool options_not_built(char error[OPTION_ERROR_MAX]);

void options_help(FILE *out, char program);     /* rows of --help */
void options_readme(FILE *out, char program);   /* a Markdown table */

/* "any", "none" or a port list, as INBOUND_PORTS takes it. */
struct port_range { uint16_t first, last; };
enum { OPTION_PORT_RANGES_MAX = 64 };
/* Number of ranges written (at most max), sorted and without overlap: 0 for "none", one from 1 to
 * 65535 for "any".  -EINVAL: not such a list, or one of more than max ranges.  INBOUND_PORTS has
 * been checked by options_parse() against OPTION_PORT_RANGES_MAX. */
int options_port_list(const char *text, struct port_range *ranges, unsigned max);

#endif
