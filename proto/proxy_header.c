/* proxy_header.c - the PROXY protocol's header, written. */
#include "proto/proxy_header.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	V2_PROXY = 0x21,                /* version 2, a connection made for somebody else */
	V2_TCP4 = 0x11, V2_TCP6 = 0x21, /* family and stream */
	V2_FIXED = 16,                  /* bytes before the addresses */
};

static const uint8_t v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

struct end {
	uint8_t ip[16];                 /* IPv4: mapped */
	bool v4;
	uint16_t port;
};

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool read_end(const struct sockaddr *addr, struct end *end)
{
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	switch (addr->sa_family) {
	case AF_INET:
		memcpy(&v4, addr, sizeof(v4));
		memcpy(end->ip, mapped, sizeof(mapped));
		memcpy(end->ip + sizeof(mapped), &v4.sin_addr, 4);
		end->port = ntohs(v4.sin_port);
		break;
	case AF_INET6:
		memcpy(&v6, addr, sizeof(v6));
		memcpy(end->ip, &v6.sin6_addr, 16);
		end->port = ntohs(v6.sin6_port);
		break;
	default:
		return false;
	}
	end->v4 = memcmp(end->ip, mapped, sizeof(mapped)) == 0;
	return true;
}

/* inet_ntop() writes some IPv6 addresses with an IPv4 tail, which this protocol does not know. */
static void print_ip(const struct end *end, bool v4, char out[INET6_ADDRSTRLEN])
{
	const uint8_t *ip = end->ip;

	if (v4) {
		(void)inet_ntop(AF_INET, ip + sizeof(mapped), out, INET6_ADDRSTRLEN);
		return;
	}
	(void)inet_ntop(AF_INET6, ip, out, INET6_ADDRSTRLEN);
	if (!strchr(out, '.'))
		return;
	for (unsigned i = 0, at = 0; i < 16; i += 2)
		at += (unsigned)snprintf(out + at, INET6_ADDRSTRLEN - at, "%s%x", i > 0 ? ":" : "",
					 (unsigned)ip[i] << 8 | ip[i + 1]);
}

/* PROXY TCP4 192.0.2.1 198.51.100.2 40000 443 */
static size_t write_v1(const struct end *src, const struct end *dst, bool v4, uint8_t *out)
{
	char src_ip[INET6_ADDRSTRLEN], dst_ip[INET6_ADDRSTRLEN], text[PROXY_HEADER_MAX + 1];
	int len;

	print_ip(src, v4, src_ip);
	print_ip(dst, v4, dst_ip);
	len = snprintf(text, sizeof(text), "PROXY TCP%c %s %s %u %u\r\n", v4 ? '4' : '6', src_ip,
		       dst_ip, src->port, dst->port);
	assert(len > 0 && len <= PROXY_HEADER_MAX);
	memcpy(out, text, (size_t)len);
	return (size_t)len;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t len)
{
	memcpy(at, bytes, len);
	return at + len;
}

static uint8_t *put_u16(uint8_t *at, uint16_t value)
{
	*at++ = (uint8_t)(value >> 8);
	*at++ = (uint8_t)value;
	return at;
}

static size_t write_v2(const struct end *src, const struct end *dst, bool v4, uint8_t *out)
{
	unsigned skip = v4 ? sizeof(mapped) : 0, ip_len = 16 - skip;
	uint8_t *at = put(out, v2_signature, sizeof(v2_signature) - 1);

	*at++ = V2_PROXY;
	*at++ = v4 ? V2_TCP4 : V2_TCP6;
	at = put_u16(at, (uint16_t)(2 * ip_len + 4));
	assert(at == out + V2_FIXED);
	at = put(at, src->ip + skip, ip_len);
	at = put(at, dst->ip + skip, ip_len);
	at = put_u16(at, src->port);
	at = put_u16(at, dst->port);
	return (size_t)(at - out);
}

size_t proxy_header(unsigned version, const struct sockaddr *src, const struct sockaddr *dst,
		    uint8_t out[PROXY_HEADER_MAX])
{
	struct end from, to;

	if (!read_end(src, &from) || !read_end(dst, &to))
		return 0;
	switch (version) {
	case 1:
		return write_v1(&from, &to, from.v4 && to.v4, out);
	case 2:
		return write_v2(&from, &to, from.v4 && to.v4, out);
	default:
		return 0;
	}
}
