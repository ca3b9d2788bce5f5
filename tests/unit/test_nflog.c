/* test_nflog.c - logged packets become events: decoded, then counted by their shape. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "netfilter/shapes.h"
#include "tests/unit/guard.h"

static const uint8_t tcp_v4[] = {
	0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, IPPROTO_TCP, 0, 0, 10, 77, 0, 2, 198, 51, 100, 66,
	0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 1,
};
static const uint8_t udp_v6[] = {
	0x60, 0, 0, 0, 0, 8, IPPROTO_UDP, 64,
	0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
	0x20, 0x01, 0x0d, 0xb8, 0, 0x66, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x66,
	0x9c, 0x40, 0x00, 0x35, 0, 8, 0, 0,
};
enum { V4_HEADER = 20, V6_HEADER = 40, PROTOCOL_V4 = 9, PROTOCOL_V6 = 6 };

static struct event event;

static bool decode_as(const char *prefix, const uint8_t *packet, size_t len)
{
	memset(&event, '#', sizeof(event));
	return nflog_decode(prefix, guarded(packet, len), len, &event);
}

static bool decode(const uint8_t *packet, size_t len)
{
	return decode_as("blocked", packet, len);
}

/* "source > destination" of the last event. */
static const char *flow(void)
{
	static char text[2 * ADDR_TEXT_MAX + 4];
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];

	snprintf(text, sizeof(text), "%s > %s", addr_format(&event.src, src),
		 addr_format(&event.dst, dst));
	return text;
}

/* udp_v6 with other headers between those of IP and UDP; the first is of type `type`. */
static size_t with_extensions(uint8_t out[256], uint8_t type, const uint8_t *extensions, size_t len)
{
	memcpy(out, udp_v6, V6_HEADER);
	out[PROTOCOL_V6] = type;
	memcpy(out + V6_HEADER, extensions, len);
	memcpy(out + V6_HEADER + len, udp_v6 + V6_HEADER, sizeof(udp_v6) - V6_HEADER);
	return sizeof(udp_v6) + len;
}

static void nflog_tells_both_ends_of_a_tcp_packet(void **state)
{
	(void)state;
	assert_true(decode(tcp_v4, sizeof(tcp_v4)));
	assert_string_equal(flow(), "10.77.0.2:40000 > 198.51.100.66:443");
	assert_int_equal(event.protocol, IPPROTO_TCP);
	assert_int_equal(event.payload_len, sizeof(tcp_v4));
	assert_int_equal(event.count, 1);
	assert_int_equal(event.name_len, 0);
}

static void nflog_tells_both_ends_of_an_ipv6_datagram(void **state)
{
	(void)state;
	assert_true(decode(udp_v6, sizeof(udp_v6)));
	assert_string_equal(flow(), "[fd77::2]:40000 > [2001:db8:66::66]:53");
	assert_int_equal(event.protocol, IPPROTO_UDP);
}

static void nflog_takes_the_action_from_the_prefix(void **state)
{
	static const struct { const char *prefix; bool told; enum event_kind kind; } cases[] = {
		{ "blocked", true, EVENT_NFLOG_BLOCKED },
		{ "allowed", true, EVENT_NFLOG_ALLOWED },
		{ "redirected", true, EVENT_NFLOG_REDIRECTED },
		{ "dns_REDIRECTED", true, EVENT_NFLOG_REDIRECTED },
		{ "[docker] Block: ", true, EVENT_NFLOG_BLOCKED },
		{ "redirected, not blocked", true, EVENT_NFLOG_REDIRECTED },
		{ "something else", false, 0 }, { "", false, 0 }, { NULL, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(decode_as(cases[i].prefix, tcp_v4, sizeof(tcp_v4)), cases[i].told);
		if (cases[i].told)
			assert_int_equal(event.kind, cases[i].kind);
	}
}

static void nflog_gives_other_protocols_no_ports(void **state)
{
	static const uint8_t protocols[] = { IPPROTO_ICMP, IPPROTO_SCTP, IPPROTO_GRE, 253 };
	uint8_t packet[sizeof(tcp_v4)];

	(void)state;
	memcpy(packet, tcp_v4, sizeof(packet));
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		packet[PROTOCOL_V4] = protocols[i];
		assert_true(decode(packet, sizeof(packet)));
		assert_int_equal(event.protocol, protocols[i]);
		assert_string_equal(flow(), "10.77.0.2:0 > 198.51.100.66:0");
	}
}

static void nflog_skips_ipv4_options(void **state)
{
	uint8_t packet[sizeof(tcp_v4) + 4] = { 0 };

	(void)state;
	memcpy(packet, tcp_v4, V4_HEADER);
	memcpy(packet + V4_HEADER + 4, tcp_v4 + V4_HEADER, sizeof(tcp_v4) - V4_HEADER);
	packet[0] = 0x46;
	assert_true(decode(packet, sizeof(packet)));
	assert_string_equal(flow(), "10.77.0.2:40000 > 198.51.100.66:443");
	assert_true(decode(packet, V4_HEADER + 3));
	assert_string_equal(flow(), "10.77.0.2:0 > 198.51.100.66:0");
}

static void nflog_finds_ports_behind_ipv6_extension_headers(void **state)
{
	static const uint8_t hop_by_hop_and_options[] = {
		IPPROTO_DSTOPTS, 0, 1, 4, 0, 0, 0, 0,
		IPPROTO_AH, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		IPPROTO_UDP, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	};
	static const uint8_t first_fragment[] = { IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 9 };
	uint8_t packet[256];
	size_t len = with_extensions(packet, IPPROTO_HOPOPTS, hop_by_hop_and_options,
				     sizeof(hop_by_hop_and_options));

	(void)state;
	assert_true(decode(packet, len));
	assert_string_equal(flow(), "[fd77::2]:40000 > [2001:db8:66::66]:53");
	len = with_extensions(packet, IPPROTO_FRAGMENT, first_fragment, sizeof(first_fragment));
	assert_true(decode(packet, len));
	assert_string_equal(flow(), "[fd77::2]:40000 > [2001:db8:66::66]:53");
}

static void nflog_takes_no_ports_from_later_fragments(void **state)
{
	static const uint8_t second_fragment[] = { IPPROTO_UDP, 0, 0x05, 0xa8, 0, 0, 0, 9 };
	uint8_t packet[256];
	size_t len = with_extensions(packet, IPPROTO_FRAGMENT, second_fragment,
				     sizeof(second_fragment));

	(void)state;
	assert_true(decode(packet, len));
	assert_string_equal(flow(), "[fd77::2]:0 > [2001:db8:66::66]:0");
	assert_int_equal(event.protocol, IPPROTO_UDP);
	memcpy(packet, tcp_v4, sizeof(tcp_v4));
	packet[7] = 185;
	assert_true(decode(packet, sizeof(tcp_v4)));
	assert_string_equal(flow(), "10.77.0.2:0 > 198.51.100.66:0");
}

static void nflog_gives_up_on_an_endless_row_of_extension_headers(void **state)
{
	uint8_t row[128] = { 0 }, packet[256];          /* sixteen, each "hop-by-hop follows" */
	size_t len = with_extensions(packet, IPPROTO_HOPOPTS, row, sizeof(row));

	(void)state;
	assert_true(decode(packet, len));
	assert_int_equal(event.protocol, IPPROTO_HOPOPTS);
	assert_string_equal(flow(), "[fd77::2]:0 > [2001:db8:66::66]:0");
}

static void nflog_tells_what_is_left_of_a_cut_packet(void **state)
{
	(void)state;
	for (size_t len = 0; len <= sizeof(tcp_v4); len++) {
		assert_int_equal(decode(tcp_v4, len), len >= V4_HEADER);
		if (len >= V4_HEADER)
			assert_string_equal(flow(), len >= V4_HEADER + 4
					    ? "10.77.0.2:40000 > 198.51.100.66:443"
					    : "10.77.0.2:0 > 198.51.100.66:0");
	}
	for (size_t len = 0; len <= sizeof(udp_v6); len++)
		assert_int_equal(decode(udp_v6, len), len >= V6_HEADER);
}

static void nflog_leaves_the_event_alone_when_there_is_nothing_to_tell(void **state)
{
	struct event before;

	(void)state;
	memset(&before, '#', sizeof(before));
	assert_false(decode(tcp_v4, V4_HEADER - 1));
	assert_memory_equal(&event, &before, sizeof(event));
	assert_false(decode((const uint8_t[V6_HEADER]){ 0x50 }, V6_HEADER));
	assert_false(decode((const uint8_t[V6_HEADER]){ 0x44 }, V6_HEADER));    /* 16-byte header */
}

static void nflog_reads_no_byte_too_far_whatever_one_byte_says(void **state)
{
	uint8_t packet[256];
	size_t len = with_extensions(packet, IPPROTO_HOPOPTS,
				     (const uint8_t[]){ IPPROTO_UDP, 0, 0, 0, 0, 0, 0, 0 }, 8);

	(void)state;
	for (size_t i = 0; i < len; i++) {
		uint8_t was = packet[i];

		for (int value = 0; value < 256; value++) {
			packet[i] = (uint8_t)value;
			for (size_t cut = 0; cut <= len; cut += 3)
				(void)decode(packet, cut);
		}
		packet[i] = was;
	}
}

/* ---- shapes ---- */

static struct shapes shapes;
static unsigned told, packets;
static struct event last;

static void on_told(void *context, const struct event *telling)
{
	assert_ptr_equal(context, &shapes);
	told++;
	packets += telling->count;
	last = *telling;
}

static void tell(void)
{
	told = packets = 0;
	shapes_tell(&shapes, on_told, &shapes);
}

/* A packet to port of an address made from host. */
static void packet_to(uint32_t host, uint16_t src_port, uint16_t dst_port)
{
	assert_true(decode(tcp_v4, sizeof(tcp_v4)));
	event.dst.v4.sin_addr.s_addr = htonl(host);
	addr_set_port(&event.src, src_port);
	addr_set_port(&event.dst, dst_port);
	shapes_add(&shapes, &event);
}

static void shapes_count_packets_that_differ_only_in_their_source_port(void **state)
{
	(void)state;
	for (uint16_t port = 1; port <= 100; port++)
		packet_to(0x01020304, port, 443);
	tell();
	assert_int_equal(told, 1);
	assert_int_equal(last.count, 100);
	assert_int_equal(addr_port(&last.src), 1);
	assert_int_equal(last.payload_len, sizeof(tcp_v4));
	assert_true(last.time_ns > 0);
}

static void shapes_tell_what_differs_one_by_one(void **state)
{
	(void)state;
	packet_to(0x01020304, 1, 443);
	packet_to(0x01020304, 1, 444);
	packet_to(0x01020305, 1, 443);
	event.protocol = IPPROTO_UDP;
	shapes_add(&shapes, &event);
	event.kind = EVENT_NFLOG_ALLOWED;
	shapes_add(&shapes, &event);
	event.src.v4.sin_addr.s_addr = htonl(0x0a000001);
	shapes_add(&shapes, &event);
	tell();
	assert_int_equal(told, 6);
	assert_int_equal(packets, 6);
}

static void shapes_are_forgotten_once_told(void **state)
{
	(void)state;
	packet_to(0x01020304, 1, 443);
	tell();
	tell();
	assert_int_equal(told, 0);
	packet_to(0x01020304, 1, 443);
	tell();
	assert_int_equal(packets, 1);
}

static void shapes_beyond_the_limit_become_one_event(void **state)
{
	(void)state;
	for (uint32_t host = 1; host <= SHAPES_MAX + 500; host++)
		packet_to(host, 1, 443);
	packet_to(1, 1, 443);                           /* known ones are still counted */
	tell();
	assert_int_equal(told, SHAPES_MAX + 1);
	assert_int_equal(packets, SHAPES_MAX + 501);
	assert_int_equal(last.kind, EVENT_NFLOG_BLOCKED);
	assert_int_equal(last.count, 500);
	assert_int_equal(last.dst.sa.sa_family, 0);
	assert_true(last.detail[0] != '\0');
	tell();
	assert_int_equal(told, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nflog_tells_both_ends_of_a_tcp_packet),
		cmocka_unit_test(nflog_tells_both_ends_of_an_ipv6_datagram),
		cmocka_unit_test(nflog_takes_the_action_from_the_prefix),
		cmocka_unit_test(nflog_gives_other_protocols_no_ports),
		cmocka_unit_test(nflog_skips_ipv4_options),
		cmocka_unit_test(nflog_finds_ports_behind_ipv6_extension_headers),
		cmocka_unit_test(nflog_takes_no_ports_from_later_fragments),
		cmocka_unit_test(nflog_gives_up_on_an_endless_row_of_extension_headers),
		cmocka_unit_test(nflog_tells_what_is_left_of_a_cut_packet),
		cmocka_unit_test(nflog_leaves_the_event_alone_when_there_is_nothing_to_tell),
		cmocka_unit_test(nflog_reads_no_byte_too_far_whatever_one_byte_says),
		cmocka_unit_test(shapes_count_packets_that_differ_only_in_their_source_port),
		cmocka_unit_test(shapes_tell_what_differs_one_by_one),
		cmocka_unit_test(shapes_are_forgotten_once_told),
		cmocka_unit_test(shapes_beyond_the_limit_become_one_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
