/* learned_verify.c - the learned sets read back from the kernel.
 * They cannot be constant, so another program could add an address of its own or take one of ours
 * out, and neither shows in the fingerprint.  Times run while we read: what is about to go by
 * itself may be there or not. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "netfilter/install.h"
#include "netfilter/query.h"

enum {
	NEARLY_ENDED_MS = 3000,
	LONGER_PART = 8,                /* by how much the kernel's time may be longer than ours: */
	LONGER_MS = 3000,               /* two names may have asked for it in one transaction */
};

struct reading {
	const struct learned_table *learned;
	enum set_kind kind;
	uint64_t now_ms;
	size_t lasting;                 /* elements that do not end just now */
	bool foreign;                   /* something that we did not put there */
};

/* A key's bytes: NFTA_SET_ELEM_KEY holds a NFTA_DATA_VALUE. */
static bool read_key(const struct nlattr *attr, uint8_t key[24], uint32_t len)
{
	const struct nlattr *value = mnl_attr_get_payload(attr);

	if (mnl_attr_get_payload_len(attr) < sizeof(*value) + len ||
	    mnl_attr_get_type(value) != NFTA_DATA_VALUE || mnl_attr_get_payload_len(value) != len)
		return false;
	memcpy(key, mnl_attr_get_payload(value), len);
	return true;
}

/* Parts of one element. */
struct parts { uint8_t first[24], last[24]; bool has_first, has_last, ends; uint64_t left_ms; };

static void read_part(const struct reading *reading, const struct nlattr *attr,
		      struct parts *parts)
{
	static const uint32_t lens[] = { [SET_V4] = 4, [SET_V6] = 16, [SET_V4_PORTS] = 12,
					 [SET_V6_PORTS] = 24 };
	uint32_t len = lens[reading->kind];

	switch (mnl_attr_get_type(attr)) {
	case NFTA_SET_ELEM_KEY:
		parts->has_first = read_key(attr, parts->first, len);
		break;
	case NFTA_SET_ELEM_KEY_END:
		parts->has_last = read_key(attr, parts->last, len);
		break;
	case NFTA_SET_ELEM_EXPIRATION:
		parts->ends = mnl_attr_validate(attr, MNL_TYPE_U64) >= 0;
		if (parts->ends)
			parts->left_ms = be64toh(mnl_attr_get_u64(attr));
		break;
	}
}

static uint16_t port_in(const uint8_t *key)
{
	uint16_t wire;

	memcpy(&wire, key, sizeof(wire));
	return ntohs(wire);
}

static struct opened element_from(const struct reading *reading, const struct parts *parts)
{
	bool v4 = reading->kind == SET_V4 || reading->kind == SET_V4_PORTS;
	uint32_t len = v4 ? 4 : 16;
	struct opened element = { .left_ms = parts->left_ms };

	element.addr.sa.sa_family = v4 ? AF_INET : AF_INET6;
	if (v4)
		memcpy(&element.addr.v4.sin_addr, parts->first, len);
	else
		memcpy(&element.addr.v6.sin6_addr, parts->first, len);
	if (reading->kind == SET_V4_PORTS || reading->kind == SET_V6_PORTS) {
		element.ports.protocol = parts->first[len];
		element.ports.range.first = port_in(parts->first + len + 4);
		element.ports.range.last = parts->has_last ? port_in(parts->last + len + 4)
							   : element.ports.range.first;
	}
	return element;
}

static void on_element(struct reading *reading, const struct nlattr *element)
{
	struct parts parts = { 0 };
	struct opened opened;
	struct nlattr *attr;
	uint64_t until, left;

	mnl_attr_for_each_nested(attr, element)
		read_part(reading, attr, &parts);
	if (!parts.has_first || !parts.ends) {          /* one without a time stays for ever */
		reading->foreign = true;
		return;
	}
	opened = element_from(reading, &parts);
	until = learned_until(reading->learned, &opened);
	left = until > reading->now_ms ? until - reading->now_ms : 0;
	if (opened.left_ms > left + left / LONGER_PART + LONGER_MS)
		reading->foreign = true;
	reading->lasting += left > NEARLY_ENDED_MS;
}

static void on_elements(void *context, struct nlmsghdr *message)
{
	struct nlattr *attr, *element;

	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_ELEMENTS)
			mnl_attr_for_each_nested(element, attr)
				on_element(context, element);
}

int learned_verify(struct nft *nft)
{
	struct reading reading = { .learned = &nft->learned, .now_ms = learned_now_ms() };
	size_t lasting = learned_count(&nft->learned, reading.now_ms, NEARLY_ENDED_MS);
	int err = 0;

	for (unsigned i = 0; err == 0 && i < OPENED_SETS; i++) {
		_Alignas(struct nlmsghdr) char bytes[256];
		struct nlmsghdr *request = nftnl_nlmsg_build_hdr(bytes, NFT_MSG_GETSETELEM,
								 NFPROTO_INET, NLM_F_DUMP,
								 ++nft->seq);

		mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE);
		mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, nft->learned_sets[i]);
		reading.kind = opened_kinds[i];
		err = query(nft->netlink, request, on_elements, &reading);
	}
	if (err == -ENOENT)
		return 0;                       /* a set is gone */
	return err < 0 ? err : !reading.foreign && reading.lasting == lasting;
}
