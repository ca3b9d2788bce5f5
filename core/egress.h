/* egress.h - a socket of our own, as the rules know it: marked, and of our user id
 * (decisions.md 1, 2).  For threads that also touch files and so keep their own user id otherwise;
 * a worker belongs to ours for good (privilege.h). */
#ifndef CORE_EGRESS_H
#define CORE_EGRESS_H

#include <stdint.h>

struct egress {
	uint32_t mark;                  /* SO_MARK, 0: none */
	uint32_t uid;                   /* 0: the thread's own */
};

/* Everywhere NULL is ordinary sockets.  Sockets that this thread makes between these two belong to
 * our user id; only the thread's file system id changes. */
void egress_begin(const struct egress *egress);
void egress_end(const struct egress *egress);

/* Mark a socket.  Without the mark it must not be used: 0 or -errno. */
int egress_mark(const struct egress *egress, int fd);

/* socket(2), close-on-exec, ours and marked (a Unix socket is neither).  Returns it or -errno. */
int egress_socket(const struct egress *egress, int family, int type, int protocol);

#endif
