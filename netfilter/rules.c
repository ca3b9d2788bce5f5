/* rules.c - the table and the rules of its small chains; rules_nat.c and rules_out.c hold the rest.
 * Each builder opens with the line it makes, as `nft list` writes it; M and U are the mark and user
 * id of our own sockets.
 *
 * raw_out   our own flows are tracked apart
 * nat_out   questions for names, and what is opened to ports 80 and 443 in https mode, come to our
 *           listeners instead
 * in_mark   flows that others open to us are marked, so that answers to them may leave
 * nat_stray what was to come to our listeners and leaves all the same is lost
 * out       everything that leaves: ours, redirected, loopback, answers, listed; the rest is
 * refuse    logged and refused at once, so that clients fail fast instead of waiting
 *
 * A flow is judged by its first packet and carries a connection mark from then on.  A bare
 * "established" accepts nothing here: conntrack calls a flow established that is older than the
 * rules.  A reload leaves marked flows alone: one to an address that is no longer listed lives on
 * until it ends, so does one to a port that is no longer inbound.
 *
 * How much was refused: the counters of `nft list chain inet ringfence refuse`. */
#include "netfilter/rules.h"

#include <assert.h>
#include <errno.h>
#include <netinet/icmp6.h>

#include <linux/netfilter.h>

/* Blocked packets come in floods; the log shows the shape of one, the counters its size. */
enum { LOG_RATE = 200, LOG_BURST = 400 };

/* Conntrack zone of our own flows, in their original direction. */
enum { OUR_ZONE = 1 };

/* Where Linux takes source ports from (net.ipv4.ip_local_port_range as it comes). */
enum { EPHEMERAL_FIRST = 32768, EPHEMERAL_LAST = 60999 };

/* While one table replaces another the sets of both exist. */
static const struct set_names names[] = {
	{ "own_ports", "inbound_ports", "allowed_v4", "allowed_v6",
	  { "learned_v4", "learned_v6", "learned_ports_v4", "learned_ports_v6" } },
	{ "own_ports_b", "inbound_ports_b", "allowed_v4_b", "allowed_v6_b",
	  { "learned_v4_b", "learned_v6_b", "learned_ports_v4_b", "learned_ports_v6_b" } },
};

static const struct chain raw_out = {
	.name = "raw_out", .type = "filter", .hook = NF_INET_LOCAL_OUT, .policy = NF_ACCEPT,
	.priority = PRIORITY_RAW,               /* before conntrack looks */
	.text = "type filter hook output priority raw; policy accept;",
};
static const struct chain in_mark = {
	.name = "in_mark", .type = "filter", .hook = NF_INET_LOCAL_IN, .policy = NF_ACCEPT,
	.priority = PRIORITY_MANGLE,
	.text = "type filter hook input priority mangle; policy accept;",
};
const struct chain chain_refuse = { .name = "refuse", .text = "" };

struct rule *table_add_rule(struct table *table, const struct chain *chain)
{
	struct rule *rule = &table->rules[table->rule_count];

	assert(table->rule_count < TABLE_RULES_MAX);
	table->rule_count++;
	rule_init(rule, NFT_TABLE, chain->name);
	return rule;
}

void table_add_chain(struct table *table, const struct chain *chain)
{
	assert(table->chain_count < TABLE_CHAINS_MAX);
	table->chains[table->chain_count++] = *chain;
}

static void table_add_set(struct table *table, struct set set)
{
	assert(table->set_count < TABLE_SETS_MAX);
	table->sets[table->set_count++] = set;
}

void rule_match_ours(struct rule *rule, const struct nft_rules *rules)
{
	expr_mark(rule, rules->mark);
	if (rules->match_uid)
		expr_uid(rule, rules->uid);
}

void rule_log(struct rule *rule, const struct nft_rules *rules, const char *prefix)
{
	expr_limit(rule, LOG_RATE, LOG_BURST);
	expr_log(rule, prefix, rules->nflog_group, rules->nflog_snaplen, rules->nflog_qthresh);
}

/* ---- raw_out ---- */

/* meta mark M ct original zone set 1
 * A client that was reset leaves its redirected flow in conntrack for a while, and its source port
 * to whoever asks next.  Our own connections are looked up apart from those, or one that got such a
 * port would be redirected back to ourselves.  By mark alone: a closed socket has no uid. */
static void raw_ours(struct table *table, const struct nft_rules *rules)
{
	struct rule *rule = table_add_rule(table, &raw_out);

	expr_mark(rule, rules->mark);
	expr_set_ct_zone(rule, OUR_ZONE);
}

/* ---- in_mark: a flow is inbound when we see it begin ---- */

/* iif "lo" accept */
static void in_loopback(struct table *table)
{
	struct rule *rule = table_add_rule(table, &in_mark);

	expr_from_lo(rule);
	expr_accept(rule);
}

/* ct state != new accept */
static void in_known(struct table *table)
{
	struct rule *rule = table_add_rule(table, &in_mark);

	expr_ct_not_new(rule);
	expr_accept(rule);
}

/* tcp flags syn / fin,syn,rst,ack [tcp dport @inbound_ports] ct mark set INBOUND_SYN
 * Conntrack picks up flows in the middle and calls them new: an answer to a connection older than
 * the rules must not turn it into one that was opened from outside. */
static void in_tcp(struct table *table, const struct nft_rules *rules)
{
	struct rule *rule = table_add_rule(table, &in_mark);

	expr_tcp_syn(rule);
	if (!rules->inbound_any)
		expr_dport_in(rule, IPPROTO_TCP, table->names->inbound_ports);
	expr_set_ct_mark(rule, CT_MARK_INBOUND_SYN);
}

/* udp dport != 32768-60999 ct mark set INBOUND, or: udp dport @inbound_ports ct mark set INBOUND
 * A datagram does not show whether it opens a flow or answers one that is older than the rules.
 * Answers come to ephemeral ports, so "any" leaves those out; a UDP service on such a port has to
 * be listed. */
static void in_udp(struct table *table, const struct nft_rules *rules)
{
	struct rule *rule = table_add_rule(table, &in_mark);

	if (rules->inbound_any)
		expr_udp_dport_outside(rule, EPHEMERAL_FIRST, EPHEMERAL_LAST);
	else
		expr_dport_in(rule, IPPROTO_UDP, table->names->inbound_ports);
	expr_set_ct_mark(rule, CT_MARK_INBOUND);
}

/* icmp type echo-request ct mark set INBOUND: the answer holds what the question held */
static void in_ping(struct table *table)
{
	struct rule *rule = table_add_rule(table, &in_mark);

	expr_icmp_echo(rule);
	expr_set_ct_mark(rule, CT_MARK_INBOUND);
}

/* icmpv6 type echo-request ct mark set INBOUND */
static void in_ping_v6(struct table *table)
{
	struct rule *rule = table_add_rule(table, &in_mark);

	expr_icmpv6(rule, ICMP6_ECHO_REQUEST, "echo-request");
	expr_set_ct_mark(rule, CT_MARK_INBOUND);
}

static void add_in_mark(struct table *table, const struct nft_rules *rules)
{
	in_loopback(table);
	in_known(table);
	in_tcp(table, rules);
	in_udp(table, rules);
	in_ping(table);
	in_ping_v6(table);
}

/* ---- refuse ---- */

/* limit rate ... log prefix "blocked" ... */
static void refuse_log(struct table *table, const struct nft_rules *rules)
{
	rule_log(table_add_rule(table, &chain_refuse), rules, "blocked");
}

/* meta l4proto tcp counter packets 0 bytes 0 reject with tcp reset */
static void refuse_tcp(struct table *table)
{
	struct rule *rule = table_add_rule(table, &chain_refuse);

	expr_protocol_tcp(rule);
	expr_count(rule);
	expr_reject_tcp(rule);
}

/* counter packets 0 bytes 0 reject with icmpx admin-prohibited */
static void refuse_rest(struct table *table)
{
	struct rule *rule = table_add_rule(table, &chain_refuse);

	expr_count(rule);
	expr_reject(rule);
}

static void add_refuse(struct table *table, const struct nft_rules *rules)
{
	refuse_log(table, rules);
	refuse_tcp(table);
	refuse_rest(table);
}

/* ---- the table ---- */

/* In order, none twice. */
static void add_own_port(struct table *table, size_t *count, uint16_t port)
{
	struct port_range *ports = table->own_ports;
	size_t at = *count;

	for (size_t i = 0; i < *count; i++)
		if (ports[i].first == port)
			return;
	if (port == 0)
		return;
	assert(*count < ARRAY_LEN(table->own_ports));
	for (; at > 0 && ports[at - 1].first > port; at--)
		ports[at] = ports[at - 1];
	ports[at] = (struct port_range){ port, port };
	(*count)++;
}

/* The TCP ports that nobody may use straight.  Not port 53: all of it is redirected, so what gets
 * there straight is a question to 127.0.0.1, which NAT had nothing to do with. */
static size_t own_ports(struct table *table, const struct nft_rules *rules)
{
	size_t count = 0;

	if (rules->mode == NFT_HTTPS) {
		add_own_port(table, &count, rules->http_port);
		add_own_port(table, &count, rules->https_port);
	}
	if (rules->dns_port != DNS_PORT)
		add_own_port(table, &count, rules->dns_port);
	return count;
}

static void add_learned_sets(struct table *table, const struct opened_sets *opened)
{
	for (unsigned i = 0; i < OPENED_SETS; i++)
		table_add_set(table, (struct set){
			.name = table->names->learned[i], .kind = opened_kinds[i], .learned = true,
			.interval = opened_kinds[i] == SET_V4_PORTS ||
				    opened_kinds[i] == SET_V6_PORTS,
			.opened = opened ? opened->elements[i] : NULL,
			.count = opened ? opened->count[i] : 0 });
}

static void add_sets(struct table *table, const struct nft_rules *rules, bool inbound,
		     const struct opened_sets *opened)
{
	size_t own = own_ports(table, rules);

	if (own > 0)
		table_add_set(table, (struct set){
			.name = table->names->own_ports, .kind = SET_PORTS,
			.ports = table->own_ports, .count = own });
	if (inbound && !rules->inbound_any)
		table_add_set(table, (struct set){
			.name = table->names->inbound_ports, .kind = SET_PORTS, .interval = true,
			.ports = rules->inbound, .count = rules->inbound_count });
	table_add_set(table, (struct set){
		.name = table->names->allowed_v4, .kind = SET_V4, .interval = true,
		.ranges = rules->allowed_v4, .count = rules->allowed_v4_count });
	table_add_set(table, (struct set){
		.name = table->names->allowed_v6, .kind = SET_V6, .interval = true,
		.ranges = rules->allowed_v6, .count = rules->allowed_v6_count });
	if (rules->mode == NFT_DNS_STRICT)
		add_learned_sets(table, opened);
}

static int table_check(const struct table *table)
{
	for (unsigned i = 0; i < table->rule_count; i++)
		if (table->rules[i].failed)
			return -ENOMEM;
	return 0;
}

int table_init(struct table *table, const struct nft_rules *rules, unsigned side,
	       const struct opened_sets *opened)
{
	/* In dns mode answers leave like everything else. */
	bool inbound = rules->mode != NFT_DNS && (rules->inbound_any || rules->inbound_count > 0);

	assert(side < ARRAY_LEN(names));
	*table = (struct table){ .names = &names[side] };
	add_sets(table, rules, inbound, opened);
	table_add_out(table, rules, inbound);   /* first: the closed door has it too */
	table_add_chain(table, &raw_out);
	raw_ours(table, rules);
	table_add_nat_out(table, rules);
	table_add_nat_stray(table, rules);
	if (inbound) {
		table_add_chain(table, &in_mark);
		add_in_mark(table, rules);
	}
	table_add_chain(table, &chain_refuse);
	add_refuse(table, rules);
	return table_check(table);
}

int table_init_drop_all(struct table *table)
{
	*table = (struct table){ 0 };
	table_add_out_drop_all(table);
	return table_check(table);
}

void table_finish(struct table *table)
{
	for (unsigned i = 0; i < table->rule_count; i++)
		rule_finish(&table->rules[i]);
	table->rule_count = 0;
}
