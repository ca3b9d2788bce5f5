/* sets.c - sets of addresses and ports, as netlink messages and as text.
 * The kernel wants an interval as two elements: where it begins, and, flagged as an end, the first
 * value behind it.  An interval up to the last value there is has no end. */
#include "netfilter/sets.h"

#include <arpa/inet.h>
#include <errno.h>

#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

enum {
	ELEMENT_BYTES_MAX = 40,                 /* four attribute headers, flags, an address */
	RANGES_PER_MESSAGE = 512,
};
_Static_assert(2 * RANGES_PER_MESSAGE * ELEMENT_BYTES_MAX < BATCH_ROOM, "a message has the room");

/* nft's numbers for the types of keys: part of its listing, the kernel only stores them. */
static const struct { const char *name; uint32_t type, len; } kinds[] = {
	[SET_PORTS] = { "inet_service", 13, 2 },
	[SET_V4]    = { "ipv4_addr", 7, 4 },
	[SET_V6]    = { "ipv6_addr", 8, 16 },
};

static void put_element(struct nlmsghdr *message, const void *key, uint32_t len, uint32_t flags)
{
	struct nlattr *element = mnl_attr_nest_start(message, NFTA_LIST_ELEM), *value;

	if (flags)
		mnl_attr_put_u32(message, NFTA_SET_ELEM_FLAGS, htonl(flags));
	value = mnl_attr_nest_start(message, NFTA_SET_ELEM_KEY);
	mnl_attr_put(message, NFTA_DATA_VALUE, len, key);
	mnl_attr_nest_end(message, value);
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

int set_create(const struct set *set, const char *table, uint32_t id, struct batch *batch)
{
	struct nftnl_set *nftnl = nftnl_set_alloc();
	struct nlmsghdr *message;
	int err = -ENOMEM;

	if (!nftnl)
		return err;
	message = batch_add(batch, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL, "set", set->name);
	if (message && nftnl_set_set_str(nftnl, NFTNL_SET_TABLE, table) >= 0 &&
	    nftnl_set_set_str(nftnl, NFTNL_SET_NAME, set->name) >= 0) {
		nftnl_set_set_u32(nftnl, NFTNL_SET_FAMILY, NFPROTO_INET);
		nftnl_set_set_u32(nftnl, NFTNL_SET_ID, id);
		nftnl_set_set_u32(nftnl, NFTNL_SET_KEY_TYPE, kinds[set->kind].type);
		nftnl_set_set_u32(nftnl, NFTNL_SET_KEY_LEN, kinds[set->kind].len);
		nftnl_set_set_u32(nftnl, NFTNL_SET_FLAGS,
				  NFT_SET_CONSTANT | (set->interval ? NFT_SET_INTERVAL : 0));
		nftnl_set_nlmsg_build_payload(message, nftnl);
		err = 0;
	}
	nftnl_set_free(nftnl);
	return err;
}

int set_fill(const struct set *set, const char *table, size_t *from, struct batch *batch)
{
	struct nlmsghdr *message = batch_add(batch, NFT_MSG_NEWSETELEM, NLM_F_CREATE,
					     "elements of the set", set->name);
	size_t to = *from + RANGES_PER_MESSAGE;
	struct nlattr *list;

	if (!message)
		return -ENOMEM;
	mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, table);
	mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, set->name);
	list = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (; *from < to && *from < set->count; ++*from) {
		if (set->kind == SET_PORTS)
			put_ports(message, &set->ports[*from], set->interval);
		else
			put_range(message, &set->ranges[*from], kinds[set->kind].len);
	}
	mnl_attr_nest_end(message, list);
	return 0;
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

void set_print(const struct set *set, FILE *out)
{
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
