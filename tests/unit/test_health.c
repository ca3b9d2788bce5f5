/* test_health.c - lists of ports, tables of listeners, sets of addresses, URLs of probes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "health/listening.h"
#include "health/pin.h"
#include "health/ports.h"
#include "health/probe.h"

/* Ports */

static void ports_are_said_in_order_with_runs_joined(void **state)
{
	const struct health_port ports[] = {
		{ 443, 443 }, { 80, 80 }, { 81, 81 }, { 82, 82 }, { 8443, 443 }, { 8444, 444 },
		{ 65534, 65534 }, { 65535, 65535 }, { 1, 1 },
	};
	char text[128];

	(void)state;
	assert_true(ports_text(ports, ARRAY_LEN(ports), text, sizeof(text)));
	assert_string_equal(text, "443 80-82 8443:443 8444:444 65534-65535 1");
	assert_true(ports_text(ports, 0, text, sizeof(text)));
	assert_string_equal(text, "");
	for (size_t size = 1; size < sizeof("443 80-82 8443:443 8444:444 65534-65535 1"); size++)
		assert_false(ports_text(ports, ARRAY_LEN(ports), text, size));
}

static void ports_are_found_in_what_was_said(void **state)
{
	struct str text = STR("443 80-82 8443:443 65534-65535 1");
	const uint16_t in[] = { 443, 80, 81, 82, 8443, 65534, 65535, 1 };
	const uint16_t out[] = { 79, 83, 44, 44, 444, 65533, 2, 8, 843 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		assert_true(ports_have(text, in[i]));
	for (size_t i = 0; i < ARRAY_LEN(out); i++)
		assert_false(ports_have(text, out[i]));
	assert_false(ports_have((struct str){ NULL, 0 }, 80));
	assert_false(ports_have(STR("- : x 99999999999999999999"), 1));
}

static void ports_need_no_more_than_their_buffer(void **state)
{
	static struct health_port ports[4096];
	static char text[PORTS_TEXT_MAX];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(ports); i++)
		ports[i] = (struct health_port){ (uint16_t)(20000 + 2 * i), (uint16_t)(10000 + i) };
	assert_true(ports_text(ports, ARRAY_LEN(ports), text, sizeof(text)));
}

/* Listeners */

static struct listening table(const char *text, bool udp)
{
	struct listening listening = { 0 };
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");

	assert_non_null(file);
	listening_add_table(&listening, file, udp);
	fclose(file);
	return listening;
}

static void listening_sockets_are_told_from_others(void **state)
{
	struct listening tcp = table(
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"
		"   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n"
		"   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n"
		"   2: 0100007F:01BB 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000\n",
		false);
	struct listening udp = table(
		"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"
		"  100: 00000000000000000000000000000000:0202 "
		"00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000\n"
		"  101: 0100007F:0035 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000\n"
		"  102: 0100007F:FFFF 00000000:0000 07 00000000:00000000 00:00000000 00000000\n",
		true);

	(void)state;
	assert_true(listening_on(&tcp, 80) && listening_on(&tcp, 8080));
	assert_false(listening_on(&tcp, 443) || listening_on(&tcp, 53) || listening_on(&tcp, 0));
	assert_true(listening_on(&udp, 514) && listening_on(&udp, 65535));
	assert_false(listening_on(&udp, 53));
}

static bool is_seen_listening(uint16_t number)
{
	struct listening listening = { 0 };

	assert_int_equal(listening_read(&listening, false, true), 0);
	return listening_on(&listening, number);
}

static void listening_is_seen_in_the_kernels_own_table(void **state)
{
	struct sockaddr_in6 addr;
	socklen_t len = sizeof(addr);
	bool seen = true;
	int fd = -1;

	(void)state;
	/* Another program may listen on that port of another address: not on all of ten. */
	for (unsigned i = 0; i < 10 && seen; i++) {
		close(fd);
		addr = (struct sockaddr_in6){ .sin6_family = AF_INET6,
					      .sin6_addr = IN6ADDR_LOOPBACK_INIT };
		fd = socket(AF_INET6, SOCK_STREAM, 0);
		if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
			skip();                 /* no IPv6 here */
		assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
		seen = is_seen_listening(ntohs(addr.sin6_port));
	}
	assert_false(seen);
	assert_int_equal(listen(fd, 1), 0);
	assert_true(is_seen_listening(ntohs(addr.sin6_port)));
	close(fd);
}

/* The pin */

static struct pin pin;

/* One more answer: addresses with blanks between. */
static enum pin_verdict judge(const char *text)
{
	union addr addrs[PIN_ADDRS_MAX];
	unsigned count = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		assert_true(addr_parse((struct str){ text, len }, &addrs[count++]));
		text += len + (text[len] == ' ');
	}
	return pin_judge(&pin, addrs, count);
}

static int pin_one(void **state)
{
	union addr addr;

	(void)state;
	assert_true(addr_parse(STR("192.0.2.1"), &addr));
	pin_init(&pin, &addr);
	return 0;
}

static void pin_in_the_answer_is_good(void **state)
{
	(void)state;
	assert_int_equal(judge("192.0.2.9 192.0.2.1 2001:db8::1"), PIN_GOOD);
}

static void pin_missing_from_the_same_set_twice_is_stale(void **state)
{
	char text[PIN_TEXT_MAX];

	(void)state;
	assert_int_equal(judge("192.0.2.3 192.0.2.2 192.0.2.10"), PIN_ASK_AGAIN);
	assert_int_equal(judge("192.0.2.10 192.0.2.2 192.0.2.3 192.0.2.2"), PIN_STALE);
	assert_string_equal(pin_set_text(&pin.latest, text),
			    "['192.0.2.2', '192.0.2.3', '192.0.2.10']");
	assert_string_equal(pin_set_text(&pin.earlier, text),
			    "['192.0.2.2', '192.0.2.3', '192.0.2.10']");
}

static void pin_of_a_name_that_answers_differently_is_left_alone(void **state)
{
	(void)state;
	assert_int_equal(judge("192.0.2.2"), PIN_ASK_AGAIN);
	assert_int_equal(judge("192.0.2.3"), PIN_ASK_AGAIN);
	assert_int_equal(judge("192.0.2.2"), PIN_BALANCED);
}

static void pin_of_a_name_that_settles_is_stale(void **state)
{
	(void)state;
	assert_int_equal(judge("192.0.2.2"), PIN_ASK_AGAIN);
	assert_int_equal(judge("192.0.2.3"), PIN_ASK_AGAIN);
	assert_int_equal(judge("192.0.2.3"), PIN_STALE);
}

static void pin_that_comes_in_a_later_answer_is_good(void **state)
{
	(void)state;
	assert_int_equal(judge("192.0.2.2"), PIN_ASK_AGAIN);
	assert_int_equal(judge("192.0.2.1"), PIN_GOOD);
}

static void pin_is_compared_within_its_family(void **state)
{
	char text[PIN_TEXT_MAX];

	(void)state;
	assert_int_equal(judge("2001:db8::1"), PIN_ASK_AGAIN);
	assert_int_equal(judge("2001:db8::2"), PIN_STALE);      /* twice no IPv4 address at all */
	assert_string_equal(pin_set_text(&pin.latest, text), "[]");
}

static void pin_note_is_good_for_one_target_and_one_start(void **state)
{
	char folder[] = "/tmp/ringfence-note-XXXXXX", path[64], link[64];
	struct stat stat_;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/load_balancing_dns_detected", folder);
	snprintf(link, sizeof(link), "%s/link", folder);
	assert_false(pin_note_holds(path, "a.test", 1));
	assert_int_equal(pin_note_write(path, "a-longer-one.test", 1234567), 0);
	assert_int_equal(pin_note_write(path, "a.test", 1), 0);
	assert_true(pin_note_holds(path, "a.test", 1));
	assert_false(pin_note_holds(path, "a.test", 2));
	assert_false(pin_note_holds(path, "b.test", 1));
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode & 0777, 0600);
	/* A link that somebody else has put there is not followed. */
	assert_int_equal(symlink(path, link), 0);
	assert_false(pin_note_holds(link, "a.test", 1));
	assert_int_equal(pin_note_write(link, "a.test", 3), -ELOOP);
	assert_true(pin_note_holds(path, "a.test", 1));
	/* docker-whitelist's note of old: only the target. */
	FILE *file = fopen(path, "w");
	fputs("a.test", file);
	fclose(file);
	assert_false(pin_note_holds(path, "a.test", 1));
	unlink(link);
	unlink(path);
	rmdir(folder);
}

/* URLs */

static const struct curl *curl;
static char url[PROBE_URL_MAX], error[PROBE_ERROR_MAX];
static uint16_t port;

static int load_curl(void **state)
{
	const char *why;

	(void)state;
	curl = curl_load(&why);
	return curl ? 0 : -1;
}

static const struct health_port two[] = { { 80, 80 }, { 443, 443 } };
static const struct health_port mapped[] = { { 9000, 9000 }, { 8443, 443 }, { 8080, 80 } };
static const struct health_port mail[] = { { 587, 587 }, { 25, 25 } };

static int make(enum probe_kind kind, const char *text, const char *target,
		const struct health_port *ports, unsigned count)
{
	struct probe_plan plan = { .kind = kind, .url = text, .target = target, .ports = ports,
				   .port_count = count };

	return probe_url(curl, &plan, url, &port, error);
}

#define http(text, target, ports) make(PROBE_HTTP, text, target, ports, ARRAY_LEN(ports))

static void url_gets_the_target(void **state)
{
	(void)state;
	assert_int_equal(http("http://$TARGET/", "db.test", two), 0);
	assert_string_equal(url, "http://db.test/");
	assert_int_equal(port, 80);
	assert_int_equal(http("https://$TARGET/$TARGET?$TARGE", "db.test", two), 0);
	assert_string_equal(url, "https://db.test/db.test?$TARGE");
	assert_int_equal(port, 443);
	assert_int_equal(http("http://$TARGET", "2001:db8::1", two), 0);
	assert_string_equal(url, "http://[2001:db8::1]");
	assert_int_equal(http("http://$TARGET:443/", "[2001:db8::1]", two), 0);
	assert_string_equal(url, "http://[2001:db8::1]:443/");
	assert_int_equal(port, 443);
}

static void url_of_a_port_that_is_not_ours_gets_one_that_is(void **state)
{
	(void)state;
	/* The one that leads there, if any */
	assert_int_equal(http("https://$TARGET/x", "db.test", mapped), 0);
	assert_string_equal(url, "https://db.test:8443/x");
	assert_int_equal(port, 8443);
	assert_int_equal(http("http://$TARGET:80/", "db.test", mapped), 0);
	assert_string_equal(url, "http://db.test:8080/");
	/* else the first */
	assert_int_equal(http("http://$TARGET:81/", "db.test", mapped), 0);
	assert_string_equal(url, "http://db.test:9000/");
	assert_int_equal(http("http://$TARGET/", "db.test", mail), 0);
	assert_string_equal(url, "http://db.test:587/");
	assert_int_equal(port, 587);
	/* and one that we listen on stays */
	assert_int_equal(http("http://$TARGET:8443/", "db.test", mapped), 0);
	assert_string_equal(url, "http://db.test:8443/");
	assert_int_equal(port, 8443);
}

static void url_of_mail_is_for_port_25(void **state)
{
	(void)state;
	assert_int_equal(make(PROBE_SMTP, "smtp://$TARGET/", "mx.test", mail, 2), 0);
	assert_string_equal(url, "smtp://mx.test/");
	assert_int_equal(port, 25);
	assert_int_equal(make(PROBE_SMTP, "smtp://$TARGET/", "mx.test", mail, 1), 0);
	assert_string_equal(url, "smtp://mx.test:587/");
}

static void url_of_another_scheme_is_refused(void **state)
{
	static const char *const wrong[] = {
		"ftp://$TARGET/", "file:///etc/passwd", "smtp://$TARGET/", "http://", "",
		"http://$TARGET:99999/", "http://a b/",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(http(wrong[i], "db.test", two), -EINVAL);
		assert_non_null(strstr(error, "HTTP_HEALTHCHECK_URL"));
	}
	assert_int_equal(make(PROBE_SMTP, "http://$TARGET/", "db.test", two, 2), -EINVAL);
	assert_non_null(strstr(error, "SMTP_HEALTHCHECK_URL"));
}

static void url_that_grows_too_long_is_refused(void **state)
{
	static char text[PROBE_URL_MAX] = "http://";

	(void)state;
	for (size_t len = strlen(text); len + 8 < sizeof(text); len += 7)
		memcpy(text + len, "$TARGET", 8);
	assert_int_equal(http(text, "a-name-longer-than-that.test", two), -EINVAL);
	assert_non_null(strstr(error, "too long"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_are_said_in_order_with_runs_joined),
		cmocka_unit_test(ports_are_found_in_what_was_said),
		cmocka_unit_test(ports_need_no_more_than_their_buffer),
		cmocka_unit_test(listening_sockets_are_told_from_others),
		cmocka_unit_test(listening_is_seen_in_the_kernels_own_table),
		cmocka_unit_test_setup(pin_in_the_answer_is_good, pin_one),
		cmocka_unit_test_setup(pin_missing_from_the_same_set_twice_is_stale, pin_one),
		cmocka_unit_test_setup(pin_of_a_name_that_answers_differently_is_left_alone,
				       pin_one),
		cmocka_unit_test_setup(pin_of_a_name_that_settles_is_stale, pin_one),
		cmocka_unit_test_setup(pin_that_comes_in_a_later_answer_is_good, pin_one),
		cmocka_unit_test_setup(pin_is_compared_within_its_family, pin_one),
		cmocka_unit_test(pin_note_is_good_for_one_target_and_one_start),
		cmocka_unit_test(url_gets_the_target),
		cmocka_unit_test(url_of_a_port_that_is_not_ours_gets_one_that_is),
		cmocka_unit_test(url_of_mail_is_for_port_25),
		cmocka_unit_test(url_of_another_scheme_is_refused),
		cmocka_unit_test(url_that_grows_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, load_curl, NULL);
}
