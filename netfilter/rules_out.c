/* rules_out.c - chain out: what may leave, rule by rule in the order the kernel asks them.
 * The first rules are the busiest; those of the data path need no look-up in a set.
 *
 * https        ours, redirected, loopback, answers to others and listed addresses; nothing else
 * dns-strict   the same, and the addresses that names have opened
 * dns          everything but what finds out names behind our back.  It promises no more: who
 *              knows an address reaches it, and who has it from elsewhere (DNS over HTTPS, a file)
 *              does too.  Nothing is cut that was open before we came.
 *
 * The kernel's own ICMP errors need no rule: each carries the connection mark of the flow it is
 * about, so those about our, inbound and listed flows leave and no others do. */
#include "netfilter/rules.h"

#include <netinet/icmp6.h>

#include <linux/netfilter.h>

static const struct chain out = {
	.name = "out", .type = "filter", .hook = NF_INET_LOCAL_OUT, .policy = NF_DROP,
	.priority = PRIORITY_FILTER,
	.text = "type filter hook output priority filter; policy drop;",
};
/* The same chain in dns mode. */
static const struct chain out_open = {
	.name = "out", .type = "filter", .hook = NF_INET_LOCAL_OUT, .policy = NF_ACCEPT,
	.priority = PRIORITY_FILTER,
	.text = "type filter hook output priority filter; policy accept;",
};

/* meta mark M meta skuid U ct mark set OURS accept
 * Does not ask conntrack: a packet it finds odd ("invalid") must not cost us the connection. */
static void out_ours(struct table *table, const struct nft_rules *rules)
{
	struct rule *rule = table_add_rule(table, &out);

	rule_match_ours(rule, rules);
	expr_set_ct_mark(rule, CT_MARK_OURS);
	expr_accept(rule);
}

/* meta nfproto ipv6 meta skuid != 4294967295 fib saddr type != local goto stray
 * IPV6_FREEBIND needs no privilege and lets a socket send from an address that is not ours: to
 * "answer" a flow in somebody's name, or the questions of our resolver.  The kernel's own refusals
 * speak for others too, and have no owner.  IPv4 routes only what comes from an address of ours. */
static void out_spoofed(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_ipv6(rule);
	expr_has_owner(rule);
	expr_saddr_not_local(rule);
	expr_goto(rule, chain_stray.name);
}

static bool has_own_ports(const struct nft_rules *rules)
{
	return rules->mode == NFT_HTTPS || (rules->dns_port && rules->dns_port != DNS_PORT);
}

/* tcp flags syn / fin,syn,rst,ack tcp dport @own_ports ct status ! dnat fib daddr type local
 * reject with tcp reset
 * A connection straight to our listeners is not always the original direction of its flow.  Who
 * has one of our ports before us sends a SYN from it to another port of his own, which does not
 * answer; what he then opens from there is the reply, and our listener would take the original
 * destination for the one that was asked for. */
static void out_own_opened(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_tcp_syn(rule);
	expr_dport_in(rule, IPPROTO_TCP, table->names->own_ports);
	expr_ct_not_dnat(rule);
	expr_daddr_local(rule);
	expr_reject_tcp(rule);
}

/* oif "lo" ct direction reply ct status ! snat accept
 * What our listeners answer, and every other answer on loopback, without a look-up.  Where a flow
 * has source NAT (another's) its answers are sent elsewhere than their sender asked for, and the
 * interface would be a lie; without, lo is where they go.  Nothing below refuses an answer that
 * stays on lo: our own ports and takers-over are judged by their side of the flow. */
static void out_answers(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_to_lo(rule);
	expr_ct_reply(rule);
	expr_ct_not_snat(rule);
	expr_accept(rule);
}

/* ip daddr 127.0.0.1 ct status dnat accept
 * Not by interface: after a redirect the packet still shows the one it would have left by.  Where
 * it goes now it stays in this namespace, whoever sent it there. */
static void out_redirected(struct table *table)
{
	const union addr v4 = { .v4 = { .sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
	const union addr v6 = { .v6 = { .sin6_family = AF_INET6,
					.sin6_addr = IN6ADDR_LOOPBACK_INIT } };

	for (int i = 0; i < 2; i++) {
		struct rule *rule = table_add_rule(table, &out);

		expr_daddr(rule, i == 0 ? &v4 : &v6);
		expr_ct_dnat(rule);
		expr_accept(rule);
	}
}

/* tcp dport @own_ports ct direction original fib daddr type local reject with tcp reset
 * Straight to our listeners, under any address of ours: they would dial themselves. */
static void out_own_ports(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_dport_in(rule, IPPROTO_TCP, table->names->own_ports);
	expr_ct_original(rule);
	expr_daddr_local(rule);
	expr_reject_tcp(rule);
}

/* udp dport 5300 ct direction original fib daddr type local reject with icmpx admin-prohibited */
static void out_own_udp(struct table *table, uint16_t port)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_dport(rule, IPPROTO_UDP, port);
	expr_ct_original(rule);
	expr_daddr_local(rule);
	expr_reject(rule);
}

static void out_listeners(struct table *table, const struct nft_rules *rules)
{
	if (has_own_ports(rules))
		out_own_ports(table);
	if (rules->dns_port && rules->dns_port != DNS_PORT)
		out_own_udp(table, rules->dns_port);
}

/* ip daddr 127.0.0.11 goto refuse
 * Docker's resolver asks outside whatever it is asked, on port 53 and on the one of its own choice
 * that Docker's rules turn 53 into.  The workload's questions came to us before they got here; it
 * is for ours, which the first rule has accepted. */
static void out_dockers_resolver(struct table *table)
{
	const union addr addr = { .v4 = { .sin_family = AF_INET,
					  .sin_addr.s_addr = htonl(0x7f00000b) } };
	struct rule *rule = table_add_rule(table, &out);

	expr_daddr(rule, &addr);
	expr_goto(rule, chain_refuse.name);
}

/* ip saddr 127.0.0.11 ct direction original goto refuse
 * Its answers are replies.  Who else has that address, as all of 127.0.0.0/8 is everybody's, would
 * answer our questions in its name. */
static void out_like_dockers_resolver(struct table *table)
{
	const struct in_addr addr = { htonl(0x7f00000b) };
	struct rule *rule = table_add_rule(table, &out);

	expr_saddr_v4(rule, &addr);
	expr_ct_original(rule);
	expr_goto(rule, chain_refuse.name);
}

/* udp dport 53 ct direction original goto refuse
 * A question that was not redirected: its flow is older than the rules, and NAT looks at the first
 * packet alone.  Not even to a listed address, nor in dns mode. */
static void out_old_questions(struct table *table)
{
	static const uint8_t protocols[] = { IPPROTO_UDP, IPPROTO_TCP };

	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		struct rule *rule = table_add_rule(table, &out);

		expr_dport(rule, protocols[i], DNS_PORT);
		expr_ct_original(rule);
		expr_goto(rule, chain_refuse.name);
	}
}

/* oif "lo" fib daddr type != unicast accept
 * The second match is for another's NAT rule that turns a loopback address into one outside: the
 * interface would still be lo. */
static void out_loopback(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_to_lo(rule);
	expr_daddr_not_unicast(rule);
	expr_accept(rule);
}

/* ct mark OURS ct direction original meta skuid != 4294967295 goto refuse
 * Our flow, yet the socket that sends has an owner and was not accepted as ours: somebody bound
 * the port that we had until just now, to inherit the mark. */
static void out_taken_over(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_ct_mark(rule, CT_MARK_OURS);
	expr_ct_original(rule);
	expr_has_owner(rule);
	expr_goto(rule, chain_refuse.name);
}

/* ct mark OURS ct direction original accept
 * A socket that we closed has no uid any more, but still data to send. */
static void out_ours_closed(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_ct_mark(rule, CT_MARK_OURS);
	expr_ct_original(rule);
	expr_accept(rule);
}

/* ct mark INBOUND ct direction reply accept */
static void out_inbound(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_ct_mark(rule, CT_MARK_INBOUND);
	expr_ct_reply(rule);
	expr_accept(rule);
}

/* ct mark INBOUND_SYN ct direction reply tcp flags syn,ack / fin,syn,rst,ack ct mark set INBOUND
 * accept
 * Only who really waits for connections answers SYN with SYN-ACK.  A socket whose connection is
 * older than the rules answers the SYN of an accomplice with an ACK, and must not revive by it. */
static void out_inbound_syn_ack(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_ct_mark(rule, CT_MARK_INBOUND_SYN);
	expr_ct_reply(rule);
	expr_tcp_syn_ack(rule);
	expr_set_ct_mark(rule, CT_MARK_INBOUND);
	expr_accept(rule);
}

/* ct mark INBOUND_SYN ct direction reply tcp flags & rst == rst accept: nobody listens there */
static void out_inbound_rst(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_ct_mark(rule, CT_MARK_INBOUND_SYN);
	expr_ct_reply(rule);
	expr_tcp_rst(rule);
	expr_accept(rule);
}

/* ct mark ADDRESS ct direction original ct state established accept
 * Saves the look-up.  Not "related": a helper's second flow inherits the mark of the first.  Nor an
 * answer: such a flow begins here, and who answers is elsewhere. */
static void out_listed_known(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_ct_mark(rule, CT_MARK_ADDRESS);
	expr_ct_original(rule);
	expr_ct_established(rule);
	expr_accept(rule);
}

/* ct state new ip daddr @allowed_v4 limit ... log prefix "allowed" ... */
static void out_log_listed(struct table *table, const struct nft_rules *rules, uint8_t family,
			   const char *set)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_ct_new(rule);
	expr_daddr_in(rule, family, set);
	rule_log(rule, rules, "allowed");
}

/* ip daddr @allowed_v4 ct mark set ADDRESS accept */
static void out_listed(struct table *table, uint8_t family, const char *set)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_daddr_in(rule, family, set);
	expr_set_ct_mark(rule, CT_MARK_ADDRESS);
	expr_accept(rule);
}

/* ct state new ip daddr . meta l4proto . th dport @learned_ports_v4 limit ... log ... */
static void out_log_learned(struct table *table, const struct nft_rules *rules, uint8_t family,
			    const char *set)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_ct_new(rule);
	expr_daddr_and_port_in(rule, family, set);
	rule_log(rule, rules, "allowed");
}

/* ip daddr . meta l4proto . th dport @learned_ports_v4 ct mark set ADDRESS accept
 * Marked, so that a flow lives on when the address is forgotten. */
static void out_learned(struct table *table, uint8_t family, const char *set)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_daddr_and_port_in(rule, family, set);
	expr_set_ct_mark(rule, CT_MARK_ADDRESS);
	expr_accept(rule);
}

/* tcp dport 853 goto refuse
 * Questions under TLS and QUIC.  Past this go addresses that are listed, and names with that very
 * port; every port of a name is not enough. */
static void out_secret_questions(struct table *table)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP };

	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		struct rule *rule = table_add_rule(table, &out);

		expr_dport(rule, protocols[i], DNS_TLS_PORT);
		expr_goto(rule, chain_refuse.name);
	}
}

static void out_opened(struct table *table, const struct nft_rules *rules)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	const char *const *sets = table->names->learned;

	for (size_t i = 0; rules->log_allowed && i < ARRAY_LEN(families); i++)
		out_log_learned(table, rules, families[i], sets[OPENED_PORTS + i]);
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		out_learned(table, families[i], sets[OPENED_PORTS + i]);
	out_secret_questions(table);
	for (size_t i = 0; rules->log_allowed && i < ARRAY_LEN(families); i++)
		out_log_listed(table, rules, families[i], sets[OPENED_ADDRS + i]);
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		out_listed(table, families[i], sets[OPENED_ADDRS + i]);
}

/* icmpv6 type nd-neighbor-solicit ip6 hoplimit 255 accept
 * Without neighbour discovery there is no IPv6 at all.  Hop limit 255: no router passed it on or
 * will (RFC 4861 7.1). */
static void out_neighbours(struct table *table)
{
	static const struct { uint8_t type; const char *name; } kinds[] = {
		{ ND_ROUTER_SOLICIT, "nd-router-solicit" },
		{ ND_NEIGHBOR_SOLICIT, "nd-neighbor-solicit" },
		{ ND_NEIGHBOR_ADVERT, "nd-neighbor-advert" },
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct rule *rule = table_add_rule(table, &out);

		expr_icmpv6(rule, kinds[i].type, kinds[i].name);
		expr_hoplimit(rule, 255);
		expr_accept(rule);
	}
}

/* icmpv6 type mld2-listener-report counter packets 0 bytes 0 drop
 * Multicast reports name groups, and whoever joins one chooses its 112 bits: a way to tell the
 * link something.  Bridges flood multicast that nobody reported unless they have a querier.  The
 * kernel sends reports by itself, so they are counted and not told as somebody's attempt. */
static void out_multicast_reports(struct table *table)
{
	static const struct { uint8_t type; const char *name; } kinds[] = {
		{ MLD_LISTENER_REPORT, "mld-listener-report" },
		{ MLD_LISTENER_REDUCTION, "mld-listener-done" },
		{ 143, "mld2-listener-report" },                /* RFC 3810 */
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct rule *rule = table_add_rule(table, &out);

		expr_icmpv6(rule, kinds[i].type, kinds[i].name);
		expr_count(rule);
		expr_drop(rule);
	}
}

/* ct state invalid counter packets 0 bytes 0 drop
 * Out of a connection's window, perhaps only reordered: lost, but no reason for a reset. */
static void out_invalid(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_ct_invalid(rule);
	expr_count(rule);
	expr_drop(rule);
}

/* goto refuse */
static void out_rest(struct table *table)
{
	expr_goto(table_add_rule(table, &out), chain_refuse.name);
}

/* counter packets 0 bytes 0 drop */
static void out_drop_rest(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_count(rule);
	expr_drop(rule);
}

/* What stays in this namespace, and what is ours. */
static void add_local(struct table *table, const struct nft_rules *rules)
{
	out_ours(table, rules);
	out_spoofed(table);
	if (has_own_ports(rules))
		out_own_opened(table);
	out_answers(table);
	out_redirected(table);
	out_listeners(table, rules);
	if (rules->dns_port) {
		out_dockers_resolver(table);
		out_like_dockers_resolver(table);
	}
	out_loopback(table);
	if (rules->dns_port)
		out_old_questions(table);
}

/* ip hdrlength > 5 goto refuse
 * exthdr rt exists goto refuse
 * An IPv4 option and an IPv6 routing header can say the way, without any privilege: the rules would
 * judge the first hop, a listed address, which may pass the packet on to any other.  No IPv4 option
 * at all: the kernel's search for a single one gives up on what it cannot read. */
static void out_source_routed(struct table *table)
{
	struct rule *rule = table_add_rule(table, &out);

	expr_ip_options(rule);
	expr_goto(rule, chain_refuse.name);
	rule = table_add_rule(table, &out);
	expr_routing_header(rule);
	expr_goto(rule, chain_refuse.name);
}

static void add_known(struct table *table, bool inbound)
{
	out_source_routed(table);
	out_taken_over(table);
	out_ours_closed(table);
	if (inbound) {
		out_inbound(table);
		out_inbound_syn_ack(table);
		out_inbound_rst(table);
	}
	out_listed_known(table);
}

static void add_listed(struct table *table, const struct nft_rules *rules)
{
	if (rules->log_allowed) {
		out_log_listed(table, rules, AF_INET, table->names->allowed_v4);
		out_log_listed(table, rules, AF_INET6, table->names->allowed_v6);
	}
	out_listed(table, AF_INET, table->names->allowed_v4);
	out_listed(table, AF_INET6, table->names->allowed_v6);
}

void table_add_out(struct table *table, const struct nft_rules *rules, bool inbound)
{
	table_add_chain(table, rules->mode == NFT_DNS ? &out_open : &out);
	add_local(table, rules);
	if (rules->mode == NFT_DNS) {
		add_listed(table, rules);
		out_secret_questions(table);
		return;
	}
	add_known(table, inbound);
	add_listed(table, rules);
	if (rules->mode == NFT_DNS_STRICT)
		out_opened(table, rules);
	out_neighbours(table);
	out_multicast_reports(table);
	out_invalid(table);
	out_rest(table);
}

/* Dropped, not refused: this stands for a moment only, until the listeners are up.  Who tries
 * meanwhile tries again a second later instead of failing, and marked connections outlive our
 * restart. */
void table_add_out_drop_all(struct table *table)
{
	table_add_chain(table, &out);
	out_loopback(table);
	out_neighbours(table);
	out_drop_rest(table);
}
