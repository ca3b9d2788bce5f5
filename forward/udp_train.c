/* udp_train.c - datagrams out. */
#include "forward/udp_train.h"

#include <errno.h>
#include <string.h>

#include "core/udp_segment.h"

struct control {
	_Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
					       CMSG_SPACE(sizeof(uint16_t))];
	size_t len;
};

static void add_control(struct control *control, int level, int type, const void *data, size_t len)
{
	struct cmsghdr head = { .cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(len) };
	uint8_t *at = control->bytes + control->len;

	memcpy(at, &head, sizeof(head));
	memcpy(at + CMSG_LEN(0), data, len);
	control->len += CMSG_SPACE(len);
}

/* The source, so that a client of a host with many addresses hears from the one it spoke to. */
static void add_source(struct control *control, const struct udp_way *way)
{
	if (way->to->sa.sa_family == AF_INET) {
		struct in_pktinfo info = { .ipi_spec_dst = way->from->v4 };

		add_control(control, SOL_IP, IP_PKTINFO, &info, sizeof(info));
	} else {
		bool near = IN6_IS_ADDR_LINKLOCAL(&way->from->v6);
		struct in6_pktinfo info = { .ipi6_addr = way->from->v6,
					    .ipi6_ifindex = near ? way->from->interface : 0 };

		if (IN6_IS_ADDR_MULTICAST(&way->from->v6))      /* none of ours: any will do */
			info.ipi6_addr = in6addr_any;
		add_control(control, SOL_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
}

bool udp_is_icmp(int err)
{
	return err == ECONNREFUSED || err == EHOSTUNREACH || err == ENETUNREACH ||
	       err == ENOPROTOOPT || err == EPROTO || err == EOPNOTSUPP || err == EHOSTDOWN ||
	       err == ENONET || err == EACCES;
}

static int send_once(const struct udp_way *way, const struct iovec *parts, unsigned count,
		     uint32_t segment)
{
	struct control control = { .len = 0 };
	struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)parts,
				  .msg_iovlen = count };
	uint16_t size = (uint16_t)segment;

	if (!way->to && count == 1 && segment == 0)
		return send(way->fd, parts->iov_base, parts->iov_len,
			    MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
	if (way->to) {
		message.msg_name = (void *)(uintptr_t)way->to;
		message.msg_namelen = addr_len(way->to);
		add_source(&control, way);
	}
	if (segment > 0)
		add_control(&control, SOL_UDP, UDP_SEGMENT, &size, sizeof(size));
	if (control.len > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = control.len;
	}
	return sendmsg(way->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* segment 0: one datagram. */
static int send_patiently(const struct udp_way *way, const struct iovec *parts, unsigned count,
			  uint32_t segment, struct udp_sent *sent)
{
	int err = send_once(way, parts, count, segment);

	/* Told of what went before, not of what is being sent: that has not left, and may. */
	if (err < 0 && udp_is_icmp(-err)) {
		err = send_once(way, parts, count, segment);
		sent->errors += err == 0;
	}
	return err;
}

static void send_singly(const struct udp_way *way, const struct iovec *parts, unsigned count,
			uint32_t segment, struct udp_sent *sent)
{
	for (unsigned i = 0; i < count; i++) {
		uint8_t *at = parts[i].iov_base;
		size_t left = parts[i].iov_len;

		do {
			struct iovec one = { at, left < segment ? left : segment };

			if (send_patiently(way, &one, 1, 0, sent) < 0) {
				sent->dropped++;
			} else {
				sent->datagrams++;
				sent->bytes += (uint32_t)one.iov_len;
			}
			at += one.iov_len;
			left -= one.iov_len;
		} while (left > 0);
	}
}

void udp_train_send(struct udp_way *way, const struct iovec *parts, unsigned count,
		    uint32_t segment, struct udp_sent *sent)
{
	size_t bytes = 0;
	uint32_t datagrams;
	int err;

	for (unsigned i = 0; i < count; i++)
		bytes += parts[i].iov_len;
	datagrams = segment == 0 ? 1 : (uint32_t)((bytes + segment - 1) / segment);
	if (datagrams > 1 && segment > way->segment_max)
		return send_singly(way, parts, count, segment, sent);
	err = send_patiently(way, parts, count, datagrams > 1 ? segment : 0, sent);
	if (datagrams > 1 && udp_segment_refused(-err)) {
		way->segment_max = err == -EIO || err == -EOPNOTSUPP ? 0 : (uint16_t)(segment - 1);
		return send_singly(way, parts, count, segment, sent);
	}
	if (err < 0) {
		sent->dropped += datagrams;
	} else {
		sent->datagrams += datagrams;
		sent->bytes += (uint32_t)bytes;
	}
}
