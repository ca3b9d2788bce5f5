/* batch.h - one nftables transaction: all of its commands take effect at once, or none does.
 * The kernel takes a transaction as one datagram between two marker messages, so it is put together
 * in memory, however large, and sent by one call. */
#ifndef NETFILTER_BATCH_H
#define NETFILTER_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

enum {
	BATCH_ROOM = 64 * 1024,         /* what one message may grow to */
	BATCH_ERROR_MAX = 512,
};

struct batch_label { const char *kind, *text; };

struct batch {
	uint8_t *bytes;                 /* len in use, of size */
	size_t len, size;
	uint32_t seq_first, seq;        /* of the marker, of the last message */
	size_t last;                    /* offset of the message that is still growing */
	struct batch_label *labels;     /* what each message is, by seq - seq_first */
	size_t labels_size;
};

/* Begin a transaction whose messages are numbered from seq on.  The kernel refuses it with
 * -ERESTART unless generation (not 0) is still that of its ruleset.  0 or -ENOMEM;
 * batch_finish() is due either way. */
int batch_init(struct batch *batch, uint32_t seq, uint32_t generation);
void batch_finish(struct batch *batch);

/* Append a message (NFT_MSG_*, NLM_F_*) and let the caller put up to BATCH_ROOM bytes of attributes
 * behind its header, until the next call.  kind and text say what it is should the kernel refuse
 * it ("rule", "tcp dport 80 ..."); they are borrowed.  NULL: no memory. */
struct nlmsghdr *batch_add(struct batch *batch, uint16_t type, uint16_t flags, const char *kind,
			   const char *text);

/* Send it and wait for the verdict.  0: in force.  -errno: nothing has changed, and error says in
 * plain words which message was refused. */
int batch_commit(struct batch *batch, struct mnl_socket *netlink, char error[BATCH_ERROR_MAX]);

#endif
