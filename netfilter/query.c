/* query.c - ask, and read answers until the last. */
#include "netfilter/query.h"

#include <errno.h>
#include <stdint.h>

int query(struct mnl_socket *netlink, const struct nlmsghdr *request, query_fn *handle,
	  void *context)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[32 * 1024];
	int err = 0;

	if (mnl_socket_sendto(netlink, request, request->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t len = mnl_socket_recvfrom(netlink, bytes, sizeof(bytes));
		struct nlmsghdr *message = (void *)bytes;
		int left = (int)len;

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return -errno;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);

			if (message->nlmsg_seq != request->nlmsg_seq)
				continue;               /* of a request we gave up on */
			if (message->nlmsg_flags & NLM_F_DUMP_INTR)
				err = -EINTR;
			if (message->nlmsg_type == NLMSG_DONE)
				return err;
			if (message->nlmsg_type == NLMSG_ERROR)
				return answer->error ? answer->error : err;
			handle(context, message);
		}
	}
}
