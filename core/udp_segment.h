/* udp_segment.h - datagrams of one size by one call: udp(7), UDP_SEGMENT. */
#ifndef CORE_UDP_SEGMENT_H
#define CORE_UDP_SEGMENT_H

#include <errno.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

union udp_segment {
	struct cmsghdr head;
	uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
};

/* The message is cut into datagrams of so many bytes; the last may be shorter.  control belongs to
 * the message until it is sent. */
static inline void udp_segment_set(struct msghdr *message, union udp_segment *control,
				   uint16_t bytes)
{
	control->head = (struct cmsghdr){ .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT,
					  .cmsg_len = CMSG_LEN(sizeof(bytes)) };
	memcpy(CMSG_DATA(&control->head), &bytes, sizeof(bytes));
	message->msg_control = control;
	message->msg_controllen = sizeof(*control);
}

/* Does this errno say that they are larger than the path, or that nobody can cut them?  Single ones
 * may still go. */
static inline bool udp_segment_refused(int err)
{
	return err == EINVAL || err == EMSGSIZE || err == EIO || err == EOPNOTSUPP;
}

#endif
