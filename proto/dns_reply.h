/* dns_reply.h - what a DNS reply says about the addresses of the name that was asked for.
 * Follows RFC 1035 4.1, RFC 2181 8 (TTL) and RFC 2308 5 (how long "no" holds). */
#ifndef PROTO_DNS_REPLY_H
#define PROTO_DNS_REPLY_H

#include "proto/str.h"

enum { DNS_TYPE_A = 1, DNS_TYPE_AAAA = 28 };

enum {
	DNS_REPLY_ADDRS_MAX = 64,       /* more are left out */
	DNS_REPLY_CHAIN_MAX = 12,       /* CNAMEs from the question to the addresses */
};

struct dns_reply {
	uint8_t rcode;                  /* 0: see count; 3: no such name; else: the server failed */
	bool has_ttl;                   /* false: a "no" without SOA */
	uint32_t ttl_s;                 /* the least of the chain's, or how long "no" holds */
	unsigned count;                 /* distinct addresses */
	uint8_t addrs[DNS_REPLY_ADDRS_MAX][16]; /* network order; A uses the first 4 bytes */
};

/* Is this a reply to a question for this name (lower case, 1 to 253 bytes, no dot at the end),
 * class IN, type A or AAAA?  Header and question only: QR set, opcode QUERY, one question, the name
 * exactly as it was sent.  Anything else on a resolver's socket is forged or late. */
bool dns_reply_matches(const uint8_t *data, size_t len, struct str name);

/*
 * Read a reply to the question (name, type).  PARSED_OK: *reply is set; its addresses are those
 * owned by the name itself or by the end of the CNAME chain that begins at it, whatever else the
 * message carries and in whatever order.  PARSED_BAD: not such a reply, malformed, truncated (TC),
 * a chain too long or a loop.
 */
enum parsed dns_reply_parse(const uint8_t *data, size_t len, struct str name, uint16_t type,
			    struct dns_reply *reply);

#endif
