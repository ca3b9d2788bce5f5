/* rules_nat.c - chain nat_out: what the workload opens comes to our listeners instead.
 * Only the first packet of a flow passes here; the rest of it goes the same way. */
#include "netfilter/rules.h"

#include <linux/netfilter.h>

static const struct chain nat_out = {
	.name = "nat_out", .type = "nat", .hook = NF_INET_LOCAL_OUT, .policy = NF_ACCEPT,
	/* Before Docker's own DNAT of 127.0.0.11 at -100: the first NAT rule that matches wins. */
	.priority = PRIORITY_MANGLE,
	.text = "type nat hook output priority mangle; policy accept;",
};

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
