/* origin.c - where did a redirected datagram want to go?
 *
 * One question to connection tracking (ctnetlink): the flow whose answers go from our listener to
 * the client; its first tuple has what the client wrote. */
#include "netfilter/origin.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <time.h>

struct origin {
	struct mnl_socket *socket;
	uint32_t sequence;
};

int origin_open(struct origin **out)
{
	struct origin *origin = calloc(1, sizeof(*origin));
	struct timeval patience = { .tv_sec = 1 };
	int err;

	if (!origin)
		return -ENOMEM;
	origin->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!origin->socket || mnl_socket_bind(origin->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		err = -errno;
		origin_close(origin);
		return err;
	}
	(void)setsockopt(mnl_socket_get_fd(origin->socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience));
	origin->sequence = (uint32_t)time(NULL);
	*out = origin;
	return 0;
}

void origin_close(struct origin *origin)
{
	if (!origin)
		return;
	if (origin->socket)
		mnl_socket_close(origin->socket);
	free(origin);
}

static void put_tuple(struct nlmsghdr *head, const union addr *from, const union addr *to)
{
	struct nlattr *tuple = mnl_attr_nest_start(head, CTA_TUPLE_REPLY);
	struct nlattr *ip = mnl_attr_nest_start(head, CTA_TUPLE_IP), *proto;

	if (from->sa.sa_family == AF_INET) {
		mnl_attr_put_u32(head, CTA_IP_V4_SRC, from->v4.sin_addr.s_addr);
		mnl_attr_put_u32(head, CTA_IP_V4_DST, to->v4.sin_addr.s_addr);
	} else {
		mnl_attr_put(head, CTA_IP_V6_SRC, 16, &from->v6.sin6_addr);
		mnl_attr_put(head, CTA_IP_V6_DST, 16, &to->v6.sin6_addr);
	}
	mnl_attr_nest_end(head, ip);
	proto = mnl_attr_nest_start(head, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(head, CTA_PROTO_NUM, IPPROTO_UDP);
	mnl_attr_put_u16(head, CTA_PROTO_SRC_PORT, htons(addr_port(from)));
	mnl_attr_put_u16(head, CTA_PROTO_DST_PORT, htons(addr_port(to)));
	mnl_attr_nest_end(head, proto);
	mnl_attr_nest_end(head, tuple);
}

/* Attributes by their types. */
struct attrs { const struct nlattr *of[CTA_MAX + 1]; };

static int note_attr(const struct nlattr *attr, void *data)
{
	struct attrs *attrs = data;

	if (mnl_attr_get_type(attr) <= CTA_MAX)
		attrs->of[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static const struct nlattr *find(const struct nlattr *nest, uint16_t type)
{
	struct attrs attrs = { 0 };

	(void)mnl_attr_parse_nested(nest, note_attr, &attrs);
	return attrs.of[type];
}

/* The destination of the tuple that the client made. */
static bool read_tuple(const struct nlattr *tuple, sa_family_t family, union addr *dst)
{
	const struct nlattr *ip = find(tuple, CTA_TUPLE_IP), *proto = find(tuple, CTA_TUPLE_PROTO);
	const struct nlattr *addr, *port;
	union addr found = { 0 };

	if (!ip || !proto)
		return false;
	addr = find(ip, family == AF_INET ? CTA_IP_V4_DST : CTA_IP_V6_DST);
	port = find(proto, CTA_PROTO_DST_PORT);
	if (!addr || !port || mnl_attr_get_payload_len(addr) != (family == AF_INET ? 4 : 16) ||
	    mnl_attr_get_payload_len(port) != 2)
		return false;
	found.sa.sa_family = family;
	if (family == AF_INET)
		memcpy(&found.v4.sin_addr, mnl_attr_get_payload(addr), 4);
	else
		memcpy(&found.v6.sin6_addr, mnl_attr_get_payload(addr), 16);
	addr_set_port(&found, ntohs(mnl_attr_get_u16(port)));
	*dst = found;
	return true;
}

/* The flow, or the error that there is none. */
static bool read_answer(struct origin *origin, sa_family_t family, union addr *dst)
{
	_Alignas(struct nlmsghdr) char bytes[4096];
	ssize_t len = mnl_socket_recvfrom(origin->socket, bytes, sizeof(bytes));
	const struct nlmsghdr *head = (const void *)bytes;
	struct attrs attrs = { 0 };

	/* A late answer to an earlier question is not this one's. */
	while (len > 0 && mnl_nlmsg_ok(head, (int)len) && head->nlmsg_seq != origin->sequence)
		len = mnl_socket_recvfrom(origin->socket, bytes, sizeof(bytes));
	if (len <= 0 || !mnl_nlmsg_ok(head, (int)len) || head->nlmsg_type == NLMSG_ERROR)
		return false;
	(void)mnl_attr_parse(head, sizeof(struct nfgenmsg), note_attr, &attrs);
	return attrs.of[CTA_TUPLE_ORIG] && read_tuple(attrs.of[CTA_TUPLE_ORIG], family, dst);
}

bool origin_of_udp(struct origin *origin, const union addr *client, const union addr *listener,
		   union addr *dst)
{
	char bytes[512];
	struct nlmsghdr *head;
	struct nfgenmsg *generic;

	if (!origin || client->sa.sa_family != listener->sa.sa_family)
		return false;
	head = mnl_nlmsg_put_header(bytes);
	head->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	head->nlmsg_flags = NLM_F_REQUEST;
	head->nlmsg_seq = ++origin->sequence;
	generic = mnl_nlmsg_put_extra_header(head, sizeof(*generic));
	generic->nfgen_family = (uint8_t)client->sa.sa_family;
	generic->version = NFNETLINK_V0;
	put_tuple(head, listener, client);
	if (mnl_socket_sendto(origin->socket, head, head->nlmsg_len) < 0)
		return false;
	return read_answer(origin, client->sa.sa_family, dst);
}
