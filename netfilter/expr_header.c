/* expr_header.c - extension headers that an IPv6 packet has or has not. */
#include "netfilter/expr.h"

#include <libnftnl/expr.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>

void expr_routing_header(struct rule *rule)
{
	const uint8_t one = 1;
	struct nftnl_expr *expr;

	rule_depend_on_family(rule, AF_INET6);
	expr = expr_add(rule, "exthdr");
	if (!expr)
		return;
	nftnl_expr_set_u8(expr, NFTNL_EXPR_EXTHDR_TYPE, IPPROTO_ROUTING);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_OFFSET, 0);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_LEN, 1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_IPV6);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_DREG, NFT_REG_1);
	expr = expr_add(rule, "cmp");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	nftnl_expr_set(expr, NFTNL_EXPR_CMP_DATA, &one, sizeof(one));
	rule_say(rule, "exthdr rt exists");
}
