/* origin.h - where did a redirected datagram want to go?  TCP sockets know (SO_ORIGINAL_DST); of
 * UDP only the kernel's connection tracking does.  Control thread. */
#ifndef NETFILTER_ORIGIN_H
#define NETFILTER_ORIGIN_H

#include "core/addr.h"

struct origin;

/* 0 or -errno. */
int origin_open(struct origin **origin);
void origin_close(struct origin *origin);

/* Of the UDP flow from client to our listener.  false: there is none, or it was not redirected;
 * *dst is untouched then. */
bool origin_of_udp(struct origin *origin, const union addr *client, const union addr *listener,
		   union addr *dst);

#endif
