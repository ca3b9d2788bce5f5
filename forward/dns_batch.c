/* dns_batch.c - answers by UDP, sent together.
 * A train is of datagrams of one size but for the last, which may be shorter: an answer goes into
 * its client's train as long as it fits there, and begins another otherwise.  What is longer than
 * a packet would be refused, as if the kernel knew no trains. */
#include "forward/dns_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/udp_segment.h"
#include "forward/udp_train.h"
#include "proto/dns.h"

enum {
	ANSWERS_MAX = 64,
	NONE = 0xff,
};

struct answer {
	uint16_t len;
	uint8_t next;                   /* of its train */
	uint8_t bytes[DNS_UDP_MAX];
};

struct train {
	union addr to;
	uint16_t segment, last_len;
	uint8_t first, last, count;
};

struct dns_batch {
	int fd;
	unsigned answer_count, train_count;
	bool singly;                    /* trains were refused: never again */
	struct train trains[ANSWERS_MAX];
	struct answer answers[ANSWERS_MAX];
	struct mmsghdr messages[ANSWERS_MAX];
	struct iovec parts[ANSWERS_MAX];
	union udp_segment controls[ANSWERS_MAX];
};

struct dns_batch *dns_batch_new(void)
{
	return calloc(1, sizeof(struct dns_batch));
}

static bool is_same_client(const union addr *a, const union addr *b)
{
	if (a->v4.sin_port != b->v4.sin_port || a->sa.sa_family != b->sa.sa_family)
		return false;
	return a->sa.sa_family == AF_INET ?
	       a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr :
	       a->v6.sin6_scope_id == b->v6.sin6_scope_id &&
	       memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
}

static bool fits(const struct train *train, size_t len)
{
	return train->last_len == train->segment && len <= train->segment &&
	       train->count * (size_t)train->segment + len <= TRAIN_BYTES_MAX;
}

/* The train that an answer of this length may join. */
static struct train *train_for(struct dns_batch *batch, const union addr *to, size_t len)
{
	for (unsigned i = batch->train_count; i-- > 0 && !batch->singly;) {
		struct train *train = &batch->trains[i];

		if (is_same_client(&train->to, to))
			return fits(train, len) ? train : NULL;
	}
	return NULL;
}

unsigned dns_batch_add(struct dns_batch *batch, int fd, const union addr *to, const uint8_t *data,
		       size_t len)
{
	struct train *train;
	struct answer *answer;
	unsigned dropped = 0;
	uint8_t number;

	if (batch->answer_count == ANSWERS_MAX || (batch->answer_count > 0 && batch->fd != fd))
		dropped = dns_batch_flush(batch);
	batch->fd = fd;
	number = (uint8_t)batch->answer_count++;
	answer = &batch->answers[number];
	answer->len = (uint16_t)len;
	answer->next = NONE;
	memcpy(answer->bytes, data, len);
	train = train_for(batch, to, len);
	if (train) {
		batch->answers[train->last].next = number;
		train->count++;
	} else {
		train = &batch->trains[batch->train_count++];
		memcpy(&train->to, to, addr_len(to));
		train->segment = (uint16_t)len;
		train->first = number;
		train->count = 1;
	}
	train->last = number;
	train->last_len = (uint16_t)len;
	return dropped;
}

static void message_of(struct dns_batch *batch, struct train *train, struct iovec **parts,
		       unsigned i)
{
	struct msghdr *message = &batch->messages[i].msg_hdr;

	*message = (struct msghdr){ .msg_name = &train->to, .msg_namelen = addr_len(&train->to),
				    .msg_iov = *parts, .msg_iovlen = train->count };
	for (unsigned number = train->first; number != NONE;) {
		struct answer *answer = &batch->answers[number];

		*(*parts)++ = (struct iovec){ answer->bytes, answer->len };
		number = answer->next;
	}
	if (train->count > 1)
		udp_segment_set(message, &batch->controls[i], train->segment);
}

/* A train that was refused, or a single one again: ICMP told of one before it. */
static unsigned send_singly(struct dns_batch *batch, const struct msghdr *train)
{
	unsigned dropped = 0;

	for (size_t i = 0; i < train->msg_iovlen; i++) {
		struct msghdr one = { .msg_name = train->msg_name,
				      .msg_namelen = train->msg_namelen,
				      .msg_iov = &train->msg_iov[i], .msg_iovlen = 1 };
		ssize_t sent = sendmsg(batch->fd, &one, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && udp_is_icmp(errno))
			sent = sendmsg(batch->fd, &one, MSG_DONTWAIT | MSG_NOSIGNAL);
		dropped += sent < 0;
	}
	return dropped;
}

unsigned dns_batch_count(const struct dns_batch *batch)
{
	return batch->answer_count;
}

unsigned dns_batch_flush(struct dns_batch *batch)
{
	struct iovec *parts = batch->parts;
	unsigned sent = 0, dropped = 0;

	for (unsigned i = 0; i < batch->train_count; i++)
		message_of(batch, &batch->trains[i], &parts, i);
	while (sent < batch->train_count) {
		const struct msghdr *message = &batch->messages[sent].msg_hdr;
		int n = sendmmsg(batch->fd, batch->messages + sent, batch->train_count - sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			sent += (unsigned)n;
			continue;
		}
		if (udp_is_icmp(errno) || (message->msg_iovlen > 1 && udp_segment_refused(errno))) {
			batch->singly |= !udp_is_icmp(errno);
			dropped += send_singly(batch, message);
		} else {
			dropped += (unsigned)message->msg_iovlen;
		}
		sent++;
	}
	batch->answer_count = batch->train_count = 0;
	return dropped;
}
