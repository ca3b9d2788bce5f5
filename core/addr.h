/* addr.h - IPv4 or IPv6, with a port: parse, print, compare, classify.
 * Ports are in host order in every function; bytes inside the union are in network order. */
#ifndef CORE_ADDR_H
#define CORE_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "proto/str.h"

/* sa.sa_family is AF_INET, AF_INET6, or 0: no address. */
union addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

enum { ADDR_TEXT_MAX = 56 };            /* "[v6]:port" and its NUL */

/* What may be dialled for a name (decisions.md 9; IANA special-purpose registries, RFC 6890). */
enum addr_class {
	ADDR_GLOBAL,                    /* global unicast */
	ADDR_PRIVATE,                   /* RFC 1918, ULA, CGN, documentation, benchmark, reserved */
	ADDR_NEVER,                     /* loopback, link-local, metadata, multicast, unspecified,
					 * broadcast, and NAT64, 6to4 or mapped forms of those */
};

/* An inclusive range of addresses of one family. */
struct addr_range {
	union addr first, last;
};

socklen_t addr_len(const union addr *addr);
uint16_t addr_port(const union addr *addr);
void addr_set_port(union addr *addr, uint16_t port);

/* Parse "1.2.3.4" or "2001:db8::1" (inet_pton forms only, no brackets, port or zone); port is 0.
 * Returns false, *addr untouched, for anything else. */
bool addr_parse(struct str text, union addr *addr);

/* Parse "1.2.3.4:53", "[2001:db8::1]:53" (default_port 0: the port must be there), or without
 * a port when default_port is not 0. */
bool addr_parse_with_port(struct str text, uint16_t default_port, union addr *addr);

/* Parse an address or CIDR into the range it covers; host bits may be set.  A mapped one
 * (::ffff:1.2.3.4) is a range of IPv4. */
bool addr_range_parse(struct str text, struct addr_range *range);

/* Address alone; v4-mapped v6 is printed as it is.  Returns out. */
const char *addr_format_ip(const union addr *addr, char out[ADDR_TEXT_MAX]);
/* "1.2.3.4:80", "[2001:db8::1]:80". */
const char *addr_format(const union addr *addr, char out[ADDR_TEXT_MAX]);

bool addr_equal_ip(const union addr *a, const union addr *b);
/* Order by family, then address bytes; ports do not count.  <0, 0, >0. */
int addr_compare_ip(const union addr *a, const union addr *b);
/* Set *next to addr + 1; false at the end of the address space. */
bool addr_next(const union addr *addr, union addr *next);

/* ::ffff:1.2.3.4 becomes 1.2.3.4; anything else is left alone. */
void addr_unmap(union addr *addr);

/* A v6 address that carries an IPv4 one is classed as that, but ADDR_PRIVATE at best: unmap first
 * what the kernel hands out in mapped form.  No address at all is ADDR_NEVER. */
enum addr_class addr_classify(const union addr *addr);

#endif
