/* test_event.c - what the log line of each kind of fact looks like (g0efilter 9.3 and ours). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/event.h"
#include "tests/unit/log_files.h"

#define WHEN "2026-07-05T00:25:09Z "

static struct event event;

static union addr addr_of(const char *ip_and_port)
{
	union addr addr = { .sa.sa_family = 0 };

	if (!addr_parse_with_port(str_of(ip_and_port), 0, &addr))
		fail_msg("not an address: %s", ip_and_port);
	return addr;
}

static int begin(void **state)
{
	(void)make_files(state);
	event_log_init(NULL, NULL);
	event = (struct event){
		.time_ns = NOON,
		.src = addr_of("172.18.0.2:51822"),
		.dst = addr_of("140.82.112.3:443"),
	};
	return log_open(LOG_LEVEL_TRACE, false, false, path, decisions);
}

static void set_name(const char *name)
{
	event.name_len = (uint16_t)strlen(name);
	memcpy(event.name, name, event.name_len + 1u);
}

/* The line that event makes. */
static const char *line(void)
{
	assert_int_equal(truncate(path, 0), 0);
	event_log(&event);
	return content(path);
}

static void an_allowed_connection_has_exactly_the_seeds_fields(void **state)
{
	(void)state;
	event.kind = EVENT_HTTPS_ALLOWED;
	event.dialled = event.dst;
	set_name("github.com");
	assert_string_equal(line(), WHEN "INF https.allowed action=ALLOWED component=https "
				    "destination_ip=140.82.112.3 destination_port=443 "
				    "dst=140.82.112.3:443 flow_id=c4d003220567b2d https=github.com "
				    "source_ip=172.18.0.2 source_port=51822\n");
}

static void an_allowed_connection_tells_the_rule_and_where_it_went(void **state)
{
	(void)state;
	event.kind = EVENT_HTTP_ALLOWED;
	event.dst = addr_of("198.51.100.66:80");
	event.src = addr_of("172.18.0.2:40112");
	event.dialled = addr_of("[2001:db8::66]:80");
	set_name("a.example.test");
	snprintf(event.rule, sizeof(event.rule), "*.example.test");
	assert_string_equal(line(), WHEN "INF http.allowed action=ALLOWED component=http "
				    "destination_ip=198.51.100.66 destination_port=80 "
				    "dialled=[2001:db8::66]:80 dst=198.51.100.66:80 "
				    "flow_id=2d0199e9d426a673 host=a.example.test "
				    "rule=*.example.test source_ip=172.18.0.2 source_port=40112\n");
}

static void a_block_ends_with_the_line_to_add_to_the_policy(void **state)
{
	(void)state;
	event.kind = EVENT_HTTPS_BLOCKED;
	event.reason = CLOSE_NOT_ALLOWLISTED;
	set_name("Evil.Test.");
	assert_string_equal(line(), WHEN "WRN https.blocked action=BLOCKED component=https "
				    "destination_ip=140.82.112.3 destination_port=443 "
				    "dst=140.82.112.3:443 flow_id=c4d003220567b2d https=Evil.Test. "
				    "reason=not-allowlisted source_ip=172.18.0.2 source_port=51822 "
				    "to_allow=\"domains: evil.test\"\n");
}

static void nothing_to_add_is_named_where_it_would_not_help(void **state)
{
	(void)state;
	event.kind = EVENT_HTTPS_BLOCKED;
	event.reason = CLOSE_ECH_BLOCKED;
	set_name("evil.test");
	assert_null(strstr(line(), "to_allow"));
	event.reason = CLOSE_NOT_ALLOWLISTED;
	set_name("not a host\x1b[31m");
	assert_null(strstr(line(), "to_allow"));
	assert_non_null(strstr(text, " https=\"not a host\\x1b[31m\" "));
	set_name("");
	assert_null(strstr(line(), "to_allow"));
}

static void a_block_without_name_or_destination_says_what_is_known(void **state)
{
	(void)state;
	event.kind = EVENT_HTTP_BLOCKED;
	event.reason = CLOSE_NO_HOST;
	event.dst.sa.sa_family = 0;
	event.count = 3;
	snprintf(event.detail, sizeof(event.detail), "Host twice");
	assert_string_equal(line(), WHEN "WRN http.blocked action=BLOCKED component=http count=3 "
				    "detail=\"Host twice\" host= reason=no-host "
				    "source_ip=172.18.0.2 source_port=51822\n");
}

static void a_dropped_packet_has_the_seeds_nflog_fields(void **state)
{
	(void)state;
	event_log_init("host-01", "t 1");
	event.kind = EVENT_NFLOG_BLOCKED;
	event.protocol = IPPROTO_UDP;
	event.payload_len = 60;
	event.src = addr_of("172.18.0.2:50000");
	event.dst = addr_of("8.8.8.8:53");
	assert_string_equal(line(), WHEN "WRN nflog.event action=BLOCKED component=nflog "
				    "destination_ip=8.8.8.8 destination_port=53 dst=8.8.8.8:53 "
				    "flow_id=8c9712f2d241e537 hostname=host-01 payload_len=60 "
				    "protocol=UDP source_ip=172.18.0.2 source_port=50000 "
				    "src=172.18.0.2:50000 tenant_id=\"t 1\" "
				    "to_allow=\"ips: 8.8.8.8\"\n");
}

static void packets_have_ipv6_without_brackets_and_connections_with(void **state)
{
	(void)state;
	event.src = addr_of("[2001:db8::2]:50000");
	event.dst = addr_of("[2001:db8::66]:443");
	event.kind = EVENT_NFLOG_REDIRECTED;
	assert_non_null(strstr(line(), "DBG nflog.event action=REDIRECTED "));
	assert_non_null(strstr(text, " dst=2001:db8::66:443 flow_id=4acfccaf3748007d "));
	assert_non_null(strstr(text, " src=2001:db8::2:50000"));
	event.kind = EVENT_HTTPS_ALLOWED;
	assert_non_null(strstr(line(), " dst=[2001:db8::66]:443 flow_id=4acfccaf3748007d "));
}

static void packets_of_other_protocols_have_a_number_and_no_ports(void **state)
{
	(void)state;
	event.kind = EVENT_NFLOG_BLOCKED;
	event.protocol = IPPROTO_ICMP;
	event.payload_len = 84;
	addr_set_port(&event.src, 0);
	event.dst = addr_of("198.51.100.66:1");
	addr_set_port(&event.dst, 0);
	assert_string_equal(line(), WHEN "WRN nflog.event action=BLOCKED component=nflog "
				    "destination_ip=198.51.100.66 dst=198.51.100.66 "
				    "flow_id=a5180a5555d91777 payload_len=84 protocol=1 "
				    "source_ip=172.18.0.2 src=172.18.0.2 "
				    "to_allow=\"ips: 198.51.100.66\"\n");
}

static void a_failed_dial_has_its_error(void **state)
{
	(void)state;
	event.kind = EVENT_HTTPS_DIAL;
	event.reason = CLOSE_CONNECT_FAILED;
	event.error = ECONNREFUSED;
	assert_non_null(strstr(line(), "WRN https.dst_conn_dial_error component=https "));
	assert_non_null(strstr(text, " err=\"Connection refused\" "));
	assert_non_null(strstr(text, " reason=connect-failed "));
	assert_null(strstr(text, "action="));
	event.error = 0;
	event.reason = CLOSE_CONNECT_TIMEOUT;
	assert_non_null(strstr(line(), " err=\"no address of the name answered in time\" "));
}

static void a_closed_connection_tells_its_bytes_and_why(void **state)
{
	(void)state;
	event.kind = EVENT_HTTPS_CLOSED;
	event.conn = 7;
	event.bytes_up = 1000;
	event.bytes_down = UINT64_C(5000000000);
	event.duration_ms = 1500;
	set_name("github.com");
	assert_string_equal(line(), WHEN "DBG https.closed bytes_down=5000000000 bytes_up=1000 "
				    "component=https conn=7 destination_ip=140.82.112.3 "
				    "destination_port=443 dst=140.82.112.3:443 duration_ms=1500 "
				    "flow_id=c4d003220567b2d https=github.com reason=done "
				    "source_ip=172.18.0.2 source_port=51822\n");
}

static void a_question_that_is_answered_has_the_seeds_fields_and_what_came_of_it(void **state)
{
	(void)state;
	event.kind = EVENT_DNS_ALLOWED;
	event.src = addr_of("172.18.0.2:38211");
	event.dst = addr_of("8.8.8.8:53");
	event.protocol = IPPROTO_UDP;
	event.qtype = DNS_TYPE_A;
	event.duration_us = 1234;
	event.upstream = "1.1.1.1:53";
	event.answers[0] = addr_of("192.0.2.1:53");
	event.answers[1] = addr_of("[2001:db8::1]:53");
	event.answer_count = 2;
	event.answers_more = 3;
	set_name("ads.example");
	assert_string_equal(line(), WHEN "INF dns.allowed action=ALLOWED "
				    "answers=192.0.2.1,2001:db8::1,+3 component=dns "
				    "destination_ip=8.8.8.8 destination_port=53 dst=8.8.8.8:53 "
				    "duration_us=1234 flow_id=3be4d1ed3ab1c36d protocol=UDP "
				    "qname=ads.example qtype=A rcode=NOERROR source_ip=172.18.0.2 "
				    "source_port=38211 upstream=1.1.1.1:53\n");
}

static void a_question_that_is_blocked_says_so_in_the_seeds_words(void **state)
{
	static const struct { uint16_t type; const char *text; } types[] = {
		{ DNS_TYPE_AAAA, "qtype=AAAA " }, { DNS_TYPE_SRV, "qtype=SRV " },
		{ DNS_TYPE_HTTPS, "qtype=TYPEHTTPS " }, { DNS_TYPE_PTR, "qtype=TYPEPTR " },
		{ 65399, "qtype=TYPE65399 " },
	};

	(void)state;
	event.kind = EVENT_DNS_BLOCKED;
	event.reason = CLOSE_NOT_ALLOWLISTED;
	event.rcode = DNS_RCODE_NXDOMAIN;
	event.note = "nxdomain";
	set_name("ads.example");
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		event.qtype = types[i].type;
		assert_non_null(strstr(line(), types[i].text));
	}
	assert_non_null(strstr(text, "WRN dns.blocked action=BLOCKED"));
	assert_non_null(strstr(text, "note=nxdomain protocol=TCP qname=ads.example"));
	assert_non_null(strstr(text, "rcode=NXDOMAIN reason=not-allowlisted"));
	assert_non_null(strstr(text, "to_allow=\"domains: ads.example\"\n"));
	event.kind = EVENT_DNS_HARDENING;
	event.reason = CLOSE_NULL_QUERY;
	assert_non_null(strstr(line(), "note=dns-hardening"));
	assert_non_null(strstr(text, "reason=null-query"));
	assert_null(strstr(text, "to_allow"));
}

static void a_private_answer_says_which_address_to_add(void **state)
{
	(void)state;
	event.kind = EVENT_DNS_BLOCKED;
	event.reason = CLOSE_BAD_ADDRESS;
	set_name("nas.example");
	event.answers[event.answer_count++] = addr_of("169.254.169.254:1");
	assert_null(strstr(line(), "to_allow"));        /* it would not help */
	event.answers[event.answer_count++] = addr_of("10.9.9.9:1");
	for (unsigned i = 0; i < 3; i++) {              /* whoever found out */
		event.kind = (enum event_kind[]){ EVENT_DNS_BLOCKED, EVENT_HTTPS_BLOCKED,
						  EVENT_HTTP_BLOCKED }[i];
		assert_non_null(strstr(line(), "answers=169.254.169.254,10.9.9.9"));
		assert_non_null(strstr(text, "to_allow=\"ips: 10.9.9.9\"\n"));
	}
}

static void what_has_no_name_to_list_says_its_address(void **state)
{
	static const enum close_reason reasons[] = { CLOSE_NO_SNI, CLOSE_HELLO_BAD, CLOSE_NO_HOST };

	(void)state;
	event.kind = EVENT_HTTPS_BLOCKED;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		event.reason = reasons[i];
		set_name("evil.test");          /* two names, or a hello that ends too early */
		assert_null(strstr(line(), "to_allow"));
		set_name("");
		event.dst = addr_of("140.82.112.3:443");
		assert_non_null(strstr(line(), "to_allow=\"ips: 140.82.112.3\"\n"));
		event.dst = addr_of("169.254.169.254:443");     /* an entry would not help */
		assert_null(strstr(line(), "to_allow"));
		event.dst.sa.sa_family = 0;
		assert_null(strstr(line(), "to_allow"));
	}
	event.kind = EVENT_HTTP_BLOCKED;
	event.reason = CLOSE_NOT_ALLOWLISTED;
	event.dst = addr_of("198.51.100.66:80");
	set_name("192.0.2.7");                  /* Host: 192.0.2.7 */
	assert_non_null(strstr(line(), "to_allow=\"ips: 192.0.2.7\"\n"));
	set_name("127.0.0.1");
	assert_null(strstr(line(), "to_allow"));
	event.kind = EVENT_DNS_BLOCKED;         /* whose address would not answer the question */
	set_name("192.0.2.7");
	assert_null(strstr(line(), "to_allow"));
}

/* A line that proposes nothing, and says why. */
static void assert_proposes_nothing(const char *why)
{
	assert_null(strstr(line(), "to_allow"));
	assert_non_null(strstr(text, why));
}

#define NO_ENTRY_HELPS "detail=\"no entry would help: this host, link-local, multicast"
#define NONE_PROPOSED "detail=\"no entry is proposed for a cloud's metadata"

static void metadata_and_loopback_are_never_proposed_and_the_line_says_why(void **state)
{
	static const char *const never[] = { "127.0.0.1", "169.254.169.254", "::1", "fe80::1",
					     "100.100.100.200", "224.0.0.251", "fd00:ec2::254" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		char ip_and_port[64];

		event.kind = EVENT_HTTP_BLOCKED;        /* Host: 127.0.0.1, to wherever */
		event.dst = addr_of("140.82.112.3:80");
		set_name(never[i]);
		event.reason = CLOSE_NOT_ALLOWLISTED;
		assert_proposes_nothing(NO_ENTRY_HELPS);
		event.reason = CLOSE_BAD_ADDRESS;       /* it is listed, and not dialled */
		assert_true(addr_parse(str_of(never[i]), &event.answers[0]));
		event.answer_count = 1;
		assert_proposes_nothing(NO_ENTRY_HELPS);
		event.kind = EVENT_DNS_BLOCKED;
		event.dst = addr_of("127.0.0.11:53");
		set_name("evil.test");
		assert_proposes_nothing(NO_ENTRY_HELPS);
		/* It goes there itself: that would work. */
		snprintf(ip_and_port, sizeof(ip_and_port), strchr(never[i], ':') ? "[%s]:80" :
			 "%s:80", never[i]);
		event.kind = EVENT_HTTP_BLOCKED;
		event.dst = addr_of(ip_and_port);
		assert_proposes_nothing(NONE_PROPOSED);
		event.reason = CLOSE_NOT_ALLOWLISTED;
		set_name(never[i]);
		assert_proposes_nothing(NONE_PROPOSED);
		event.reason = CLOSE_NO_HOST;
		set_name("");
		assert_proposes_nothing(NONE_PROPOSED);
		event.kind = EVENT_NFLOG_BLOCKED;
		assert_proposes_nothing(NONE_PROPOSED);
	}
	event.kind = EVENT_HTTP_BLOCKED;                /* a name is no address */
	event.reason = CLOSE_NOT_ALLOWLISTED;
	set_name("evil.test");
	assert_null(strstr(line(), "no entry"));
	assert_non_null(strstr(text, "to_allow=\"domains: evil.test\"\n"));
}

static void a_port_that_is_not_listed_says_what_to_add(void **state)
{
	(void)state;
	event.kind = EVENT_HTTPS_BLOCKED;
	event.reason = CLOSE_PORT_NOT_LISTED;
	set_name("git.example");
	assert_non_null(strstr(line(), "reason=port-not-listed"));
	assert_non_null(strstr(text, "to_allow=\"domains: git.example:443\"\n"));
}

static void every_kind_makes_one_line(void **state)
{
	(void)state;
	snprintf(event.rule, sizeof(event.rule), "rule");
	memset(event.detail, 'd', sizeof(event.detail));        /* no NUL */
	event.count = 2;
	event.error = EPERM;
	event.reason = CLOSE_NOT_ALLOWLISTED;
	event.dialled = addr_of("1.2.3.4:5");
	set_name("evil.test");
	event_log_init("h", "t");
	for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
		event.kind = (enum event_kind)kind;
		assert_non_null(strstr(line(), event_text(event.kind)));
		assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	}
}

/* Does this kind reach the decision log, though the console is at ERROR? */
static bool is_kept(enum event_kind kind)
{
	assert_int_equal(truncate(decisions, 0), 0);
	event.kind = kind;
	event_log(&event);
	return content(decisions)[0] != '\0';
}

static void decisions_are_blocks_and_what_a_name_allowed(void **state)
{
	(void)state;
	assert_int_equal(log_open(LOG_LEVEL_ERROR, false, false, path, decisions), 0);
	assert_true(is_kept(EVENT_HTTPS_ALLOWED));
	assert_true(is_kept(EVENT_HTTP_BLOCKED));
	assert_true(is_kept(EVENT_NFLOG_BLOCKED));
	assert_false(is_kept(EVENT_NFLOG_ALLOWED));
	assert_false(is_kept(EVENT_NFLOG_REDIRECTED));
	assert_false(is_kept(EVENT_HTTPS_DIAL));
	assert_false(is_kept(EVENT_HTTPS_CLOSED));
	assert_string_equal(content(path), "");
}

static void a_decision_is_json_with_the_seeds_keys(void **state)
{
	json_t *object;

	(void)state;
	event.kind = EVENT_HTTPS_BLOCKED;
	event.reason = CLOSE_NOT_ALLOWLISTED;
	set_name("a\"\n\xff\xe2\x80\xa8<b>");
	event_log(&event);
	object = json_loads(content(decisions), 0, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "event")), "https.blocked");
	assert_string_equal(json_string_value(json_object_get(object, "https")),
			    "a\"\n\xef\xbf\xbd\xe2\x80\xa8<b>");
	assert_string_equal(json_string_value(json_object_get(object, "flow_id")),
			    "c4d003220567b2d");
	assert_int_equal(json_integer_value(json_object_get(object, "source_port")), 51822);
	json_decref(object);
}

static void verbose_tells_the_end_of_a_forwarded_connection_at_info(void **state)
{
	(void)state;
	assert_int_equal(event_level(EVENT_FORWARD_CLOSED), LOG_LEVEL_DEBUG);
	assert_false(event_wanted(EVENT_FORWARD_CLOSED) && !log_enabled(LOG_LEVEL_DEBUG));
	event_log_verbose(true);
	assert_int_equal(event_level(EVENT_FORWARD_CLOSED), LOG_LEVEL_INFO);
	assert_true(event_wanted(EVENT_FORWARD_CLOSED));
	assert_int_equal(event_level(EVENT_FORWARD_OPENED), LOG_LEVEL_DEBUG);
	assert_int_equal(event_level(EVENT_HTTPS_CLOSED), LOG_LEVEL_DEBUG);
	event_log_verbose(false);
	assert_int_equal(event_level(EVENT_FORWARD_CLOSED), LOG_LEVEL_DEBUG);
}

static void every_reason_has_words_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		assert_true(strlen(reason_text((enum close_reason)i)) > 0);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(reason_slug((enum close_reason)i),
						reason_slug((enum close_reason)j));
	}
	assert_string_equal(reason_slug(CLOSE_NOT_ALLOWLISTED), "not-allowlisted");
	assert_string_equal(reason_slug(CLOSE_NO_SNI), "no-sni");
	assert_string_equal(reason_slug(CLOSE_NO_HOST), "no-host");
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, begin, remove_files)
	const struct CMUnitTest tests[] = {
		test(an_allowed_connection_has_exactly_the_seeds_fields),
		test(an_allowed_connection_tells_the_rule_and_where_it_went),
		test(a_block_ends_with_the_line_to_add_to_the_policy),
		test(nothing_to_add_is_named_where_it_would_not_help),
		test(a_block_without_name_or_destination_says_what_is_known),
		test(a_dropped_packet_has_the_seeds_nflog_fields),
		test(packets_have_ipv6_without_brackets_and_connections_with),
		test(packets_of_other_protocols_have_a_number_and_no_ports),
		test(a_failed_dial_has_its_error),
		test(a_closed_connection_tells_its_bytes_and_why),
		test(a_question_that_is_answered_has_the_seeds_fields_and_what_came_of_it),
		test(a_question_that_is_blocked_says_so_in_the_seeds_words),
		test(a_private_answer_says_which_address_to_add),
		test(what_has_no_name_to_list_says_its_address),
		test(metadata_and_loopback_are_never_proposed_and_the_line_says_why),
		test(a_port_that_is_not_listed_says_what_to_add),
		test(every_kind_makes_one_line),
		test(decisions_are_blocks_and_what_a_name_allowed),
		test(a_decision_is_json_with_the_seeds_keys),
		test(verbose_tells_the_end_of_a_forwarded_connection_at_info),
		test(every_reason_has_words_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
