/* query.h - a question to the kernel's ruleset and all of its answer. */
#ifndef NETFILTER_QUERY_H
#define NETFILTER_QUERY_H

#include <libmnl/libmnl.h>

typedef void query_fn(void *context, struct nlmsghdr *message);

/* Send a request (NLM_F_DUMP or NLM_F_ACK) and hand each message of the answer to handle(), until
 * the end of the dump or the acknowledgement.  0 or -errno; -EINTR: the ruleset changed while we
 * read, what handle() has seen belongs to both. */
int query(struct mnl_socket *netlink, const struct nlmsghdr *request, query_fn *handle,
	  void *context);

#endif
