/* batch.c - one nftables transaction: put together, sent, its verdict read. */
#include "netfilter/batch.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "proto/str.h"

#ifndef ERESTART
#define ERESTART 85                     /* the kernel says it, libc's headers may not */
#endif

enum { SEND_TRIES = 5 };

/* Modules behind the words of our rules: what to look for when the kernel does not know one. */
static const struct { const char *word, *modules; } needs[] = {
	{ "redirect", "nft_redir" },
	{ "type nat", "nft_chain_nat, nf_nat" },
	{ "fib ", "nft_fib_inet" },
	{ "log ", "nft_log, nfnetlink_log" },
	{ "limit ", "nft_limit" },
	{ "reject ", "nft_reject_inet" },
	{ "ct ", "nft_ct, nf_conntrack" },
};

/* Make room for one more message and close the one before. */
static int batch_grow(struct batch *batch)
{
	size_t count = batch->seq - batch->seq_first + 1;

	if (batch->size - batch->len < BATCH_ROOM) {
		size_t size = batch->size * 2 + BATCH_ROOM;
		uint8_t *bytes = realloc(batch->bytes, size);

		if (!bytes)
			return -ENOMEM;
		batch->bytes = bytes;
		batch->size = size;
	}
	if (batch->labels_size <= count) {
		size_t size = batch->labels_size * 2 + 64;
		struct batch_label *labels = realloc(batch->labels, size * sizeof(*labels));

		if (!labels)
			return -ENOMEM;
		batch->labels = labels;
		batch->labels_size = size;
	}
	return 0;
}

static void batch_close_last(struct batch *batch)
{
	struct nlmsghdr *last = (struct nlmsghdr *)(void *)(batch->bytes + batch->last);

	assert(last->nlmsg_len <= BATCH_ROOM);
	batch->len = batch->last + NLMSG_ALIGN(last->nlmsg_len);
}

int batch_init(struct batch *batch, uint32_t seq, uint32_t generation)
{
	struct nlmsghdr *begin;
	int err;

	*batch = (struct batch){ .seq_first = seq, .seq = seq };
	err = batch_grow(batch);
	if (err < 0)
		return err;
	begin = nftnl_batch_begin((char *)batch->bytes, seq);
	if (generation)
		mnl_attr_put_u32(begin, NFNL_BATCH_GENID, htonl(generation));
	batch->labels[0] = (struct batch_label){ "transaction", "" };
	return 0;
}

void batch_finish(struct batch *batch)
{
	free(batch->bytes);
	free(batch->labels);
	*batch = (struct batch){ 0 };
}

struct nlmsghdr *batch_add(struct batch *batch, uint16_t type, uint16_t flags, const char *kind,
			   const char *text)
{
	struct nlmsghdr *message;

	batch_close_last(batch);
	if (batch_grow(batch) < 0)
		return NULL;
	batch->seq++;
	batch->last = batch->len;
	batch->labels[batch->seq - batch->seq_first] = (struct batch_label){ kind, text };
	message = nftnl_nlmsg_build_hdr((char *)batch->bytes + batch->len, type, NFPROTO_INET,
					flags, batch->seq);
	return message;
}

/* The datagram must fit the socket's send buffer.  Forcing it needs CAP_NET_ADMIN in the first
 * user namespace; elsewhere net.core.wmem_max is the limit. */
static void batch_make_room(const struct batch *batch, int fd)
{
	int size = (int)batch->len + 4096;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static int batch_send(const struct batch *batch, struct mnl_socket *netlink, char *error)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	int err = 0;

	batch_make_room(batch, mnl_socket_get_fd(netlink));
	for (int i = 0; i < SEND_TRIES; i++) {
		if (mnl_socket_sendto(netlink, batch->bytes, batch->len) >= 0)
			return 0;
		err = -errno;
		if (err == -ENOBUFS)                    /* memory is tight just now */
			nanosleep(&pause, NULL);
		else if (err != -EINTR)
			break;
	}
	snprintf(error, BATCH_ERROR_MAX, err == -EMSGSIZE
		 ? "a transaction of %zu bytes is more than net.core.wmem_max lets us send (%s)"
		 : "cannot send a transaction of %zu bytes: %s", batch->len, strerror(-err));
	return err;
}

/* The kernel's own words in an error message, NULL: none. */
static const char *error_words(struct nlmsghdr *message)
{
	struct nlattr *attr;

	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS) || !(message->nlmsg_flags & NLM_F_CAPPED))
		return NULL;
	mnl_attr_for_each(attr, message, sizeof(struct nlmsgerr))
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			return mnl_attr_get_str(attr);
	return NULL;
}

static void batch_explain(const struct batch *batch, struct nlmsghdr *message, int err, char *error)
{
	const struct batch_label *label = &batch->labels[message->nlmsg_seq - batch->seq_first];
	const char *words = error_words(message);
	bool unknown = err == -ENOENT || err == -EOPNOTSUPP || err == -EPROTONOSUPPORT;
	size_t len;

	len = (size_t)snprintf(error, BATCH_ERROR_MAX, "the kernel refused the %s%s%s%s: %s%s%s",
			       label->kind, *label->text ? " \"" : "", label->text,
			       *label->text ? "\"" : "", strerror(-err), words ? ": " : "",
			       words ? words : "");
	if (unknown && strstr(label->text, " "))
		for (size_t i = 0; i < ARRAY_LEN(needs); i++)
			if (len < BATCH_ERROR_MAX && strstr(label->text, needs[i].word))
				len += (size_t)snprintf(error + len, BATCH_ERROR_MAX - len,
							"; it needs the kernel modules %s",
							needs[i].modules);
}

/* Take one answer apart.  The first refusal counts: the ones after it often only follow from it.
 * Returns true for the acknowledgement of the last message. */
static bool batch_answer(const struct batch *batch, struct nlmsghdr *message, int *err, char *error)
{
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);

	if (message->nlmsg_type != NLMSG_ERROR || message->nlmsg_seq < batch->seq_first ||
	    message->nlmsg_seq > batch->seq)
		return false;
	if (answer->error == 0)
		return message->nlmsg_seq == batch->seq;
	if (*err == 0) {
		*err = answer->error;
		batch_explain(batch, message, *err, error);
	}
	return false;
}

/* The kernel works while we send, so all answers wait in the socket now. */
static int batch_verdict(const struct batch *batch, struct mnl_socket *netlink, char *error)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[16 * 1024];
	bool acknowledged = false;
	int err = 0;

	for (;;) {
		ssize_t len = recv(mnl_socket_get_fd(netlink), bytes, sizeof(bytes), MSG_DONTWAIT);
		struct nlmsghdr *message = (void *)bytes;
		int left = (int)len;

		if (len < 0 && (errno == EINTR || errno == ENOBUFS))
			continue;               /* lost answers: refusals, or we miss the last */
		if (len <= 0)
			break;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			acknowledged |= batch_answer(batch, message, &err, error);
	}
	if (err == 0 && !acknowledged) {
		snprintf(error, BATCH_ERROR_MAX, "the kernel did not acknowledge the transaction");
		err = -EPROTO;
	}
	return err;
}

int batch_commit(struct batch *batch, struct mnl_socket *netlink, char error[BATCH_ERROR_MAX])
{
	struct nlmsghdr *last = (struct nlmsghdr *)(void *)(batch->bytes + batch->last);
	int err;

	assert(batch->seq > batch->seq_first);
	last->nlmsg_flags |= NLM_F_ACK;                 /* refusals come unasked */
	batch_close_last(batch);
	if (batch->size - batch->len < BATCH_ROOM && batch_grow(batch) < 0)
		return -ENOMEM;
	nftnl_batch_end((char *)batch->bytes + batch->len, batch->seq + 1);
	batch->last = batch->len;
	batch_close_last(batch);
	err = batch_send(batch, netlink, error);
	return err < 0 ? err : batch_verdict(batch, netlink, error);
}
