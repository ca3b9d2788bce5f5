/* nflog.c - the packets that the rules logged, read from the kernel. */
#include "netfilter/nflog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include <libnetfilter_log/libnetfilter_log.h>

#include "netfilter/shapes.h"

enum {
	DATAGRAMS_MAX = 16,             /* taken by one nflog_reader_read() */
	KERNEL_BUFFER = 64 * 1024,      /* the largest datagram */
	RECEIVE_BUFFER = 1 << 20,
	FLUSH_TIMEOUT = 10,             /* hundredths of a second */
};

struct nflog_reader {
	struct nflog_handle *handle;
	struct nflog_g_handle *group;
	nflog_fn *tell;
	void *context;
	uint32_t sequence;              /* of the next packet */
	uint64_t lost;
	struct shapes shapes;
	_Alignas(16) char bytes[2 * KERNEL_BUFFER];
};

static int on_packet(struct nflog_g_handle *group, struct nfgenmsg *message,
		     struct nflog_data *data, void *context)
{
	struct nflog_reader *reader = context;
	struct event event;
	uint32_t sequence;
	char *packet;
	int len = nflog_get_payload(data, &packet);

	(void)group;
	(void)message;
	if (nflog_get_seq(data, &sequence) == 0) {
		reader->lost += sequence - reader->sequence;
		reader->sequence = sequence + 1;
	}
	if (len > 0 && nflog_decode(nflog_get_prefix(data), (const uint8_t *)packet, (size_t)len,
				    &event))
		shapes_add(&reader->shapes, &event);
	return 0;
}

/* The kernel answers "not permitted" both without the right to ask and when another has the group;
 * who may ask may also read who has which. */
static bool group_is_taken(uint16_t group)
{
	FILE *groups = fopen("/proc/thread-self/net/netfilter/nfnetlink_log", "re");
	bool taken = false;
	unsigned one;

	while (groups && !taken && fscanf(groups, "%u%*[^\n]", &one) == 1)
		taken = one == group;
	if (groups)
		(void)fclose(groups);
	return taken;
}

static int configure(struct nflog_reader *reader, uint16_t group, uint32_t snaplen,
		     uint32_t qthresh)
{
	int buffer = RECEIVE_BUFFER, fd = nflog_fd(reader->handle);

	reader->group = nflog_bind_group(reader->handle, group);
	if (!reader->group && errno == EPERM && group_is_taken(group))
		return -EBUSY;
	if (!reader->group ||
	    nflog_set_mode(reader->group, NFULNL_COPY_PACKET, snaplen) < 0 ||
	    nflog_set_nlbufsiz(reader->group, KERNEL_BUFFER) < 0 ||
	    nflog_set_qthresh(reader->group, qthresh) < 0 ||
	    nflog_set_timeout(reader->group, FLUSH_TIMEOUT) < 0 ||
	    nflog_set_flags(reader->group, NFULNL_CFG_F_SEQ) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return errno ? -errno : -EIO;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	nflog_callback_register(reader->group, on_packet, reader);
	return 0;
}

int nflog_reader_open(uint16_t group, uint32_t snaplen, uint32_t qthresh, nflog_fn *tell,
		      void *context, struct nflog_reader **out)
{
	struct nflog_reader *reader = calloc(1, sizeof(*reader));
	int err;

	if (!reader)
		return -ENOMEM;
	reader->tell = tell;
	reader->context = context;
	errno = 0;
	reader->handle = nflog_open();
	err = reader->handle ? configure(reader, group, snaplen, qthresh) : errno ? -errno : -EIO;
	if (err < 0) {
		nflog_reader_close(reader);
		return err;
	}
	*out = reader;
	return 0;
}

void nflog_reader_close(struct nflog_reader *reader)
{
	if (!reader)
		return;
	if (reader->group)
		nflog_unbind_group(reader->group);
	if (reader->handle)
		nflog_close(reader->handle);
	free(reader);
}

int nflog_reader_fd(const struct nflog_reader *reader)
{
	return nflog_fd(reader->handle);
}

int nflog_reader_read(struct nflog_reader *reader)
{
	for (int i = 0; i < DATAGRAMS_MAX; i++) {
		ssize_t len = recv(nflog_fd(reader->handle), reader->bytes, sizeof(reader->bytes),
				   MSG_DONTWAIT);

		if (len < 0 && (errno == EINTR || errno == ENOBUFS))
			continue;               /* what is missing shows in the sequence */
		if (len < 0)
			return errno == EAGAIN ? 0 : -errno;
		(void)nflog_handle_packet(reader->handle, reader->bytes, (int)len);
	}
	return 0;
}

void nflog_reader_tick(struct nflog_reader *reader)
{
	shapes_tell(&reader->shapes, reader->tell, reader->context);
}

uint64_t nflog_reader_lost(const struct nflog_reader *reader)
{
	return reader->lost;
}
