/* expr.h - one rule being written, one small function per nftables expression.
 * Each function adds what the kernel runs and, in the same breath, the words `nft list` has for
 * it: nft_print() and error messages can never say something else than what is installed.
 * Running out of memory or room sets rule->failed and stays; check once, after the last word. */
#ifndef NETFILTER_EXPR_H
#define NETFILTER_EXPR_H

#include <libnftnl/rule.h>

#include "core/addr.h"

enum { RULE_TEXT_MAX = 256 };

struct rule {
	struct nftnl_rule *nftnl;
	const char *chain;
	uint8_t family, protocol;       /* already matched in this rule, 0: not */
	bool failed;
	size_t len;
	char text[RULE_TEXT_MAX];       /* in nft's words */
};

/* Start a rule at the end of table's chain (names are borrowed); rule_finish() frees it. */
void rule_init(struct rule *rule, const char *table, const char *chain);
void rule_finish(struct rule *rule);

/* The common ground of the functions below.
 * Add words to the rule's text, a space before all but the first. */
__attribute__((format(printf, 2, 3)))
void rule_say(struct rule *rule, const char *format, ...);
/* Match the family (AF_INET or AF_INET6) without saying so, once: a later word implies it. */
void rule_depend_on_family(struct rule *rule, uint8_t family);
/* Match the transport protocol without saying so, once: a later word implies it. */
void rule_depend_on_protocol(struct rule *rule, uint8_t protocol);
/* A new expression at the rule's end; NULL: no memory, rule->failed is set. */
struct nftnl_expr *expr_add(struct rule *rule, const char *name);
/* The same for one that is nothing but numbers; unused pairs have attr 0. */
struct expr_number { uint16_t attr; uint32_t value; };
void expr_numbers(struct rule *rule, const char *name, const struct expr_number numbers[4]);

/* Matches.  Each names the line it makes. */
void expr_mark(struct rule *rule, uint32_t mark);               /* meta mark 0x00000001 */
void expr_uid(struct rule *rule, uint32_t uid);                 /* meta skuid 65380 */
void expr_has_owner(struct rule *rule);                         /* meta skuid != 4294967295 */
void expr_from_lo(struct rule *rule);                           /* iif "lo" */
void expr_to_lo(struct rule *rule);                             /* oif "lo" */
void expr_not_to_lo(struct rule *rule);                         /* oif != "lo" */
void expr_protocol_tcp(struct rule *rule);                      /* meta l4proto tcp */
void expr_ipv6(struct rule *rule);                              /* meta nfproto ipv6 */
void expr_saddr_v4(struct rule *rule, const struct in_addr *addr);      /* ip saddr 127.0.0.11 */
void expr_saddr_not_local(struct rule *rule);                   /* fib saddr type != local */
void expr_daddr(struct rule *rule, const union addr *addr);     /* ip daddr 127.0.0.1 */
void expr_daddr_in(struct rule *rule, uint8_t family, const char *set); /* ip daddr @set */
void expr_daddr_local(struct rule *rule);                       /* fib daddr type local */
void expr_daddr_not_unicast(struct rule *rule);                 /* fib daddr type != unicast */
/* ip daddr . meta l4proto . th dport @set */
void expr_daddr_and_port_in(struct rule *rule, uint8_t family, const char *set);
void expr_dport(struct rule *rule, uint8_t protocol, uint16_t port); /* tcp dport 80 */
void expr_dport_in(struct rule *rule, uint8_t protocol, const char *set); /* udp dport @set */
void expr_udp_dport_outside(struct rule *rule, uint16_t first,
			    uint16_t last);                     /* udp dport != 32768-60999 */
void expr_ip_options(struct rule *rule);        /* ip hdrlength > 5 */
void expr_routing_header(struct rule *rule);    /* exthdr rt exists */
void expr_tcp_syn(struct rule *rule);           /* tcp flags syn / fin,syn,rst,ack */
void expr_tcp_syn_ack(struct rule *rule);       /* tcp flags syn,ack / fin,syn,rst,ack */
void expr_tcp_rst(struct rule *rule);           /* tcp flags & rst == rst */
void expr_icmp_echo(struct rule *rule);         /* icmp type echo-request */
void expr_icmpv6(struct rule *rule, uint8_t type, const char *name); /* icmpv6 type <name> */
void expr_hoplimit(struct rule *rule, uint8_t limit);           /* ip6 hoplimit 255 */
void expr_ct_mark(struct rule *rule, uint32_t mark);            /* ct mark 0x52464e01 */
void expr_ct_original(struct rule *rule);                       /* ct direction original */
void expr_ct_reply(struct rule *rule);                          /* ct direction reply */
void expr_ct_dnat(struct rule *rule);                           /* ct status dnat */
void expr_ct_not_dnat(struct rule *rule);                       /* ct status ! dnat */
void expr_ct_not_snat(struct rule *rule);                       /* ct status ! snat */
void expr_ct_new(struct rule *rule);                            /* ct state new */
void expr_ct_not_new(struct rule *rule);                        /* ct state != new */
void expr_ct_established(struct rule *rule);                    /* ct state established */
void expr_ct_invalid(struct rule *rule);                        /* ct state invalid */

/* Statements: the packet goes on. */
void expr_set_ct_mark(struct rule *rule, uint32_t mark);        /* ct mark set 0x52464e01 */
void expr_set_ct_zone(struct rule *rule, uint16_t zone);        /* ct original zone set 1 */
void expr_count(struct rule *rule);                             /* counter packets 0 bytes 0 */
void expr_limit(struct rule *rule, uint32_t rate, uint32_t burst); /* packets a second */
void expr_log(struct rule *rule, const char *prefix, uint16_t group, uint32_t snaplen,
	      uint16_t qthresh);

/* Verdicts: the last word of a rule. */
void expr_accept(struct rule *rule);
void expr_drop(struct rule *rule);
void expr_return(struct rule *rule);
void expr_goto(struct rule *rule, const char *chain);
void expr_redirect(struct rule *rule, uint16_t port);           /* redirect to :8080 */
void expr_reject_tcp(struct rule *rule);                        /* reject with tcp reset */
void expr_reject(struct rule *rule);            /* reject with icmpx admin-prohibited */

#endif
