/* dns_bytes.h - DNS replies for tests, written record by record. */
#ifndef TESTS_UNIT_DNS_BYTES_H
#define TESTS_UNIT_DNS_BYTES_H

#include <arpa/inet.h>
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { DNS_A = 1, DNS_CNAME = 5, DNS_SOA = 6, DNS_TXT = 16, DNS_AAAA = 28 };
enum { DNS_ANSWER = 6, DNS_AUTHORITY = 8, DNS_ADDITIONAL = 10 };  /* where its count is */

struct dns_bytes {
	size_t len;
	uint8_t data[65535];
};

static inline void dns_put(struct dns_bytes *out, const void *data, size_t len)
{
	assert(out->len + len <= sizeof(out->data));
	memcpy(out->data + out->len, data, len);
	out->len += len;
}

static inline void dns_put_u16(struct dns_bytes *out, unsigned value)
{
	dns_put(out, &(uint16_t){ htons((uint16_t)value) }, 2);
}

static inline void dns_put_u32(struct dns_bytes *out, uint32_t value)
{
	dns_put(out, &(uint32_t){ htonl(value) }, 4);
}

/* "a.test", or "" for the root; "@" is a pointer to the question's name. */
static inline void dns_put_name(struct dns_bytes *out, const char *name)
{
	if (name[0] == '@') {
		dns_put_u16(out, 0xc00c);
		return;
	}
	while (*name) {
		size_t len = strcspn(name, ".");

		dns_put(out, &(uint8_t){ (uint8_t)len }, 1);
		dns_put(out, name, len);
		name += len + (name[len] == '.');
	}
	dns_put(out, "", 1);
}

/* Header with the given flags (0x8180: a good reply, 0x8183: no such name) and the question. */
static inline void dns_begin(struct dns_bytes *out, unsigned flags, const char *name, unsigned type)
{
	out->len = 0;
	dns_put_u16(out, 0x1234);
	dns_put_u16(out, flags);
	dns_put_u16(out, 1);
	dns_put(out, "\0\0\0\0\0", 6);
	dns_put_name(out, name);
	dns_put_u16(out, type);
	dns_put_u16(out, 1);
}

static inline void dns_record(struct dns_bytes *out, int section, const char *owner, unsigned type,
			      uint32_t ttl, const void *data, size_t len)
{
	if (++out->data[section + 1] == 0)
		out->data[section]++;
	dns_put_name(out, owner);
	dns_put_u16(out, type);
	dns_put_u16(out, 1);
	dns_put_u32(out, ttl);
	dns_put_u16(out, (unsigned)len);
	dns_put(out, data, len);
}

static inline void dns_a(struct dns_bytes *out, const char *owner, uint32_t ttl, const char *addr)
{
	struct in_addr ip;

	assert(inet_pton(AF_INET, addr, &ip) == 1);
	dns_record(out, DNS_ANSWER, owner, DNS_A, ttl, &ip, 4);
}

static inline void dns_aaaa(struct dns_bytes *out, const char *owner, uint32_t ttl,
			    const char *addr)
{
	struct in6_addr ip;

	assert(inet_pton(AF_INET6, addr, &ip) == 1);
	dns_record(out, DNS_ANSWER, owner, DNS_AAAA, ttl, &ip, 16);
}

static inline void dns_cname(struct dns_bytes *out, const char *owner, uint32_t ttl,
			     const char *target)
{
	static struct dns_bytes name;

	name.len = 0;
	dns_put_name(&name, target);
	dns_record(out, DNS_ANSWER, owner, DNS_CNAME, ttl, name.data, name.len);
}

static inline void dns_soa(struct dns_bytes *out, uint32_t ttl, uint32_t minimum)
{
	static struct dns_bytes soa;

	soa.len = 0;
	dns_put_name(&soa, "ns.test");
	dns_put_name(&soa, "root.test");
	for (int i = 0; i < 4; i++)
		dns_put_u32(&soa, 1);
	dns_put_u32(&soa, minimum);
	dns_record(out, DNS_AUTHORITY, "test", DNS_SOA, ttl, soa.data, soa.len);
}

#endif
