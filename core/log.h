/* log.h - console lines in g0efilter's shape (spec 9.1) and JSON lines (spec 10).
 * Control thread and start-up only: workers emit events.  Every string from outside is escaped:
 * non-printables never reach a terminal. */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/str.h"

enum log_level {
	LOG_LEVEL_TRACE, LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR,
};

/* "info", "WARN", "warning"...; unknown is INFO (spec 2.1). */
enum log_level log_level_parse(const char *text);

/*
 * path NULL or "": stdout.  json: LOG_FORMAT=json.  decisions: DECISION_LOG_FILE, NULL or "": none;
 * it gets them at every level.  Colour only on a terminal and without no_color.
 *
 * SIGPIPE is ignored from here on: a closed stdout costs lines, not the process.
 * 0 or -errno of opening a file.  Before log_open() lines go to stdout at level INFO.
 */
int log_open(enum log_level level, bool json, bool no_color, const char *path,
	     const char *decisions);
/* After SIGHUP: open the files anew, so that logrotate can move them.  Rotation of our own:
 * at 100 MB, 7 kept, at most 28 days (spec 9.5), names "<name>-<UTC timestamp>.<ext>". */
void log_reopen(void);
void log_close(void);
bool log_enabled(enum log_level level);
bool log_decisions(void);               /* is there a decision log? */
/* Lines that could not be written since log_open(); a later line says so: log.lost. */
uint64_t log_lost(void);

/* Key order: on the console alphabetical (error= first), in JSON time, level, msg, then
 * alphabetical.  Values: LOG_END ends the list. */
enum log_type { LOG_END, LOG_STR, LOG_UINT, LOG_INT, LOG_HEX, LOG_BOOL };

struct log_field {
	const char *key;
	enum log_type type;
	union {
		struct str text;        /* LOG_STR */
		uint64_t number;        /* LOG_UINT, LOG_HEX (printed without 0x), LOG_BOOL */
		int64_t signed_number;  /* LOG_INT */
	};
};

#define log_str(k, s)  ((struct log_field){ .key = (k), .type = LOG_STR, .text = str_of(s) })
#define log_text(k, s) ((struct log_field){ .key = (k), .type = LOG_STR, .text = (s) })
#define log_uint(k, n) ((struct log_field){ .key = (k), .type = LOG_UINT, .number = (n) })
#define log_int(k, n)  ((struct log_field){ .key = (k), .type = LOG_INT, .signed_number = (n) })
#define log_hex(k, n)  ((struct log_field){ .key = (k), .type = LOG_HEX, .number = (n) })
#define log_bool(k, b) ((struct log_field){ .key = (k), .type = LOG_BOOL, .number = (b) })

/*
 * At most 64 fields; of a text at most 1,024 bytes are shown, then "...".  msg and keys are
 * constants of ours: lower case, dots and underscores.  time_ns (CLOCK_REALTIME) 0: now.
 * decision: also to the decision log, where msg is called event.  One write(2) a line, no
 * allocation; a lock makes it safe, though not wise, to call from a worker.
 */
void log_line(enum log_level level, uint64_t time_ns, const char *msg, bool decision,
	      const struct log_field *fields);

/* log_info("startup.ready", log_str("mode", "https"), log_uint("filter_count", 3)); */
#define log_event(level, msg, ...) \
	log_line((level), 0, (msg), false, \
		 (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(,) { .type = LOG_END } })
#define log_debug(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
