/* rules_nat.c - what the workload opens comes to our listeners instead.
 *
 * nat_out    redirects; only the first packet of a flow passes here, the rest goes the same way
 * nat_stray  what goes another way: the kernel obeys a socket that is bound to an interface
 *            (SO_BINDTODEVICE needs no privilege, a link-local address does it too), and sends a
 *            packet for 127.0.0.1 out by that one
 * stray      logged and lost: behind the routing there is no refusing, and who sends from another's
 *            address would have the refusal sent there */
#include "netfilter/rules.h"

#include <linux/netfilter.h>

static const struct chain nat_out = {
	.name = "nat_out", .type = "nat", .hook = NF_INET_LOCAL_OUT, .policy = NF_ACCEPT,
	/* Before Docker's own DNAT of 127.0.0.11 at -100: the first NAT rule that matches wins. */
	.priority = PRIORITY_MANGLE,
	.text = "type nat hook output priority mangle; policy accept;",
};

static const struct chain nat_stray = {
	.name = "nat_stray", .type = "filter", .hook = NF_INET_POST_ROUTING, .policy = NF_ACCEPT,
	.priority = PRIORITY_FILTER,
	.text = "type filter hook postrouting priority filter; policy accept;",
};
const struct chain chain_stray = { .name = "stray", .text = "" };

/* meta mark M meta skuid U return */
static void nat_ours(struct table *table, const struct nft_rules *rules)
{
	struct rule *rule = table_add_rule(table, &nat_out);

	rule_match_ours(rule, rules);
	expr_return(rule);
}

/* ip daddr @allowed_v4 return: listed addresses are reached directly */
static void nat_listed(struct table *table, uint8_t family, const char *set)
{
	struct rule *rule = table_add_rule(table, &nat_out);

	expr_daddr_in(rule, family, set);
	expr_return(rule);
}

/* oif "lo" return: the workload's own services, on loopback or under its own address */
static void nat_loopback(struct table *table)
{
	struct rule *rule = table_add_rule(table, &nat_out);

	expr_to_lo(rule);
	expr_return(rule);
}

/* udp dport 53 limit ... log prefix "dns_redirected" ... */
static void nat_log(struct table *table, const struct nft_rules *rules, uint8_t protocol,
		    uint16_t port, const char *prefix)
{
	struct rule *rule;

	if (!rules->log_allowed)
		return;
	rule = table_add_rule(table, &nat_out);
	expr_dport(rule, protocol, port);
	rule_log(rule, rules, prefix);
}

/* tcp dport 80 redirect to :8080 */
static void nat_redirect(struct table *table, uint8_t protocol, uint16_t port, uint16_t to)
{
	struct rule *rule = table_add_rule(table, &nat_out);

	expr_dport(rule, protocol, port);
	expr_redirect(rule, to);
}

/* Every question, wherever it is sent: to a listed address too, to a resolver on loopback
 * (127.0.0.53, Docker's 127.0.0.11) and to one in this namespace that forwards for itself, as
 * Docker's does, unmarked. */
static void nat_questions(struct table *table, const struct nft_rules *rules)
{
	nat_log(table, rules, IPPROTO_UDP, DNS_PORT, "dns_redirected");
	nat_redirect(table, IPPROTO_UDP, DNS_PORT, rules->dns_port);
	nat_log(table, rules, IPPROTO_TCP, DNS_PORT, "dns_redirected");
	nat_redirect(table, IPPROTO_TCP, DNS_PORT, rules->dns_port);
}

void table_add_nat_out(struct table *table, const struct nft_rules *rules)
{
	table_add_chain(table, &nat_out);
	nat_ours(table, rules);
	if (rules->dns_port)
		nat_questions(table, rules);
	if (rules->mode != NFT_HTTPS)
		return;
	nat_listed(table, AF_INET, table->names->allowed_v4);
	nat_listed(table, AF_INET6, table->names->allowed_v6);
	nat_loopback(table);
	nat_log(table, rules, IPPROTO_TCP, 80, "redirected");
	nat_redirect(table, IPPROTO_TCP, 80, rules->http_port);
	nat_log(table, rules, IPPROTO_TCP, 443, "redirected");
	nat_redirect(table, IPPROTO_TCP, 443, rules->https_port);
}

/* ---- behind the routing, where a packet's interface is the one that it really leaves by ---- */

/* ct status dnat oif != "lo" fib daddr type local goto stray
 * Another's NAT to an address outside is none of our business. */
static void stray_find(struct table *table)
{
	struct rule *rule = table_add_rule(table, &nat_stray);

	expr_ct_dnat(rule);
	expr_not_to_lo(rule);
	expr_daddr_local(rule);
	expr_goto(rule, chain_stray.name);
}

/* counter packets 0 bytes 0 drop */
static void stray_drop(struct table *table)
{
	struct rule *rule = table_add_rule(table, &chain_stray);

	expr_count(rule);
	expr_drop(rule);
}

void table_add_nat_stray(struct table *table, const struct nft_rules *rules)
{
	table_add_chain(table, &nat_stray);
	stray_find(table);
	table_add_chain(table, &chain_stray);
	rule_log(table_add_rule(table, &chain_stray), rules, "blocked");
	stray_drop(table);
}
