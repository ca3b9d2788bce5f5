/* dns_text.h - records as text, for tests to compare. */
#ifndef TESTS_UNIT_DNS_TEXT_H
#define TESTS_UNIT_DNS_TEXT_H

#include <arpa/inet.h>
#include <stdio.h>

#include "proto/dns.h"

/* "192.0.2.1 192.0.2.2 hint:192.0.2.3"; valid until the next call. */
static inline const char *dns_addrs_text(const struct dns_records *records)
{
	static char text[8192];
	struct dns_addr_walk walk = { 0 };
	struct dns_addr addr;
	size_t used = 0;

	text[0] = '\0';
	while (dns_records_next_addr(records, &walk, &addr) && used + 64 < sizeof(text)) {
		char one[INET6_ADDRSTRLEN];

		inet_ntop(addr.len == 4 ? AF_INET : AF_INET6, addr.bytes, one, sizeof(one));
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%s",
					 used ? " " : "", addr.hint ? "hint:" : "", one);
	}
	return text;
}

/* "a.test 300 CNAME; b.test 60 A"; valid until the next call. */
static inline const char *dns_records_text(const struct dns_records *records)
{
	static char text[DNS_TEXT_MAX * 100];
	struct dns_record record;
	size_t used = 0;
	uint16_t at = 0;

	text[0] = '\0';
	while (dns_records_next(records, &at, &record)) {
		char owner[DNS_TEXT_MAX], type[16];

		dns_records_name(records, record.owner_at, owner);
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %u %s",
					 used ? "; " : "", owner, record.ttl_s,
					 dns_type_name(record.type, type, sizeof(type)));
	}
	return text;
}

#endif
