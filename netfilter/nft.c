/* nft.c - the socket to the kernel's ruleset; our table removed and looked after.
 * Putting it in is install.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "netfilter/fingerprint.h"
#include "netfilter/install.h"

enum {
	VERIFY_TRIES = 20,
	WATCH_BATCH = 256,              /* messages taken at once */
	WATCH_RECEIVE_BUFFER = 1 << 20,
};

int nft_fail(struct nft *nft, int err, const char *what)
{
	snprintf(nft->error, sizeof(nft->error), "%s: %s", what, strerror(-err));
	return err;
}

int nft_open(struct nft **out)
{
	struct nft *nft = calloc(1, sizeof(*nft));
	struct timeval patience = { .tv_sec = 10 };
	int on = 1, err;

	if (!nft)
		return -ENOMEM;
	nft->netlink = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!nft->netlink || mnl_socket_bind(nft->netlink, 0, MNL_SOCKET_AUTOPID) < 0) {
		err = -errno;
		goto fail;
	}
	/* Errors in words, without a copy of the message they are about. */
	(void)mnl_socket_setsockopt(nft->netlink, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(nft->netlink, NETLINK_CAP_ACK, &on, sizeof(on));
	(void)setsockopt(mnl_socket_get_fd(nft->netlink), SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience));
	err = ruleset_generation(nft->netlink, ++nft->seq, &nft->generation);
	if (err < 0) {
		err = err == -EINVAL ? -EOPNOTSUPP : err;       /* nfnetlink without nf_tables */
		goto fail;
	}
	*out = nft;
	return 0;
fail:
	nft_close(nft);
	return err;
}

void nft_close(struct nft *nft)
{
	if (!nft)
		return;
	if (nft->netlink)
		mnl_socket_close(nft->netlink);
	learned_finish(&nft->learned);
	free(nft);
}

const char *nft_error(const struct nft *nft)
{
	return nft->error;
}

int nft_remove(struct nft *nft)
{
	struct batch batch;
	int err = transaction_begin(nft, &batch, 0);

	nft->installed = false;
	if (err == 0)                           /* so that there is one to delete */
		err = transaction_table(&batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	if (err == 0)
		err = transaction_table(&batch, NFT_MSG_DELTABLE, 0);
	return transaction_end(nft, &batch, err);
}

/* The table is not as we left it. */
static int verify_lost(struct nft *nft)
{
	nft->was_changed = true;
	return 0;
}

bool nft_was_changed(struct nft *nft)
{
	bool was_changed = nft->was_changed;

	nft->was_changed = false;
	return was_changed;
}

int nft_verify(struct nft *nft)
{
	uint32_t before, after;
	uint64_t fingerprint;
	int err;

	if (!nft->installed)
		return 0;
	for (int i = 0; i < VERIFY_TRIES; i++) {
		err = ruleset_generation(nft->netlink, ++nft->seq, &before);
		if (err < 0)
			return nft_fail(nft, err, "cannot read the ruleset's generation");
		if (before == nft->generation)
			return 1;
		err = table_fingerprint(nft->netlink, &nft->seq, NFT_TABLE, &fingerprint);
		if (err < 0 && err != -EINTR)
			return nft_fail(nft, err, "cannot read the installed rules back");
		if (err == 0 && fingerprint != nft->fingerprint)
			return verify_lost(nft);
		if (err == 0 && nft->learned_sets[0]) {
			err = learned_verify(nft);
			if (err == 0)
				return verify_lost(nft);
			err = err == 1 || err == -EINTR ? 0 : err;
			if (err < 0)
				return nft_fail(nft, err, "cannot read the learned addresses back");
		}
		if (err == 0)
			err = ruleset_generation(nft->netlink, ++nft->seq, &after);
		if (err == 0 && after == before) {
			nft->generation = before;       /* others changed what is theirs */
			return 1;
		}
	}
	return nft_fail(nft, -EAGAIN, "another program changes the nftables ruleset all the time");
}

int nft_watch_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int group = NFNLGRP_NFTABLES, buffer = WATCH_RECEIVE_BUFFER, err;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Each transaction ends with its generation, sent by the socket that asked for it. */
static bool is_foreign(const struct nft *nft, const struct nlmsghdr *message)
{
	return message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN) &&
	       message->nlmsg_pid != mnl_socket_get_portid(nft->netlink);
}

bool nft_watch_read(struct nft *nft, int fd)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[32 * 1024];
	bool foreign = false;

	for (int i = 0; i < WATCH_BATCH; i++) {
		ssize_t len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		struct nlmsghdr *message = (void *)bytes;
		int left = (int)len;

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno == ENOBUFS)
			foreign = true;                 /* missed some: look */
		if (len < 0 && errno != ENOBUFS)
			break;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			foreign |= is_foreign(nft, message);
	}
	return foreign;
}
