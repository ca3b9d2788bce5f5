/* test_log.c - log lines: g0efilter's console shape, JSON that is always JSON, nothing raw. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/log_files.h"

#define fields_of(...) ((const struct log_field[]){ __VA_ARGS__, { .type = LOG_END } })

/* How a text is shown on the console, behind its key. */
static const char *console(struct str value)
{
	const char *at;

	assert_int_equal(truncate(path, 0), 0);
	log_line(LOG_LEVEL_INFO, NOON, "x", false, fields_of(log_text("k", value)));
	at = strstr(content(path), " k=");
	assert_non_null(at);
	text[strlen(text) - 1] = '\0';
	return at + 3;
}

/* The text as a JSON reader sees it, to be given back with json_decref(). */
static json_t *json_line(struct str value)
{
	json_error_t error;
	json_t *object;

	assert_int_equal(truncate(path, 0), 0);
	log_line(LOG_LEVEL_INFO, NOON, "x", false, fields_of(log_text("k", value)));
	object = json_loads(content(path), JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!object)
		fail_msg("%s: %s", error.text, text);
	return object;
}

static void a_console_line_is_time_level_event_and_sorted_keys(void **state)
{
	(void)state;
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, path, NULL), 0);
	log_line(LOG_LEVEL_WARN, NOON, "https.blocked", false,
		 fields_of(log_uint("source_port", 40112), log_str("host", ""),
			   log_hex("flow_id", 0xbeef), log_int("n", -1), log_bool("b", true),
			   log_str("error", "it broke"), log_str("action", "BLOCKED")));
	assert_string_equal(content(path),
			    "2026-07-05T00:25:09Z WRN https.blocked error=\"it broke\" "
			    "action=BLOCKED b=true flow_id=beef host= n=-1 source_port=40112\n");
}

static void levels_have_three_letters_on_the_console(void **state)
{
	(void)state;
	assert_int_equal(log_open(LOG_LEVEL_TRACE, false, false, path, NULL), 0);
	for (int level = LOG_LEVEL_TRACE; level <= LOG_LEVEL_ERROR; level++)
		log_line((enum log_level)level, NOON, "x", false, fields_of(log_uint("k", 1)));
	assert_string_equal(content(path),
			    "2026-07-05T00:25:09Z TRC x k=1\n2026-07-05T00:25:09Z DBG x k=1\n"
			    "2026-07-05T00:25:09Z INF x k=1\n2026-07-05T00:25:09Z WRN x k=1\n"
			    "2026-07-05T00:25:09Z ERR x k=1\n");
}

static void the_console_has_local_time_with_its_offset(void **state)
{
	(void)state;
	setenv("TZ", "IST-5:30", 1);
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, path, NULL), 0);
	log_line(LOG_LEVEL_INFO, NOON, "x", false, fields_of(log_uint("k", 1)));
	setenv("TZ", "NST3:30", 1);
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, path, NULL), 0);
	log_line(LOG_LEVEL_INFO, NOON, "x", false, fields_of(log_uint("k", 1)));
	assert_string_equal(content(path), "2026-07-05T05:55:09+05:30 INF x k=1\n"
					   "2026-07-04T20:55:09-03:30 INF x k=1\n");
}

static void texts_are_quoted_as_go_does_when_they_must_be(void **state)
{
	(void)state;
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, path, NULL), 0);
	assert_string_equal(console(STR("")), "");
	assert_string_equal(console((struct str){ NULL, 0 }), "");
	assert_string_equal(console(STR("a=b,c;'~<>")), "a=b,c;'~<>");
	assert_string_equal(console(STR("a b")), "\"a b\"");
	assert_string_equal(console(STR("a\"b\\c")), "\"a\\\"b\\\\c\"");
	assert_string_equal(console(STR("\a\b\f\n\r\t\v")), "\"\\a\\b\\f\\n\\r\\t\\v\"");
	assert_string_equal(console(STR("\0\x1b[31m\x7f")), "\"\\x00\\x1b[31m\\x7f\"");
	assert_string_equal(console(STR("\xff\xc3")), "\"\\xff\\xc3\"");
	assert_string_equal(console(STR("b\u00fccher.\u202etest")), "\"b\\u00fccher.\\u202etest\"");
	assert_string_equal(console(STR("\U0001f600")), "\"\\U0001f600\"");
}

static void bytes_that_are_no_utf8_are_shown_as_bytes(void **state)
{
	(void)state;
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, path, NULL), 0);
	assert_string_equal(console(STR("\xc0\xaf")), "\"\\xc0\\xaf\"");            /* overlong */
	assert_string_equal(console(STR("\xe0\x80\xaf")), "\"\\xe0\\x80\\xaf\"");
	assert_string_equal(console(STR("\xed\xa0\x80")), "\"\\xed\\xa0\\x80\"");   /* surrogate */
	assert_string_equal(console(STR("\xf4\x90\x80\x80")), "\"\\xf4\\x90\\x80\\x80\"");
	assert_string_equal(console(STR("\xe2\x80")), "\"\\xe2\\x80\"");            /* cut off */
	assert_string_equal(console(STR("\xe2\x41")), "\"\\xe2A\"");
}

static void long_texts_are_cut(void **state)
{
	static char value[5000];
	const char *shown;

	(void)state;
	memset(value, 'v', sizeof(value));
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, path, NULL), 0);
	shown = console((struct str){ value, 1024 });
	assert_int_equal(strlen(shown), 1024);
	shown = console((struct str){ value, sizeof(value) });
	assert_int_equal(strlen(shown), 1027);
	assert_string_equal(shown + 1024, "...");
}

static void the_longest_possible_line_fits(void **state)
{
	static char value[5000], keys[32][8];
	struct log_field fields[33] = { { .key = NULL } };
	json_t *object;

	(void)state;
	memset(value, 0x01, sizeof(value));
	for (int i = 0; i < 32; i++) {
		snprintf(keys[i], sizeof(keys[i]), "key%02d", 31 - i);
		fields[i] = log_text(keys[i], ((struct str){ value, sizeof(value) }));
	}
	assert_int_equal(log_open(LOG_LEVEL_INFO, true, false, path, NULL), 0);
	log_line(LOG_LEVEL_INFO, NOON, "x", false, fields);
	object = json_loads(content(path), 0, NULL);
	assert_int_equal(json_object_size(object), 3 + 32);
	json_decref(object);
}

static void a_json_line_has_time_level_msg_and_sorted_keys(void **state)
{
	(void)state;
	assert_int_equal(log_open(LOG_LEVEL_INFO, true, false, path, NULL), 0);
	log_line(LOG_LEVEL_WARN, NOON, "https.blocked", false,
		 fields_of(log_uint("source_port", 40112), log_hex("flow_id", 0xbeef),
			   log_int("n", -1), log_bool("b", false), log_str("error", "it broke"),
			   log_str("action", "BLOCKED")));
	assert_string_equal(content(path),
			    "{\"time\":\"2026-07-05T00:25:09.123456789Z\",\"level\":\"warn\","
			    "\"msg\":\"https.blocked\",\"action\":\"BLOCKED\",\"b\":false,"
			    "\"error\":\"it broke\",\"flow_id\":\"beef\",\"n\":-1,"
			    "\"source_port\":40112}\n");
}

static void json_gives_back_every_text_that_is_utf8(void **state)
{
	static const struct str texts[] = {
		STR("plain"), STR(""), STR("quote\" back\\ slash/ <script>"),
		STR("\n\r\t\b\f\v\x1b\x7f"), STR("nul\0nul"),
		STR("\u2028 \u2029 \u00fc \ufffd"), STR("\U0001f600\U0010ffff"),
	};

	(void)state;
	assert_int_equal(log_open(LOG_LEVEL_INFO, true, false, path, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *object = json_line(texts[i]), *value = json_object_get(object, "k");

		assert_int_equal(json_string_length(value), texts[i].len);
		assert_memory_equal(json_string_value(value), texts[i].at, texts[i].len);
		json_decref(object);
	}
}

static void any_bytes_are_one_json_line_of_printable_ascii(void **state)
{
	uint64_t random = 1;
	char bytes[64];

	(void)state;
	assert_int_equal(log_open(LOG_LEVEL_INFO, true, false, path, NULL), 0);
	for (int run = 0; run < 2000; run++) {
		for (size_t i = 0; i < sizeof(bytes); i++) {
			random = random * UINT64_C(6364136223846793005) + 1;
			/* Every other run mostly bytes that look like UTF-8. */
			bytes[i] = (char)(random >> 56 | (run % 2 ? 0x80 : 0));
		}
		json_decref(json_line((struct str){ bytes, sizeof(bytes) }));
		for (const char *at = text; at[1] != '\0'; at++)
			assert_in_range(*at, ' ', '~');
		assert_int_equal(text[strlen(text) - 1], '\n');
	}
}

static void levels_below_the_chosen_one_are_silent_but_decisions_are_kept(void **state)
{
	json_t *object;

	(void)state;
	assert_int_equal(log_open(LOG_LEVEL_ERROR, false, false, path, decisions), 0);
	assert_false(log_enabled(LOG_LEVEL_WARN));
	assert_true(log_enabled(LOG_LEVEL_ERROR));
	log_warn("policy.path_missing", log_str("path", "/x"));
	log_line(LOG_LEVEL_WARN, NOON, "https.blocked", true,
		 fields_of(log_str("https", "e.test")));
	assert_string_equal(content(path), "");
	object = json_loads(content(decisions), 0, NULL);
	assert_string_equal(json_string_value(json_object_get(object, "event")), "https.blocked");
	assert_string_equal(json_string_value(json_object_get(object, "https")), "e.test");
	assert_string_equal(json_string_value(json_object_get(object, "level")), "warn");
	assert_null(json_object_get(object, "msg"));
	json_decref(object);
}

static void a_line_without_a_time_is_of_now(void **state)
{
	char before[32];
	time_t now = time(NULL);
	struct tm tm;

	(void)state;
	strftime(before, sizeof(before), "%Y-%m-%dT", gmtime_r(&now, &tm));
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, path, NULL), 0);
	log_info("startup.ready", log_str("mode", "https"), log_uint("filter_count", 3));
	log_info("shutdown.complete");
	now = time(NULL);
	content(path);
	if (strncmp(text, before, strlen(before)) != 0) /* midnight has passed in between */
		strftime(before, sizeof(before), "%Y-%m-%dT", gmtime_r(&now, &tm));
	assert_int_equal(strncmp(text, before, strlen(before)), 0);
	assert_non_null(strstr(text, "Z INF startup.ready filter_count=3 mode=https\n"));
	assert_non_null(strstr(text, "Z INF shutdown.complete\n"));
}

/* What a terminal would get: the other end of a pseudo-terminal. */
static void log_to_terminal(bool no_color)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY);
	size_t len = 0;
	ssize_t got;

	if (terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0)
		skip();
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, no_color, ptsname(terminal), NULL), 0);
	log_line(LOG_LEVEL_WARN, NOON, "x", false, fields_of(log_uint("k", 1)));
	/* A terminal passes a line on in parts. */
	do {
		got = read(terminal, text + len, sizeof(text) - 1 - len);
		len += got > 0 ? (size_t)got : 0;
	} while (got > 0 && text[len - 1] != '\n');
	text[len] = '\0';
	log_close();
	close(terminal);
}

static void a_terminal_gets_colour_unless_told_otherwise(void **state)
{
	(void)state;
	log_to_terminal(false);
	assert_string_equal(text, "\x1b[90m2026-07-05T00:25:09Z\x1b[0m \x1b[33mWRN\x1b[0m "
				  "\x1b[1mx\x1b[0m \x1b[36mk=\x1b[0m1\r\n");
	log_to_terminal(true);
	assert_string_equal(text, "2026-07-05T00:25:09Z WRN x k=1\r\n");
}

static void a_closed_stdout_costs_lines_and_not_the_process(void **state)
{
	int saved = dup(STDOUT_FILENO), ends[2];

	(void)state;
	fflush(stdout);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDOUT_FILENO);
	close(ends[1]);
	close(ends[0]);
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, NULL, NULL), 0);
	log_info("x");
	log_info("x");
	dup2(saved, STDOUT_FILENO);
	close(saved);
	assert_int_equal(log_lost(), 2);
}

static void lost_lines_are_reported_once_writing_works_again(void **state)
{
	char link[] = P_tmpdir "/test_log.XXXXXX";

	(void)state;
	close(mkstemp(link));
	unlink(link);
	assert_int_equal(symlink("/dev/full", link), 0);
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, link, NULL), 0);
	log_info("lost");
	log_info("lost");
	unlink(link);
	assert_int_equal(symlink(path, link), 0);
	log_reopen();
	log_line(LOG_LEVEL_INFO, NOON, "x", false, fields_of(log_uint("k", 1)));
	log_line(LOG_LEVEL_INFO, NOON, "x", false, fields_of(log_uint("k", 2)));
	unlink(link);
	assert_string_equal(content(path), "2026-07-05T00:25:09Z INF x k=1\n"
					   "2026-07-05T00:25:09Z WRN log.lost lines=2\n"
					   "2026-07-05T00:25:09Z INF x k=2\n");
}

static void a_file_that_cannot_be_opened_is_an_error_and_stdout_stays(void **state)
{
	(void)state;
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, P_tmpdir, NULL), -EISDIR);
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, path, P_tmpdir), -EISDIR);
	assert_int_equal(log_open(LOG_LEVEL_INFO, false, false, path, ""), 0);
}

static void log_levels_are_words_and_unknown_is_info(void **state)
{
	(void)state;
	assert_int_equal(log_level_parse("TRACE"), LOG_LEVEL_TRACE);
	assert_int_equal(log_level_parse("warning"), LOG_LEVEL_WARN);
	assert_int_equal(log_level_parse("Warn"), LOG_LEVEL_WARN);
	assert_int_equal(log_level_parse("verbose"), LOG_LEVEL_INFO);
	assert_int_equal(log_level_parse(NULL), LOG_LEVEL_INFO);
}

static void *write_lines(void *name)
{
	for (int i = 0; i < 500; i++)
		log_info("x", log_str("thread", name), log_int("i", i));
	return NULL;
}

static void lines_of_several_threads_stay_whole(void **state)
{
	static char names[4][8] = { "a", "b", "c", "d" };
	pthread_t threads[4];
	unsigned lines = 0;
	char *rest = text;

	(void)state;
	assert_int_equal(log_open(LOG_LEVEL_INFO, true, false, path, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	content(path);
	for (char *line = strsep(&rest, "\n"); rest; line = strsep(&rest, "\n"), lines++) {
		json_t *object = json_loads(line, 0, NULL);

		assert_non_null(object);
		json_decref(object);
	}
	assert_int_equal(lines, 4 * 500);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, make_files, remove_files)
	const struct CMUnitTest tests[] = {
		test(a_console_line_is_time_level_event_and_sorted_keys),
		test(levels_have_three_letters_on_the_console),
		test(the_console_has_local_time_with_its_offset),
		test(texts_are_quoted_as_go_does_when_they_must_be),
		test(bytes_that_are_no_utf8_are_shown_as_bytes),
		test(long_texts_are_cut),
		test(the_longest_possible_line_fits),
		test(a_json_line_has_time_level_msg_and_sorted_keys),
		test(json_gives_back_every_text_that_is_utf8),
		test(any_bytes_are_one_json_line_of_printable_ascii),
		test(levels_below_the_chosen_one_are_silent_but_decisions_are_kept),
		test(a_line_without_a_time_is_of_now),
		test(a_terminal_gets_colour_unless_told_otherwise),
		test(a_closed_stdout_costs_lines_and_not_the_process),
		test(lost_lines_are_reported_once_writing_works_again),
		test(a_file_that_cannot_be_opened_is_an_error_and_stdout_stays),
		test(log_levels_are_words_and_unknown_is_info),
		test(lines_of_several_threads_stay_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
