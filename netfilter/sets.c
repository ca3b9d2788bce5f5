/* sets.c - sets of addresses and ports, as netlink messages and as text.
 * The kernel wants an interval as two elements: where it begins, and, flagged as an end, the first
 * value behind it.  An interval up to the last value there is has no end. */
#include "netfilter/sets.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#ifndef NFT_SET_CONCAT
#define NFT_SET_CONCAT 0x80
#endif

enum {
	ELEMENT_BYTES_MAX = 40,                 /* four attribute headers, flags, an address */
	OPENED_BYTES_MAX = 80,                  /* two keys of 24 bytes, a timeout */
	ELEMENTS_PER_MESSAGE = 512,
};
_Static_assert(2 * ELEMENTS_PER_MESSAGE * ELEMENT_BYTES_MAX < BATCH_ROOM, "a message has the room");
_Static_assert(ELEMENTS_PER_MESSAGE * OPENED_BYTES_MAX < BATCH_ROOM, "a message has the room");

/* nft's numbers for the types of keys: part of its listing, the kernel only stores them.  Those of
 * a concatenation stand side by side, six bits each. */
enum { IPV4_ADDR = 7, IPV6_ADDR = 8, INET_PROTO = 12, INET_SERVICE = 13 };

static const struct { const char *name; uint32_t type, len; } kinds[] = {
	[SET_PORTS] = { "inet_service", INET_SERVICE, 2 },
	[SET_V4]    = { "ipv4_addr", IPV4_ADDR, 4 },
	[SET_V6]    = { "ipv6_addr", IPV6_ADDR, 16 },
	[SET_V4_PORTS] = { "ipv4_addr . inet_proto . inet_service",
			   IPV4_ADDR << 12 | INET_PROTO << 6 | INET_SERVICE, 4 + 4 + 4 },
	[SET_V6_PORTS] = { "ipv6_addr . inet_proto . inet_service",
			   IPV6_ADDR << 12 | INET_PROTO << 6 | INET_SERVICE, 16 + 4 + 4 },
};

const enum set_kind opened_kinds[OPENED_SETS] = { SET_V4, SET_V6, SET_V4_PORTS, SET_V6_PORTS };

unsigned opened_set(const struct opened *opened)
{
	return (opened->ports.protocol ? OPENED_PORTS : OPENED_ADDRS) +
	       (opened->addr.sa.sa_family == AF_INET6);
}

static void put_key(struct nlmsghdr *message, uint16_t attr, const void *key, uint32_t len)
{
	struct nlattr *value = mnl_attr_nest_start(message, attr);

	mnl_attr_put(message, NFTA_DATA_VALUE, len, key);
	mnl_attr_nest_end(message, value);
}

static void put_element(struct nlmsghdr *message, const void *key, uint32_t len, uint32_t flags)
{
	struct nlattr *element = mnl_attr_nest_start(message, NFTA_LIST_ELEM);

	if (flags)
		mnl_attr_put_u32(message, NFTA_SET_ELEM_FLAGS, htonl(flags));
	put_key(message, NFTA_SET_ELEM_KEY, key, len);
	mnl_attr_nest_end(message, element);
}

static const void *addr_key(const union addr *addr)
{
	return addr->sa.sa_family == AF_INET ? (const void *)&addr->v4.sin_addr
					     : (const void *)&addr->v6.sin6_addr;
}

static void put_range(struct nlmsghdr *message, const struct addr_range *range, uint32_t len)
{
	union addr end;

	put_element(message, addr_key(&range->first), len, 0);
	if (addr_next(&range->last, &end))
		put_element(message, addr_key(&end), len, NFT_SET_ELEM_INTERVAL_END);
}

static void put_ports(struct nlmsghdr *message, const struct port_range *ports, bool interval)
{
	uint16_t first = htons(ports->first), end = htons((uint16_t)(ports->last + 1));

	put_element(message, &first, sizeof(first), 0);
	if (interval && ports->last < UINT16_MAX)
		put_element(message, &end, sizeof(end), NFT_SET_ELEM_INTERVAL_END);
}

/* A concatenated key: each part begins at a multiple of four bytes. */
static void put_ports_key(struct nlmsghdr *message, uint16_t attr, const struct opened *opened,
			  uint16_t port)
{
	uint32_t len = opened->addr.sa.sa_family == AF_INET ? 4 : 16;
	uint8_t key[16 + 4 + 4] = { 0 };
	uint16_t wire = htons(port);

	memcpy(key, addr_key(&opened->addr), len);
	key[len] = opened->ports.protocol;
	memcpy(key + len + 4, &wire, sizeof(wire));
	put_key(message, attr, key, len + 8);
}

static void put_opened(struct nlmsghdr *message, const struct opened *opened, bool timeout)
{
	struct nlattr *element = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
	uint32_t len = opened->addr.sa.sa_family == AF_INET ? 4 : 16;

	if (timeout)
		mnl_attr_put_u64(message, NFTA_SET_ELEM_TIMEOUT, htobe64(opened->left_ms));
	if (!opened->ports.protocol) {
		put_key(message, NFTA_SET_ELEM_KEY, addr_key(&opened->addr), len);
	} else {
		put_ports_key(message, NFTA_SET_ELEM_KEY, opened, opened->ports.range.first);
		put_ports_key(message, NFTA_SET_ELEM_KEY_END, opened, opened->ports.range.last);
	}
	mnl_attr_nest_end(message, element);
}

/* How many elements there may be, and what a concatenated key consists of. */
static void put_description(struct nlmsghdr *message, const struct set *set)
{
	const uint32_t lens[] = { set->kind == SET_V4_PORTS ? 4 : 16, 1, 2 };
	struct nlattr *desc = mnl_attr_nest_start(message, NFTA_SET_DESC), *concat, *field;

	mnl_attr_put_u32(message, NFTA_SET_DESC_SIZE, htonl(OPENED_SIZE));
	if (set->kind == SET_V4_PORTS || set->kind == SET_V6_PORTS) {
		concat = mnl_attr_nest_start(message, NFTA_SET_DESC_CONCAT);
		for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
			field = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
			mnl_attr_put_u32(message, NFTA_SET_FIELD_LEN, htonl(lens[i]));
			mnl_attr_nest_end(message, field);
		}
		mnl_attr_nest_end(message, concat);
	}
	mnl_attr_nest_end(message, desc);
}

static uint32_t set_flags(const struct set *set)
{
	uint32_t flags = set->learned ? NFT_SET_TIMEOUT : NFT_SET_CONSTANT;

	if (set->interval)
		flags |= NFT_SET_INTERVAL;
	if (set->kind == SET_V4_PORTS || set->kind == SET_V6_PORTS)
		flags |= NFT_SET_CONCAT;
	return flags;
}

int set_create(const struct set *set, const char *table, uint32_t id, struct batch *batch)
{
	struct nlmsghdr *message = batch_add(batch, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL,
					     "set", set->name);

	if (!message)
		return -ENOMEM;
	mnl_attr_put_strz(message, NFTA_SET_TABLE, table);
	mnl_attr_put_strz(message, NFTA_SET_NAME, set->name);
	mnl_attr_put_u32(message, NFTA_SET_FLAGS, htonl(set_flags(set)));
	mnl_attr_put_u32(message, NFTA_SET_KEY_TYPE, htonl(kinds[set->kind].type));
	mnl_attr_put_u32(message, NFTA_SET_KEY_LEN, htonl(kinds[set->kind].len));
	mnl_attr_put_u32(message, NFTA_SET_ID, htonl(id));
	if (set->learned)
		put_description(message, set);
	return 0;
}

int set_change(const struct set *set, const char *table, uint16_t type, uint16_t flags,
	       size_t *from, struct batch *batch)
{
	struct nlmsghdr *message = batch_add(batch, type, flags, "elements of the set", set->name);
	size_t to = *from + ELEMENTS_PER_MESSAGE;
	struct nlattr *list;

	if (!message)
		return -ENOMEM;
	mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, table);
	mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, set->name);
	list = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (; *from < to && *from < set->count; ++*from) {
		if (set->learned)
			put_opened(message, &set->opened[*from], type == NFT_MSG_NEWSETELEM);
		else if (set->kind == SET_PORTS)
			put_ports(message, &set->ports[*from], set->interval);
		else
			put_range(message, &set->ranges[*from], kinds[set->kind].len);
	}
	mnl_attr_nest_end(message, list);
	return 0;
}

int set_fill(const struct set *set, const char *table, size_t *from, struct batch *batch)
{
	return set_change(set, table, NFT_MSG_NEWSETELEM, NLM_F_CREATE, from, batch);
}

/* The prefix length of a range that is exactly a network, -1: it is none. */
static int prefix_len(const struct addr_range *range, uint32_t len)
{
	const uint8_t *first = addr_key(&range->first), *last = addr_key(&range->last);
	uint32_t bits = 0, all = len * 8;

	while (bits < all && !((first[bits / 8] ^ last[bits / 8]) & 0x80 >> bits % 8))
		bits++;
	for (uint32_t i = bits; i < all; i++)
		if (first[i / 8] & 0x80 >> i % 8 || !(last[i / 8] & 0x80 >> i % 8))
			return -1;
	return (int)bits;
}

static void print_range(const struct addr_range *range, uint32_t len, FILE *out)
{
	int prefix = prefix_len(range, len);
	char text[ADDR_TEXT_MAX];

	fputs(addr_format_ip(&range->first, text), out);
	if (prefix < 0)
		fprintf(out, "-%s", addr_format_ip(&range->last, text));
	else if ((uint32_t)prefix < len * 8)
		fprintf(out, "/%d", prefix);
}

static void print_ports(const struct port_range *ports, FILE *out)
{
	fprintf(out, "%u", ports->first);
	if (ports->last > ports->first)
		fprintf(out, "-%u", ports->last);
}

/* Without elements: those have times that have passed when they are read. */
static void print_learned(const struct set *set, FILE *out)
{
	fprintf(out, "\tset %s {\n\t\ttype %s\n\t\tsize %d\n\t\tflags %stimeout\n\t}\n", set->name,
		kinds[set->kind].name, OPENED_SIZE, set->interval ? "interval," : "");
}

void set_print(const struct set *set, FILE *out)
{
	if (set->learned) {
		print_learned(set, out);
		return;
	}
	fprintf(out, "\tset %s {\n\t\ttype %s\n\t\tflags constant%s\n", set->name,
		kinds[set->kind].name, set->interval ? ",interval" : "");
	for (size_t i = 0; i < set->count; i++) {
		fputs(i == 0 ? "\t\telements = { " : i % 4 == 0 ? ",\n\t\t\t     " : ", ", out);
		if (set->kind == SET_PORTS)
			print_ports(&set->ports[i], out);
		else
			print_range(&set->ranges[i], kinds[set->kind].len, out);
	}
	fputs(set->count > 0 ? " }\n\t}\n" : "\t}\n", out);
}
