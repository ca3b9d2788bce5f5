/* fingerprint.c - our table read back, boiled down to one number. */
#include "netfilter/fingerprint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "netfilter/query.h"

/* What a dump passes to each message's handler. */
struct reading {
	const char *table;
	const uint16_t *attrs;          /* what counts, then 0; the first is the table's name */
	uint64_t hash;
	uint32_t generation;
};

static int ask(struct mnl_socket *netlink, uint32_t seq, uint16_t type, uint16_t flags,
	       query_fn *handle, struct reading *reading)
{
	_Alignas(struct nlmsghdr) char bytes[256];
	struct nlmsghdr *request = nftnl_nlmsg_build_hdr(bytes, type, NFPROTO_INET, flags, seq);

	/* Rules and sets can be asked for by table; others ignore it. */
	if (type == NFT_MSG_GETRULE || type == NFT_MSG_GETSET)
		mnl_attr_put_strz(request, NFTA_RULE_TABLE, reading->table);
	return query(netlink, request, handle, reading);
}

static void on_generation(void *context, struct nlmsghdr *message)
{
	struct reading *reading = context;
	struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == NFTA_GEN_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			reading->generation = ntohl(mnl_attr_get_u32(attr));
}

int ruleset_generation(struct mnl_socket *netlink, uint32_t seq, uint32_t *generation)
{
	struct reading reading = { 0 };
	int err = ask(netlink, seq, NFT_MSG_GETGEN, NLM_F_ACK, on_generation, &reading);

	if (err < 0)
		return err;
	if (reading.generation == 0)
		return -EPROTO;
	*generation = reading.generation;
	return 0;
}

/* FNV-1a: whoever could make two tables collide has the right to change ours anyway. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

/* Add a table, chain, rule or set to the hash, if it is of our table. */
static void on_object(void *context, struct nlmsghdr *message)
{
	struct reading *reading = context;
	uint16_t kind = message->nlmsg_type;
	uint64_t hash = hash_bytes(reading->hash, &kind, sizeof(kind));
	struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg)) {
		uint16_t type = mnl_attr_get_type(attr);

		if (type == reading->attrs[0] &&
		    (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0 ||
		     strcmp(mnl_attr_get_str(attr), reading->table) != 0))
			return;
		for (const uint16_t *wanted = reading->attrs; *wanted; wanted++)
			if (type == *wanted)
				hash = hash_bytes(hash, attr, mnl_attr_get_len(attr));
	}
	reading->hash = hash;
}

int table_fingerprint(struct mnl_socket *netlink, uint32_t *seq, const char *table,
		      uint64_t *fingerprint)
{
	static const uint16_t of_table[] = { NFTA_TABLE_NAME, NFTA_TABLE_FLAGS,
					     NFTA_TABLE_HANDLE, 0 };
	static const uint16_t of_chain[] = { NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HANDLE,
					     NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY, 0 };
	static const uint16_t of_set[] = { NFTA_SET_TABLE, NFTA_SET_NAME, NFTA_SET_HANDLE,
					   NFTA_SET_FLAGS, 0 };
	static const uint16_t of_rule[] = { NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_HANDLE, 0 };
	static const struct { uint16_t type; const uint16_t *attrs; } parts[] = {
		{ NFT_MSG_GETTABLE, of_table }, { NFT_MSG_GETCHAIN, of_chain },
		{ NFT_MSG_GETSET, of_set }, { NFT_MSG_GETRULE, of_rule },
	};
	struct reading reading = { .table = table, .hash = 0xcbf29ce484222325 };
	int err = 0;

	_Static_assert((int)NFTA_RULE_TABLE == (int)NFTA_SET_TABLE, "ask() uses one for both");
	for (size_t i = 0; err == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
		reading.attrs = parts[i].attrs;
		err = ask(netlink, ++*seq, parts[i].type, NLM_F_DUMP, on_object, &reading);
	}
	if (err == -ENOENT)                     /* no such table: as good as empty */
		err = 0;
	if (err == 0)
		*fingerprint = reading.hash;
	return err;
}
