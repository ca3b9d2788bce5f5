/* addr_classify.c - what may be dialled for a name (decisions.md 9).
 * Two tables of special ranges, the IANA special-purpose registries (RFC 6890 and later) and what
 * clouds use for metadata; and the IPv6 forms that carry an IPv4 address, judged by what they
 * carry.  What no table names is global. */
#include "core/addr.h"

#include <arpa/inet.h>

static const struct special_v4 {
	uint8_t net[4];
	uint8_t prefix;
	enum addr_class class;
} special_v4[] = {                      /* the first that fits counts */
	{ { 0, 0, 0, 0 }, 8, ADDR_NEVER },              /* this host: Linux dials itself */
	{ { 127, 0, 0, 0 }, 8, ADDR_NEVER },            /* loopback */
	{ { 169, 254, 0, 0 }, 16, ADDR_NEVER },         /* link-local, most clouds' metadata */
	{ { 100, 100, 100, 200 }, 32, ADDR_NEVER },     /* Alibaba Cloud metadata */
	{ { 168, 63, 129, 16 }, 32, ADDR_NEVER },       /* Azure WireServer */
	{ { 192, 0, 0, 192 }, 32, ADDR_NEVER },         /* Oracle Cloud metadata */
	{ { 224, 0, 0, 0 }, 4, ADDR_NEVER },            /* multicast */
	{ { 255, 255, 255, 255 }, 32, ADDR_NEVER },     /* broadcast */
	{ { 10, 0, 0, 0 }, 8, ADDR_PRIVATE },           /* RFC 1918 */
	{ { 172, 16, 0, 0 }, 12, ADDR_PRIVATE },
	{ { 192, 168, 0, 0 }, 16, ADDR_PRIVATE },
	{ { 100, 64, 0, 0 }, 10, ADDR_PRIVATE },        /* carrier-grade NAT, RFC 6598 */
	{ { 192, 0, 0, 0 }, 24, ADDR_PRIVATE },         /* IETF protocol assignments */
	{ { 192, 0, 2, 0 }, 24, ADDR_PRIVATE },         /* documentation, RFC 5737 */
	{ { 198, 51, 100, 0 }, 24, ADDR_PRIVATE },
	{ { 203, 0, 113, 0 }, 24, ADDR_PRIVATE },
	{ { 192, 88, 99, 0 }, 24, ADDR_PRIVATE },       /* 6to4 relays, RFC 7526 */
	{ { 198, 18, 0, 0 }, 15, ADDR_PRIVATE },        /* benchmarks, RFC 2544 */
	{ { 240, 0, 0, 0 }, 4, ADDR_PRIVATE },          /* reserved */
};

static const struct special_v6 {
	uint8_t net[16];
	uint8_t prefix;
	enum addr_class class;
} special_v6[] = {
	{ { 0xff }, 8, ADDR_NEVER },                            /* multicast */
	{ { 0xfe, 0x80 }, 10, ADDR_NEVER },                     /* link-local */
	{ { 0xfd, 0x00, 0x0e, 0xc2 }, 32, ADDR_NEVER },         /* AWS metadata, DNS, time */
	{ { 0xfd, 0x20, 0, 0xce, [15] = 0 }, 64, ADDR_NEVER },  /* Google Cloud metadata */
	{ { 0xfd, 0x00, 0, 0x42, [15] = 0x42 }, 128, ADDR_NEVER },      /* Scaleway metadata */
	{ { 0xfd, 0x00, 0xa9, 0xfe, 0xa9, 0xfe }, 64, ADDR_NEVER },     /* Linode metadata */
	{ { 0xfc }, 7, ADDR_PRIVATE },                          /* unique local, RFC 4193 */
	{ { 0xfe, 0xc0 }, 10, ADDR_PRIVATE },                   /* site-local, RFC 3879 */
	{ { 0x01, 0x00 }, 63, ADDR_PRIVATE },                   /* discard, dummy; RFC 6666, 9780 */
	{ { 0x20, 0x01, 0x00 }, 23, ADDR_PRIVATE },             /* IETF protocol assignments */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, ADDR_PRIVATE },       /* documentation, RFC 3849 */
	{ { 0x3f, 0xff, 0x00 }, 20, ADDR_PRIVATE },             /* documentation, RFC 9637 */
	{ { 0x5f, 0x00 }, 16, ADDR_PRIVATE },                   /* segment routing, RFC 9602 */
};

/* IPv6 that some gateway or the kernel turns into IPv4: the address is at bytes `at`. */
static const struct carrier {
	uint8_t net[16];
	uint8_t prefix;
	uint8_t at;
} carriers[] = {
	{ { 0 }, 96, 12 },                                      /* compatible, and :: and ::1 */
	{ { [10] = 0xff, [11] = 0xff }, 96, 12 },               /* mapped, RFC 4291 2.5.5.2 */
	{ { [8] = 0xff, [9] = 0xff }, 96, 12 },                 /* translated, RFC 2765 */
	{ { 0x00, 0x64, 0xff, 0x9b }, 96, 12 },                 /* NAT64, RFC 6052 */
	{ { 0x20, 0x02 }, 16, 2 },                              /* 6to4, RFC 3056 */
	{ { 0x20, 0x01, 0, 0 }, 32, 4 },                        /* Teredo's server, RFC 4380 */
};

static bool in_prefix(const uint8_t *bytes, const uint8_t *net, unsigned prefix)
{
	unsigned whole = prefix / 8, rest = prefix % 8;

	if (memcmp(bytes, net, whole) != 0)
		return false;
	return rest == 0 || (bytes[whole] ^ net[whole]) >> (8 - rest) == 0;
}

static enum addr_class worse_of(enum addr_class a, enum addr_class b)
{
	return a > b ? a : b;
}

static enum addr_class classify_v4(const uint8_t *bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(special_v4); i++)
		if (in_prefix(bytes, special_v4[i].net, special_v4[i].prefix))
			return special_v4[i].class;
	return ADDR_GLOBAL;
}

/* 64:ff9b:1::/48 (RFC 8215): the network's owner chooses where in it the IPv4 address is
 * (RFC 6052 2.2), so look in all places; 0.0.0.0/8 in one means that it is not there. */
static enum addr_class classify_local_nat64(const uint8_t *bytes)
{
	static const uint8_t places[][4] = {    /* prefixes of 48, 56, 64 and 96 bits */
		{ 6, 7, 9, 10 }, { 7, 9, 10, 11 }, { 9, 10, 11, 12 }, { 12, 13, 14, 15 },
	};
	enum addr_class class = ADDR_PRIVATE;
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		uint8_t v4[4];

		for (size_t k = 0; k < 4; k++)
			v4[k] = bytes[places[i][k]];
		if (v4[0] == 0)
			continue;
		found = true;
		class = worse_of(class, classify_v4(v4));
	}
	return found ? class : ADDR_NEVER;
}

/* The class by what an address carries; ADDR_GLOBAL when it carries none. */
static enum addr_class classify_carried(const uint8_t *bytes)
{
	static const uint8_t local_nat64[] = { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 };
	static const uint8_t teredo[] = { 0x20, 0x01, 0, 0 }, isatap[] = { 0, 0, 0x5e, 0xfe };
	enum addr_class class = ADDR_GLOBAL;

	for (size_t i = 0; i < ARRAY_LEN(carriers); i++)
		if (in_prefix(bytes, carriers[i].net, carriers[i].prefix))
			class = worse_of(ADDR_PRIVATE, classify_v4(bytes + carriers[i].at));
	if (memcmp(bytes, teredo, sizeof(teredo)) == 0) {       /* the client's, inverted */
		const uint8_t client[4] = { (uint8_t)~bytes[12], (uint8_t)~bytes[13],
					    (uint8_t)~bytes[14], (uint8_t)~bytes[15] };

		class = worse_of(class, classify_v4(client));
	}
	if (memcmp(bytes, local_nat64, sizeof(local_nat64)) == 0)
		class = classify_local_nat64(bytes);
	/* ISATAP, RFC 5214: any prefix, then 0:5efe or 200:5efe, then the address */
	if ((bytes[8] & ~0x02) == isatap[0] && memcmp(bytes + 9, isatap + 1, 3) == 0)
		class = worse_of(class, worse_of(ADDR_PRIVATE, classify_v4(bytes + 12)));
	return class;
}

enum addr_class addr_classify(const union addr *addr)
{
	const uint8_t *bytes;
	enum addr_class class;

	if (addr->sa.sa_family == AF_INET)
		return classify_v4((const uint8_t *)&addr->v4.sin_addr);
	if (addr->sa.sa_family != AF_INET6)
		return ADDR_NEVER;
	bytes = addr->v6.sin6_addr.s6_addr;
	class = classify_carried(bytes);
	for (size_t i = 0; i < ARRAY_LEN(special_v6); i++)
		if (in_prefix(bytes, special_v6[i].net, special_v6[i].prefix))
			return worse_of(class, special_v6[i].class);
	return class;
}
