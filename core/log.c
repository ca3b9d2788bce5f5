/* log.c - one event, one line.
 * A line is built in one buffer that is long enough for the longest possible line, because every
 * text is cut first; so nothing here can run out of room, and JSON is never cut in the middle. */
#include "core/log.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "core/log_file.h"
#include "core/log_text.h"

#define NS_PER_S UINT64_C(1000000000)

enum {
	FIELDS_MAX = 64,
	KEY_MAX = 40,
	HEAD_MAX = 256,                 /* time, level, msg */
	/* Key, colours, quotes, and a value of which each byte became \u00XX. */
	LINE_MAX = HEAD_MAX + FIELDS_MAX * (KEY_MAX + 32 + LOG_TEXT_GROWTH * LOG_TEXT_MAX),
	LOST_EVERY_S = 10,              /* between two log.lost lines */
};

/* A time printed to the second, kept because most lines share it. */
struct second {
	time_t at;
	char text[40], zone[8];
};

static struct {
	pthread_mutex_t lock;
	_Atomic(enum log_level) level;
	bool json, color;
	struct log_file out, decisions;
	uint64_t lost_reported;
	time_t lost_reported_at;        /* CLOCK_MONOTONIC; 0: never */
	struct second local, utc;
	char line[1 + LINE_MAX];        /* line[0] belongs to log_file_write() */
} state = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.level = LOG_LEVEL_INFO,
	.out = { .fd = STDOUT_FILENO },
	.decisions = { .fd = -1 },
};

static const struct level_text {
	const char *word, *label, *color;
	bool bold;
} levels[] = {
	[LOG_LEVEL_TRACE] = { "trace", "TRC", "\x1b[34m", false },
	[LOG_LEVEL_DEBUG] = { "debug", "DBG", "", false },
	[LOG_LEVEL_INFO]  = { "info",  "INF", "\x1b[32m", true },
	[LOG_LEVEL_WARN]  = { "warn",  "WRN", "\x1b[33m", true },
	[LOG_LEVEL_ERROR] = { "error", "ERR", "\x1b[31m", true },
};

enum log_level log_level_parse(const char *text)
{
	if (text == NULL)
		return LOG_LEVEL_INFO;
	if (strcasecmp(text, "warning") == 0)
		return LOG_LEVEL_WARN;
	for (unsigned i = 0; i < ARRAY_LEN(levels); i++)
		if (strcasecmp(text, levels[i].word) == 0)
			return (enum log_level)i;
	return LOG_LEVEL_INFO;
}

static uint64_t lost(void)
{
	return state.out.lost + state.decisions.lost;
}

static void close_files(void)
{
	log_file_close(&state.out);
	log_file_close(&state.decisions);
	state.out.fd = STDOUT_FILENO;
	state.out.lost = state.decisions.lost = 0;
}

int log_open(enum log_level level, bool json, bool no_color, const char *path,
	     const char *decisions)
{
	int err;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);               /* a limit of file sizes costs lines too */
	tzset();
	pthread_mutex_lock(&state.lock);
	close_files();
	err = log_file_open(&state.out, path);
	if (err == 0 && decisions && decisions[0] != '\0')
		err = log_file_open(&state.decisions, decisions);
	if (err == 0) {
		state.level = level;
		state.json = json;
		state.color = !no_color && !json && isatty(state.out.fd);
		state.lost_reported = 0;
		state.lost_reported_at = 0;
		state.local.at = state.utc.at = 0;
	} else {
		close_files();
	}
	pthread_mutex_unlock(&state.lock);
	return err;
}

void log_close(void)
{
	pthread_mutex_lock(&state.lock);
	close_files();
	state.level = LOG_LEVEL_INFO;
	state.json = state.color = false;
	pthread_mutex_unlock(&state.lock);
}

static void reopen(struct log_file *file)
{
	int err;

	pthread_mutex_lock(&state.lock);
	err = log_file_reopen(file);
	pthread_mutex_unlock(&state.lock);
	if (err < 0)
		log_warn("log.reopen_failed", log_str("err", strerror(-err)),
			 log_str("path", file->path));
}

void log_reopen(void)
{
	reopen(&state.out);
	reopen(&state.decisions);
}

bool log_enabled(enum log_level level)
{
	return level >= state.level;
}

bool log_decisions(void)
{
	return state.decisions.fd >= 0;
}

uint64_t log_lost(void)
{
	uint64_t lines;

	pthread_mutex_lock(&state.lock);
	lines = lost();
	pthread_mutex_unlock(&state.lock);
	return lines;
}

/* "2026-07-05T00:25:09" and "Z" or "+02:00". */
static const struct second *print_second(struct second *second, time_t at, bool utc)
{
	struct tm tm;
	long minutes;

	if (second->at == at && second->text[0] != '\0')
		return second;
	if (utc)
		gmtime_r(&at, &tm);
	else
		localtime_r(&at, &tm);
	second->at = at;
	strftime(second->text, sizeof(second->text), "%Y-%m-%dT%H:%M:%S", &tm);
	minutes = tm.tm_gmtoff / 60;
	if (minutes == 0)
		snprintf(second->zone, sizeof(second->zone), "Z");
	else
		snprintf(second->zone, sizeof(second->zone), "%c%02ld:%02ld",
			 minutes < 0 ? '-' : '+', labs(minutes) / 60 % 100, labs(minutes) % 60);
	return second;
}

/* The fields in the order they are shown; returns how many. */
static unsigned sort_fields(const struct log_field *fields, bool error_first,
			    const struct log_field *sorted[FIELDS_MAX])
{
	unsigned count = 0;

	for (; fields->type != LOG_END; fields++) {
		bool first = error_first && strcmp(fields->key, "error") == 0;
		unsigned at = count, floor = 0;

		assert(count < FIELDS_MAX);
		assert(strlen(fields->key) <= KEY_MAX);
		if (error_first && count > 0 && strcmp(sorted[0]->key, "error") == 0)
			floor = 1;
		while (at > floor && (first || strcmp(sorted[at - 1]->key, fields->key) > 0)) {
			sorted[at] = sorted[at - 1];
			at--;
		}
		sorted[at] = fields;
		count++;
	}
	return count;
}

static void put_number(struct line *line, const struct log_field *field)
{
	char text[24];

	if (field->type == LOG_UINT)
		snprintf(text, sizeof(text), "%" PRIu64, field->number);
	else if (field->type == LOG_INT)
		snprintf(text, sizeof(text), "%" PRId64, field->signed_number);
	else if (field->type == LOG_HEX)
		snprintf(text, sizeof(text), "%" PRIx64, field->number);
	else
		snprintf(text, sizeof(text), "%s", field->number ? "true" : "false");
	line_put(line, text);
}

/* <RFC3339 local time> <LVL> <event> key=value ... */
static void build_console(struct line *line, enum log_level level, uint64_t time_ns,
			  const char *msg, const struct log_field *fields)
{
	const struct second *second = print_second(&state.local, (time_t)(time_ns / NS_PER_S),
						   false);
	const struct level_text *text = &levels[level];
	const struct log_field *sorted[FIELDS_MAX];
	unsigned count = sort_fields(fields, true, sorted);
	bool color = state.color;

	line_put(line, color ? "\x1b[90m" : "");
	line_put(line, second->text);
	line_put(line, second->zone);
	line_put(line, color ? "\x1b[0m " : " ");
	line_put(line, color ? text->color : "");
	line_put(line, text->label);
	line_put(line, color ? "\x1b[0m " : " ");
	line_put(line, color && text->bold ? "\x1b[1m" : "");
	line_put(line, msg);
	line_put(line, color ? "\x1b[0m" : "");
	for (unsigned i = 0; i < count; i++) {
		line_put(line, color ? " \x1b[36m" : " ");
		line_put(line, sorted[i]->key);
		line_put(line, color ? "=\x1b[0m" : "=");
		if (sorted[i]->type == LOG_STR)
			line_put_quoted(line, sorted[i]->text);
		else
			put_number(line, sorted[i]);
	}
	line_put(line, "\n");
}

/* {"time":"...","level":"warn","msg":"https.blocked",...} */
static void build_json(struct line *line, enum log_level level, uint64_t time_ns,
		       const char *msg_key, const char *msg, const struct log_field *fields)
{
	const struct second *second = print_second(&state.utc, (time_t)(time_ns / NS_PER_S), true);
	const struct log_field *sorted[FIELDS_MAX];
	unsigned count = sort_fields(fields, false, sorted);
	char nanoseconds[16];

	snprintf(nanoseconds, sizeof(nanoseconds), ".%09u", (unsigned)(time_ns % NS_PER_S));
	line_put(line, "{\"time\":\"");
	line_put(line, second->text);
	line_put(line, nanoseconds);
	line_put(line, "Z\",\"level\":\"");
	line_put(line, levels[level].word);
	line_put(line, "\",\"");
	line_put(line, msg_key);
	line_put(line, "\":");
	line_put_json(line, str_of(msg));
	for (unsigned i = 0; i < count; i++) {
		line_put(line, ",\"");
		line_put(line, sorted[i]->key);
		line_put(line, "\":");
		if (sorted[i]->type == LOG_STR)
			line_put_json(line, sorted[i]->text);
		else if (sorted[i]->type == LOG_HEX)
			line_put(line, "\"");
		if (sorted[i]->type != LOG_STR)
			put_number(line, sorted[i]);
		if (sorted[i]->type == LOG_HEX)
			line_put(line, "\"");
	}
	line_put(line, "}\n");
}

static struct line begin_line(void)
{
	return (struct line){ state.line + 1, state.line + sizeof(state.line) };
}

static bool end_line(struct log_file *file, const struct line *line)
{
	return log_file_write(file, state.line + 1, (size_t)(line->at - (state.line + 1)));
}

static bool write_out(enum log_level level, uint64_t time_ns, const char *msg,
		      const struct log_field *fields)
{
	struct line line = begin_line();

	if (state.json)
		build_json(&line, level, time_ns, "msg", msg, fields);
	else
		build_console(&line, level, time_ns, msg, fields);
	return end_line(&state.out, &line);
}

/* A line went out: say what did not, before. */
static void report_lost(uint64_t time_ns)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (state.lost_reported_at != 0 && now.tv_sec - state.lost_reported_at < LOST_EVERY_S)
		return;
	if (!write_out(LOG_LEVEL_WARN, time_ns, "log.lost",
		       (const struct log_field[]){ log_uint("lines", lost() - state.lost_reported),
						   { .type = LOG_END } }))
		return;
	state.lost_reported = lost();
	state.lost_reported_at = now.tv_sec;
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void log_line(enum log_level level, uint64_t time_ns, const char *msg, bool decision,
	      const struct log_field *fields)
{
	bool out = log_enabled(level);

	if (!out && !decision)
		return;
	if (time_ns == 0)
		time_ns = clock_ns();
	pthread_mutex_lock(&state.lock);
	if (decision && state.decisions.fd >= 0) {
		struct line line = begin_line();

		build_json(&line, level, time_ns, "event", msg, fields);
		(void)end_line(&state.decisions, &line);
	}
	if (out && write_out(level, time_ns, msg, fields) && lost() > state.lost_reported)
		report_lost(time_ns);
	pthread_mutex_unlock(&state.lock);
}
