/* expr_action.c - what a rule does with a packet it matches. */
#include "netfilter/expr.h"

#include <arpa/inet.h>

#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>

static void immediate(struct rule *rule, const void *data, uint32_t len)
{
	struct nftnl_expr *expr = expr_add(rule, "immediate");

	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
	nftnl_expr_set(expr, NFTNL_EXPR_IMM_DATA, data, len);
}

void expr_set_ct_mark(struct rule *rule, uint32_t mark)
{
	immediate(rule, &mark, sizeof(mark));
	expr_numbers(rule, "ct", (struct expr_number[4]){
		{ NFTNL_EXPR_CT_KEY, NFT_CT_MARK }, { NFTNL_EXPR_CT_SREG, NFT_REG_1 } });
	rule_say(rule, "ct mark set 0x%08x", mark);
}

void expr_set_ct_zone(struct rule *rule, uint16_t zone)
{
	struct nftnl_expr *expr;

	immediate(rule, &zone, sizeof(zone));
	expr = expr_add(rule, "ct");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, NFT_CT_ZONE);
	nftnl_expr_set_u8(expr, NFTNL_EXPR_CT_DIR, IP_CT_DIR_ORIGINAL);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_SREG, NFT_REG_1);
	rule_say(rule, "ct original zone set %u", zone);
}

void expr_count(struct rule *rule)
{
	(void)expr_add(rule, "counter");
	rule_say(rule, "counter packets 0 bytes 0");
}

void expr_limit(struct rule *rule, uint32_t rate, uint32_t burst)
{
	struct nftnl_expr *expr = expr_add(rule, "limit");

	if (!expr)
		return;
	nftnl_expr_set_u64(expr, NFTNL_EXPR_LIMIT_RATE, rate);
	nftnl_expr_set_u64(expr, NFTNL_EXPR_LIMIT_UNIT, 1);     /* seconds */
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LIMIT_BURST, burst);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LIMIT_FLAGS, 0);
	rule_say(rule, "limit rate %u/second burst %u packets", rate, burst);
}

void expr_log(struct rule *rule, const char *prefix, uint16_t group, uint32_t snaplen,
	      uint16_t qthresh)
{
	struct nftnl_expr *expr = expr_add(rule, "log");

	if (!expr)
		return;
	if (nftnl_expr_set_str(expr, NFTNL_EXPR_LOG_PREFIX, prefix) < 0)
		rule->failed = true;
	nftnl_expr_set_u16(expr, NFTNL_EXPR_LOG_GROUP, group);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LOG_SNAPLEN, snaplen);
	nftnl_expr_set_u16(expr, NFTNL_EXPR_LOG_QTHRESHOLD, qthresh);
	rule_say(rule, "log prefix \"%s\" group %u snaplen %u queue-threshold %u", prefix, group,
	    snaplen, qthresh);
}

static void verdict(struct rule *rule, int code, const char *chain)
{
	struct nftnl_expr *expr = expr_add(rule, "immediate");

	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
	if (chain && nftnl_expr_set_str(expr, NFTNL_EXPR_IMM_CHAIN, chain) < 0)
		rule->failed = true;
}

void expr_accept(struct rule *rule)
{
	verdict(rule, NF_ACCEPT, NULL);
	rule_say(rule, "accept");
}

void expr_drop(struct rule *rule)
{
	verdict(rule, NF_DROP, NULL);
	rule_say(rule, "drop");
}

void expr_return(struct rule *rule)
{
	verdict(rule, NFT_RETURN, NULL);
	rule_say(rule, "return");
}

void expr_goto(struct rule *rule, const char *chain)
{
	verdict(rule, NFT_GOTO, chain);
	rule_say(rule, "goto %s", chain);
}

void expr_redirect(struct rule *rule, uint16_t port)
{
	uint16_t wire = htons(port);

	immediate(rule, &wire, sizeof(wire));
	expr_numbers(rule, "redir", (struct expr_number[4]){
		{ NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFT_REG_1 },
		{ NFTNL_EXPR_REDIR_REG_PROTO_MAX, NFT_REG_1 },
		{ NFTNL_EXPR_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED } });
	rule_say(rule, "redirect to :%u", port);
}

static void reject(struct rule *rule, uint32_t type, uint8_t code)
{
	struct nftnl_expr *expr = expr_add(rule, "reject");

	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_REJECT_TYPE, type);
	nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, code);
}

void expr_reject_tcp(struct rule *rule)
{
	rule_depend_on_protocol(rule, IPPROTO_TCP);
	reject(rule, NFT_REJECT_TCP_RST, 0);
	rule_say(rule, "reject with tcp reset");
}

void expr_reject(struct rule *rule)
{
	reject(rule, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
	rule_say(rule, "reject with icmpx admin-prohibited");
}
