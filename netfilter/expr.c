/* expr.c - what a rule matches, one small function per nftables expression.
 * A match is "load something into register 1, compare it"; nft has a shorter word for each, which
 * is said beside it.  Numbers of packets are compared in network order, those of the kernel (marks,
 * user ids, interfaces) in host order. */
#include "netfilter/expr.h"

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

enum { LO_INDEX = 1 };                  /* the first interface of every network namespace */

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10,
       TCP_OPENING = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK };

/* Offsets in headers. */
enum { IP_SADDR = 12, IP_DADDR = 16, IP6_DADDR = 24, IP6_HOPLIMIT = 7, TH_DPORT = 2, TCP_FLAGS = 13,
       ICMP_TYPE = 0 };

/* ct state as nftables numbers it: bits of enum ip_conntrack_info. */
enum { STATE_INVALID = 1, STATE_ESTABLISHED = 2, STATE_NEW = 8 };

void rule_init(struct rule *rule, const char *table, const char *chain)
{
	*rule = (struct rule){ .nftnl = nftnl_rule_alloc(), .chain = chain };
	if (!rule->nftnl) {
		rule->failed = true;
		return;
	}
	nftnl_rule_set_u32(rule->nftnl, NFTNL_RULE_FAMILY, NFPROTO_INET);
	if (nftnl_rule_set_str(rule->nftnl, NFTNL_RULE_TABLE, table) < 0 ||
	    nftnl_rule_set_str(rule->nftnl, NFTNL_RULE_CHAIN, chain) < 0)
		rule->failed = true;
}

void rule_finish(struct rule *rule)
{
	if (rule->nftnl)
		nftnl_rule_free(rule->nftnl);
	rule->nftnl = NULL;
}

void rule_say(struct rule *rule, const char *format, ...)
{
	size_t left = sizeof(rule->text) - rule->len;
	va_list args;
	int len;

	if (rule->len > 0 && left > 1) {
		rule->text[rule->len++] = ' ';
		left--;
	}
	va_start(args, format);
	len = vsnprintf(rule->text + rule->len, left, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= left)
		rule->failed = true;
	else
		rule->len += (size_t)len;
}

struct nftnl_expr *expr_add(struct rule *rule, const char *name)
{
	struct nftnl_expr *expr = rule->failed ? NULL : nftnl_expr_alloc(name);

	if (!expr)
		rule->failed = true;
	else
		nftnl_rule_add_expr(rule->nftnl, expr);
	return expr;
}

void expr_numbers(struct rule *rule, const char *name, const struct expr_number numbers[4])
{
	struct nftnl_expr *expr = expr_add(rule, name);

	for (int i = 0; expr && i < 4 && numbers[i].attr; i++)
		nftnl_expr_set_u32(expr, numbers[i].attr, numbers[i].value);
}

static void load_meta(struct rule *rule, uint32_t key)
{
	expr_numbers(rule, "meta", (struct expr_number[4]){
		{ NFTNL_EXPR_META_KEY, key }, { NFTNL_EXPR_META_DREG, NFT_REG_1 } });
}

static void load_payload_into(struct rule *rule, uint32_t reg, uint32_t base, uint32_t offset,
			      uint32_t len)
{
	expr_numbers(rule, "payload", (struct expr_number[4]){
		{ NFTNL_EXPR_PAYLOAD_BASE, base }, { NFTNL_EXPR_PAYLOAD_OFFSET, offset },
		{ NFTNL_EXPR_PAYLOAD_LEN, len }, { NFTNL_EXPR_PAYLOAD_DREG, reg } });
}

static void load_payload(struct rule *rule, uint32_t base, uint32_t offset, uint32_t len)
{
	load_payload_into(rule, NFT_REG_1, base, offset, len);
}

static void load_ct(struct rule *rule, uint32_t key)
{
	struct nftnl_expr *expr = expr_add(rule, "ct");

	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_DREG, NFT_REG_1);
}

static void compare(struct rule *rule, uint32_t how, const void *data, uint32_t len)
{
	struct nftnl_expr *expr = expr_add(rule, "cmp");

	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, how);
	nftnl_expr_set(expr, NFTNL_EXPR_CMP_DATA, data, len);
}

static void compare_u8(struct rule *rule, uint32_t how, uint8_t value)
{
	compare(rule, how, &value, sizeof(value));
}

static void compare_u32(struct rule *rule, uint32_t how, uint32_t value)
{
	compare(rule, how, &value, sizeof(value));
}

/* Keep only some bits of register 1. */
static void mask(struct rule *rule, const void *bits, uint32_t len)
{
	static const uint8_t zero[4];
	struct nftnl_expr *expr = expr_add(rule, "bitwise");

	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_LEN, len);
	nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_MASK, bits, len);
	nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_XOR, zero, len);
}

static void lookup(struct rule *rule, const char *set)
{
	struct nftnl_expr *expr = expr_add(rule, "lookup");

	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	if (nftnl_expr_set_str(expr, NFTNL_EXPR_LOOKUP_SET, set) < 0)
		rule->failed = true;
}

/* What nft leaves out of its listing because a later word implies it: once in a rule. */
void rule_depend_on_family(struct rule *rule, uint8_t family)
{
	if (rule->family == family)
		return;
	rule->family = family;
	load_meta(rule, NFT_META_NFPROTO);
	compare_u8(rule, NFT_CMP_EQ, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
}

void rule_depend_on_protocol(struct rule *rule, uint8_t protocol)
{
	if (rule->protocol == protocol)
		return;
	rule->protocol = protocol;
	load_meta(rule, NFT_META_L4PROTO);
	compare_u8(rule, NFT_CMP_EQ, protocol);
}

void expr_mark(struct rule *rule, uint32_t mark)
{
	load_meta(rule, NFT_META_MARK);
	compare_u32(rule, NFT_CMP_EQ, mark);
	rule_say(rule, "meta mark 0x%08x", mark);
}

void expr_uid(struct rule *rule, uint32_t uid)
{
	load_meta(rule, NFT_META_SKUID);
	compare_u32(rule, NFT_CMP_EQ, uid);
	rule_say(rule, "meta skuid %u", uid);
}

/* Without a socket that some process holds there is no uid to load and the rule does not match;
 * 4294967295 is nobody's. */
void expr_has_owner(struct rule *rule)
{
	load_meta(rule, NFT_META_SKUID);
	compare_u32(rule, NFT_CMP_NEQ, UINT32_MAX);
	rule_say(rule, "meta skuid != %u", UINT32_MAX);
}

void expr_from_lo(struct rule *rule)
{
	load_meta(rule, NFT_META_IIF);
	compare_u32(rule, NFT_CMP_EQ, LO_INDEX);
	rule_say(rule, "iif \"lo\"");
}

void expr_to_lo(struct rule *rule)
{
	load_meta(rule, NFT_META_OIF);
	compare_u32(rule, NFT_CMP_EQ, LO_INDEX);
	rule_say(rule, "oif \"lo\"");
}

void expr_protocol_tcp(struct rule *rule)
{
	rule_depend_on_protocol(rule, IPPROTO_TCP);
	rule_say(rule, "meta l4proto tcp");
}

void expr_not_to_lo(struct rule *rule)
{
	load_meta(rule, NFT_META_OIF);
	compare_u32(rule, NFT_CMP_NEQ, LO_INDEX);
	rule_say(rule, "oif != \"lo\"");
}

static void load_daddr(struct rule *rule, uint8_t family)
{
	rule_depend_on_family(rule, family);
	if (family == AF_INET)
		load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IP_DADDR, 4);
	else
		load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IP6_DADDR, 16);
	rule_say(rule, family == AF_INET ? "ip daddr" : "ip6 daddr");
}

void expr_daddr(struct rule *rule, const union addr *addr)
{
	char text[ADDR_TEXT_MAX];

	load_daddr(rule, (uint8_t)addr->sa.sa_family);
	if (addr->sa.sa_family == AF_INET)
		compare(rule, NFT_CMP_EQ, &addr->v4.sin_addr, 4);
	else
		compare(rule, NFT_CMP_EQ, &addr->v6.sin6_addr, 16);
	rule_say(rule, "%s", addr_format_ip(addr, text));
}

void expr_saddr_v4(struct rule *rule, const struct in_addr *addr)
{
	char text[INET_ADDRSTRLEN];

	rule_depend_on_family(rule, AF_INET);
	load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IP_SADDR, 4);
	compare(rule, NFT_CMP_EQ, addr, 4);
	rule_say(rule, "ip saddr %s", inet_ntop(AF_INET, addr, text, sizeof(text)));
}

void expr_ipv6(struct rule *rule)
{
	rule_depend_on_family(rule, AF_INET6);
	rule_say(rule, "meta nfproto ipv6");
}

void expr_ip_options(struct rule *rule)
{
	const uint8_t words = 0x0f;

	rule_depend_on_family(rule, AF_INET);
	load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, 0, 1);
	mask(rule, &words, sizeof(words));
	compare_u8(rule, NFT_CMP_GT, 5);
	rule_say(rule, "ip hdrlength > 5");
}

void expr_daddr_in(struct rule *rule, uint8_t family, const char *set)
{
	load_daddr(rule, family);
	lookup(rule, set);
	rule_say(rule, "@%s", set);
}

static void fib_type(struct rule *rule, uint32_t which, uint32_t how, uint32_t type)
{
	expr_numbers(rule, "fib", (struct expr_number[4]){
		{ NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE },
		{ NFTNL_EXPR_FIB_FLAGS, which },
		{ NFTNL_EXPR_FIB_DREG, NFT_REG_1 } });
	compare_u32(rule, how, type);
}

void expr_daddr_local(struct rule *rule)
{
	fib_type(rule, NFTA_FIB_F_DADDR, NFT_CMP_EQ, RTN_LOCAL);
	rule_say(rule, "fib daddr type local");
}

void expr_daddr_not_unicast(struct rule *rule)
{
	fib_type(rule, NFTA_FIB_F_DADDR, NFT_CMP_NEQ, RTN_UNICAST);
	rule_say(rule, "fib daddr type != unicast");
}

void expr_saddr_not_local(struct rule *rule)
{
	fib_type(rule, NFTA_FIB_F_SADDR, NFT_CMP_NEQ, RTN_LOCAL);
	rule_say(rule, "fib saddr type != local");
}

void expr_dport(struct rule *rule, uint8_t protocol, uint16_t port)
{
	uint16_t wire = htons(port);

	rule_depend_on_protocol(rule, protocol);
	load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TH_DPORT, 2);
	compare(rule, NFT_CMP_EQ, &wire, sizeof(wire));
	rule_say(rule, "%s dport %u", protocol == IPPROTO_TCP ? "tcp" : "udp", port);
}

void expr_dport_in(struct rule *rule, uint8_t protocol, const char *set)
{
	rule_depend_on_protocol(rule, protocol);
	load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TH_DPORT, 2);
	lookup(rule, set);
	rule_say(rule, "%s dport @%s", protocol == IPPROTO_TCP ? "tcp" : "udp", set);
}

/* The parts lie side by side in register 1 and those behind it, each in four bytes or more; of the
 * second NFT_REG32_04 has an old name. */
void expr_daddr_and_port_in(struct rule *rule, uint8_t family, const char *set)
{
	load_daddr(rule, family);
	expr_numbers(rule, "meta", (struct expr_number[4]){
		{ NFTNL_EXPR_META_KEY, NFT_META_L4PROTO },
		{ NFTNL_EXPR_META_DREG, family == AF_INET ? NFT_REG32_01 : NFT_REG_2 } });
	load_payload_into(rule, family == AF_INET ? NFT_REG32_02 : NFT_REG32_05,
			  NFT_PAYLOAD_TRANSPORT_HEADER, TH_DPORT, 2);
	lookup(rule, set);
	rule_say(rule, ". meta l4proto . th dport @%s", set);
}

void expr_udp_dport_outside(struct rule *rule, uint16_t first, uint16_t last)
{
	uint16_t wire_first = htons(first), wire_last = htons(last);
	struct nftnl_expr *expr;

	rule_depend_on_protocol(rule, IPPROTO_UDP);
	load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TH_DPORT, 2);
	expr = expr_add(rule, "range");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_RANGE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_RANGE_OP, NFT_RANGE_NEQ);
	nftnl_expr_set(expr, NFTNL_EXPR_RANGE_FROM_DATA, &wire_first, sizeof(wire_first));
	nftnl_expr_set(expr, NFTNL_EXPR_RANGE_TO_DATA, &wire_last, sizeof(wire_last));
	rule_say(rule, "udp dport != %u-%u", first, last);
}

static void tcp_flags(struct rule *rule, uint8_t among, uint8_t equal)
{
	rule_depend_on_protocol(rule, IPPROTO_TCP);
	load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS, 1);
	mask(rule, &among, sizeof(among));
	compare_u8(rule, NFT_CMP_EQ, equal);
}

void expr_tcp_syn(struct rule *rule)
{
	tcp_flags(rule, TCP_OPENING, TCP_SYN);
	rule_say(rule, "tcp flags syn / fin,syn,rst,ack");
}

void expr_tcp_syn_ack(struct rule *rule)
{
	tcp_flags(rule, TCP_OPENING, TCP_SYN | TCP_ACK);
	rule_say(rule, "tcp flags syn,ack / fin,syn,rst,ack");
}

void expr_tcp_rst(struct rule *rule)
{
	tcp_flags(rule, TCP_RST, TCP_RST);
	rule_say(rule, "tcp flags & rst == rst");
}

void expr_icmp_echo(struct rule *rule)
{
	rule_depend_on_family(rule, AF_INET);
	rule_depend_on_protocol(rule, IPPROTO_ICMP);
	load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, ICMP_TYPE, 1);
	compare_u8(rule, NFT_CMP_EQ, ICMP_ECHO);
	rule_say(rule, "icmp type echo-request");
}

void expr_icmpv6(struct rule *rule, uint8_t type, const char *name)
{
	rule_depend_on_family(rule, AF_INET6);
	rule_depend_on_protocol(rule, IPPROTO_ICMPV6);
	load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, ICMP_TYPE, 1);
	compare_u8(rule, NFT_CMP_EQ, type);
	rule_say(rule, "icmpv6 type %s", name);
}

void expr_hoplimit(struct rule *rule, uint8_t limit)
{
	rule_depend_on_family(rule, AF_INET6);
	load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IP6_HOPLIMIT, 1);
	compare_u8(rule, NFT_CMP_EQ, limit);
	rule_say(rule, "ip6 hoplimit %u", limit);
}

void expr_ct_mark(struct rule *rule, uint32_t mark)
{
	load_ct(rule, NFT_CT_MARK);
	compare_u32(rule, NFT_CMP_EQ, mark);
	rule_say(rule, "ct mark 0x%08x", mark);
}

static void ct_direction(struct rule *rule, uint8_t direction)
{
	load_ct(rule, NFT_CT_DIRECTION);
	compare_u8(rule, NFT_CMP_EQ, direction);
}

void expr_ct_original(struct rule *rule)
{
	ct_direction(rule, 0);
	rule_say(rule, "ct direction original");
}

void expr_ct_reply(struct rule *rule)
{
	ct_direction(rule, 1);
	rule_say(rule, "ct direction reply");
}

/* NFT_CMP_NEQ: is any of these bits set?  NFT_CMP_EQ: is none? */
static void ct_bits(struct rule *rule, uint32_t key, uint32_t how, uint32_t bits)
{
	load_ct(rule, key);
	mask(rule, &bits, sizeof(bits));
	compare_u32(rule, how, 0);
}

void expr_ct_dnat(struct rule *rule)
{
	ct_bits(rule, NFT_CT_STATUS, NFT_CMP_NEQ, IPS_DST_NAT);
	rule_say(rule, "ct status dnat");
}

void expr_ct_not_dnat(struct rule *rule)
{
	ct_bits(rule, NFT_CT_STATUS, NFT_CMP_EQ, IPS_DST_NAT);
	rule_say(rule, "ct status ! dnat");
}

void expr_ct_not_snat(struct rule *rule)
{
	ct_bits(rule, NFT_CT_STATUS, NFT_CMP_EQ, IPS_SRC_NAT);
	rule_say(rule, "ct status ! snat");
}

void expr_ct_new(struct rule *rule)
{
	ct_bits(rule, NFT_CT_STATE, NFT_CMP_NEQ, STATE_NEW);
	rule_say(rule, "ct state new");
}

void expr_ct_not_new(struct rule *rule)
{
	load_ct(rule, NFT_CT_STATE);
	compare_u32(rule, NFT_CMP_NEQ, STATE_NEW);
	rule_say(rule, "ct state != new");
}

void expr_ct_established(struct rule *rule)
{
	ct_bits(rule, NFT_CT_STATE, NFT_CMP_NEQ, STATE_ESTABLISHED);
	rule_say(rule, "ct state established");
}

void expr_ct_invalid(struct rule *rule)
{
	ct_bits(rule, NFT_CT_STATE, NFT_CMP_NEQ, STATE_INVALID);
	rule_say(rule, "ct state invalid");
}
