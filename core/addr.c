/* addr.c - IPv4 or IPv6, with a port: parse, print, compare, classify.
 * Text is what inet_pton() takes and nothing looser: no octal, no "127.1", no zone. */
#include "core/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

/* The address as bytes in network order; *len is 4 or 16, 0 for no address. */
static const uint8_t *addr_bytes(const union addr *addr, size_t *len)
{
	switch (addr->sa.sa_family) {
	case AF_INET:
		*len = 4;
		return (const uint8_t *)&addr->v4.sin_addr;
	case AF_INET6:
		*len = 16;
		return addr->v6.sin6_addr.s6_addr;
	default:
		*len = 0;
		return NULL;
	}
}

static uint8_t *addr_bytes_mut(union addr *addr, size_t *len)
{
	*len = addr->sa.sa_family == AF_INET ? 4 : 16;
	return *len == 4 ? (uint8_t *)&addr->v4.sin_addr : addr->v6.sin6_addr.s6_addr;
}

socklen_t addr_len(const union addr *addr)
{
	switch (addr->sa.sa_family) {
	case AF_INET:
		return sizeof(addr->v4);
	case AF_INET6:
		return sizeof(addr->v6);
	default:
		return 0;
	}
}

uint16_t addr_port(const union addr *addr)
{
	switch (addr->sa.sa_family) {
	case AF_INET:
		return ntohs(addr->v4.sin_port);
	case AF_INET6:
		return ntohs(addr->v6.sin6_port);
	default:
		return 0;
	}
}

void addr_set_port(union addr *addr, uint16_t port)
{
	if (addr->sa.sa_family == AF_INET)
		addr->v4.sin_port = htons(port);
	else if (addr->sa.sa_family == AF_INET6)
		addr->v6.sin6_port = htons(port);
}

bool addr_parse(struct str text, union addr *addr)
{
	union addr parsed = { 0 };
	char copy[INET6_ADDRSTRLEN];

	/* inet_pton() wants a C string, and would take "1.2.3.4\0evil" for its first half. */
	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.at, '\0', text.len))
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	if (inet_pton(AF_INET, copy, &parsed.v4.sin_addr) == 1) {
		parsed.v4.sin_family = AF_INET;
	} else {
		parsed = (union addr){ 0 };
		if (inet_pton(AF_INET6, copy, &parsed.v6.sin6_addr) != 1)
			return false;
		parsed.v6.sin6_family = AF_INET6;
	}
	*addr = parsed;
	return true;
}

/* A decimal number up to max, without sign, space or leading zero. */
static bool number_parse(struct str text, unsigned max, unsigned *number)
{
	unsigned value = 0;

	if (text.len == 0 || (text.len > 1 && text.at[0] == '0'))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text.at[i] - '0');
		if (value > max)
			return false;
	}
	*number = value;
	return true;
}

bool addr_parse_with_port(struct str text, uint16_t default_port, union addr *addr)
{
	bool brackets = text.len > 0 && text.at[0] == '[';
	struct str ip = text, port = { NULL, 0 };
	unsigned number = default_port;
	const char *end = NULL;
	union addr parsed;

	if (brackets) {
		end = memchr(text.at, ']', text.len);
		if (!end)
			return false;
		ip = (struct str){ text.at + 1, (size_t)(end - text.at) - 1 };
		end++;
	} else if (!addr_parse(text, &parsed)) {
		end = text.len ? memchr(text.at, ':', text.len) : NULL;
		if (!end)
			return false;
		ip = (struct str){ text.at, (size_t)(end - text.at) };
	} else {
		end = text.at + text.len;
	}
	port = (struct str){ end, (size_t)(text.at + text.len - end) };
	if (port.len > 0) {
		if (port.at[0] != ':')
			return false;
		port = (struct str){ port.at + 1, port.len - 1 };
		if (!number_parse(port, UINT16_MAX, &number))
			return false;
	}
	if (number == 0 || !addr_parse(ip, &parsed))
		return false;
	/* "[1.2.3.4]:80" is nobody's notation. */
	if (brackets && parsed.sa.sa_family != AF_INET6)
		return false;
	addr_set_port(&parsed, (uint16_t)number);
	*addr = parsed;
	return true;
}

/* Set the bits after the prefix to zero in *first and to one in *last. */
static void range_of_prefix(struct addr_range *range, unsigned prefix)
{
	size_t len;
	uint8_t *first = addr_bytes_mut(&range->first, &len);
	uint8_t *last = addr_bytes_mut(&range->last, &len);

	for (unsigned i = 0; i < len; i++) {
		unsigned fixed = prefix > 8 * i ? prefix - 8 * i : 0;
		uint8_t host_bits = fixed >= 8 ? 0 : (uint8_t)(0xff >> fixed);

		first[i] &= (uint8_t)~host_bits;
		last[i] |= host_bits;
	}
}

bool addr_range_parse(struct str text, struct addr_range *range)
{
	const char *slash = text.len ? memchr(text.at, '/', text.len) : NULL;
	struct str ip = { text.at, slash ? (size_t)(slash - text.at) : text.len };
	struct addr_range parsed;
	unsigned bits, prefix;

	if (!addr_parse(ip, &parsed.first))
		return false;
	bits = prefix = parsed.first.sa.sa_family == AF_INET ? 32 : 128;
	if (slash) {
		struct str digits = { slash + 1, text.len - ip.len - 1 };

		if (!number_parse(digits, bits, &prefix))
			return false;
	}
	/* Connections to a mapped address leave as IPv4, so that is what the range is about. */
	if (bits == 128 && prefix >= 96) {
		addr_unmap(&parsed.first);
		if (parsed.first.sa.sa_family == AF_INET)
			prefix -= 96;
	}
	parsed.last = parsed.first;
	range_of_prefix(&parsed, prefix);
	*range = parsed;
	return true;
}

const char *addr_format_ip(const union addr *addr, char out[ADDR_TEXT_MAX])
{
	size_t len;
	const uint8_t *bytes = addr_bytes(addr, &len);

	if (!bytes || !inet_ntop(addr->sa.sa_family, bytes, out, ADDR_TEXT_MAX))
		memcpy(out, "-", 2);
	return out;
}

const char *addr_format(const union addr *addr, char out[ADDR_TEXT_MAX])
{
	char ip[ADDR_TEXT_MAX];
	bool v6 = addr->sa.sa_family == AF_INET6;

	/* 46 bytes are the most inet_ntop() writes; the precision tells the compiler so. */
	addr_format_ip(addr, ip);
	if (addr->sa.sa_family == AF_UNSPEC)
		memcpy(out, "-", 2);
	else
		snprintf(out, ADDR_TEXT_MAX, v6 ? "[%.46s]:%u" : "%.46s:%u", ip, addr_port(addr));
	return out;
}

bool addr_equal_ip(const union addr *a, const union addr *b)
{
	return addr_compare_ip(a, b) == 0;
}

int addr_compare_ip(const union addr *a, const union addr *b)
{
	size_t len_a, len_b;
	const uint8_t *bytes_a = addr_bytes(a, &len_a), *bytes_b = addr_bytes(b, &len_b);

	if (len_a != len_b)
		return len_a < len_b ? -1 : 1;
	return len_a ? memcmp(bytes_a, bytes_b, len_a) : 0;
}

bool addr_next(const union addr *addr, union addr *next)
{
	union addr result = *addr;
	size_t len;
	uint8_t *bytes = addr_bytes_mut(&result, &len);

	assert(addr->sa.sa_family == AF_INET || addr->sa.sa_family == AF_INET6);
	for (size_t i = len; i > 0; i--) {
		if (++bytes[i - 1] != 0) {
			*next = result;
			return true;
		}
	}
	return false;
}

void addr_unmap(union addr *addr)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };

	if (addr->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->v6.sin6_addr))
		return;
	v4.sin_port = addr->v6.sin6_port;
	memcpy(&v4.sin_addr, addr->v6.sin6_addr.s6_addr + 12, 4);
	*addr = (union addr){ .v4 = v4 };
}
