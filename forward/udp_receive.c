/* udp_receive.c - datagrams in, by one request that goes on; where Linux has none (before 6.0), by
 * waiting until the socket is readable and recvmsg(2), into buffers that then look the same. */
#include "forward/udp_receive.h"

#include <assert.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>

#include "core/features.h"

enum {
	NAME_LEN = 32,                  /* keeps what follows aligned */
	NAMED_CONTROL_LEN = CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)),
	CONTROL_LEN = CMSG_SPACE(sizeof(int)),
	READS_MAX = 32,                 /* without a word to others */
};

static_assert(sizeof(struct io_uring_recvmsg_out) + NAME_LEN + NAMED_CONTROL_LEN <=
	      DATAGRAM_HEAD_MAX, "a buffer holds the largest datagram");

static struct msghdr named_shape = { .msg_namelen = NAME_LEN,
				     .msg_controllen = NAMED_CONTROL_LEN };
static struct msghdr plain_shape = { .msg_controllen = CONTROL_LEN };

static op_fn on_datagram, on_readable;

int udp_receive_prepare(int fd, sa_family_t family, bool named)
{
	int one = 1, err = 0;

	if (features.udp_gro)           /* 5.0; without it trains come one by one */
		(void)setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
	if (named && family == AF_INET)
		err = setsockopt(fd, SOL_IP, IP_PKTINFO, &one, sizeof(one));
	else if (named)
		err = setsockopt(fd, SOL_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
	return err < 0 ? -errno : 0;
}

static void note_control(struct datagram *datagram, const struct cmsghdr *head, const uint8_t *data)
{
	if (head->cmsg_level == SOL_UDP && head->cmsg_type == UDP_GRO) {
		int segment;

		memcpy(&segment, data, sizeof(segment));
		if (segment > 0 && segment < datagram->len)
			datagram->segment = (uint16_t)segment;
	} else if (head->cmsg_level == SOL_IP && head->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo info;

		memcpy(&info, data, sizeof(info));
		datagram->local.v4 = info.ipi_spec_dst;
		datagram->local.interface = (uint32_t)info.ipi_ifindex;
	} else if (head->cmsg_level == SOL_IPV6 && head->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo info;

		memcpy(&info, data, sizeof(info));
		datagram->local.v6 = info.ipi6_addr;
		datagram->local.interface = info.ipi6_ifindex;
	}
}

static void read_control(struct datagram *datagram, const uint8_t *at, size_t len)
{
	while (len >= sizeof(struct cmsghdr)) {
		struct cmsghdr head;
		size_t step;

		memcpy(&head, at, sizeof(head));
		step = CMSG_ALIGN(head.cmsg_len);
		if (head.cmsg_len < sizeof(head) || head.cmsg_len > len)
			return;
		note_control(datagram, &head, at + CMSG_LEN(0));
		if (step >= len)
			return;
		at += step;
		len -= step;
	}
}

/* A buffer with res bytes of it used; the kernel has checked that it holds all of what it says. */
static void take_in(struct udp_rx *rx, uint16_t buf, int res)
{
	const struct msghdr *shape = rx->named ? &named_shape : &plain_shape;
	size_t head = sizeof(struct io_uring_recvmsg_out) + shape->msg_namelen +
		      shape->msg_controllen;
	uint8_t *at = buf_at(&rx->op.owner->loop->datagrams, buf);
	const struct io_uring_recvmsg_out *out = (const void *)at;
	struct datagram datagram = { .data = at + head, .buf = buf };

	assert((size_t)res >= head && !(out->flags & MSG_TRUNC));
	datagram.len = datagram.segment = (uint16_t)((size_t)res - head);
	if (out->controllen > 0)
		read_control(&datagram, at + sizeof(*out) + shape->msg_namelen,
			     out->controllen < shape->msg_controllen ? out->controllen :
								       shape->msg_controllen);
	if (rx->named)
		datagram.from = (const union addr *)(const void *)(at + sizeof(*out));
	rx->got(rx, &datagram);
}

/* In the turn that others have passed on what holds the buffers. */
static void starve(struct udp_rx *rx)
{
	struct udp_inlet *inlet = rx->inlet;

	metric_add(&inlet->metrics->bufs_starved, 1);
	owner_hold(rx->op.owner);
	rx->starved = true;
	rx->next_starved = inlet->starved;
	inlet->starved = rx;
}

void udp_feed_starved(struct udp_inlet *inlet)
{
	struct udp_rx *rx = inlet->starved, *next;

	inlet->starved = NULL;
	for (; rx; rx = next) {
		struct owner *owner = rx->op.owner;

		next = rx->next_starved;
		rx->starved = false;
		if (!owner->closing)
			udp_receive(rx);
		owner_release(owner);
	}
}

static void on_datagram(struct op *op, int res, uint32_t flags)
{
	struct udp_rx *rx = container_of(op, struct udp_rx, op);
	struct bufs *bufs = &op->owner->loop->datagrams;
	bool go_on = true;

	if (buf_of(flags) != BUF_NONE && res < 0)
		bufs_return(bufs, buf_of(flags));
	else if (buf_of(flags) != BUF_NONE)
		take_in(rx, buf_of(flags), res);
	if (res < 0 && res != -ENOBUFS)
		go_on = rx->failed(rx, res);
	if ((flags & IORING_CQE_F_MORE) || op->owner->closing || !go_on)
		return;
	if (res == -ENOBUFS && !bufs_grow(bufs))
		starve(rx);
	else
		udp_receive(rx);
}

/* One datagram, as the kernel would have put it into a buffer. */
static ssize_t read_one(struct udp_rx *rx, uint16_t buf)
{
	const struct msghdr *shape = rx->named ? &named_shape : &plain_shape;
	uint8_t *at = buf_at(&rx->op.owner->loop->datagrams, buf);
	struct io_uring_recvmsg_out *out = (void *)at;
	uint8_t *name = at + sizeof(*out), *control = name + shape->msg_namelen;
	size_t head = (size_t)(control - at) + shape->msg_controllen;
	struct iovec part = { at + head, DATAGRAM_BUF_LEN - head };
	struct msghdr message = {
		.msg_name = rx->named ? name : NULL, .msg_namelen = shape->msg_namelen,
		.msg_iov = &part, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = shape->msg_controllen,
	};
	ssize_t len = recvmsg(rx->fd, &message, MSG_DONTWAIT);

	if (len < 0)
		return -errno;
	*out = (struct io_uring_recvmsg_out){
		.namelen = message.msg_namelen, .controllen = (uint32_t)message.msg_controllen,
		.payloadlen = (uint32_t)len, .flags = (uint32_t)message.msg_flags,
	};
	return len + (ssize_t)head;
}

static void on_readable(struct op *op, int res, uint32_t flags)
{
	struct udp_rx *rx = container_of(op, struct udp_rx, op);
	struct bufs *bufs = &op->owner->loop->datagrams;
	bool starved = false, go_on = true;

	(void)res;
	(void)flags;
	for (unsigned i = 0; i < READS_MAX && go_on && !op->owner->closing && !starved; i++) {
		uint16_t buf = bufs_take(bufs);
		ssize_t len;

		if (buf == BUF_NONE) {
			starved = !bufs_grow(bufs);
			continue;
		}
		len = read_one(rx, buf);
		if (len >= 0) {
			take_in(rx, buf, (int)len);
			continue;
		}
		bufs_return(bufs, buf);
		if (len == -EAGAIN)
			break;
		go_on = rx->failed(rx, (int)len);
	}
	if (op->owner->closing || !go_on)
		return;
	if (starved)
		starve(rx);
	else
		udp_receive(rx);
}

void udp_receive(struct udp_rx *rx)
{
	if (rx->op.owner->loop->recvmsg_multishot)
		op_recvmsg_multi(&rx->op, rx->fd, rx->named ? &named_shape : &plain_shape,
				 on_datagram);
	else
		op_poll(&rx->op, rx->fd, POLLIN, on_readable);
}
