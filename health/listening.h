/* listening.h - which ports of this network namespace somebody listens on. */
#ifndef HEALTH_LISTENING_H
#define HEALTH_LISTENING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct listening {
	uint8_t ports[65536 / 8];       /* a bit each */
};

static inline bool listening_on(const struct listening *listening, uint16_t port)
{
	return listening->ports[port / 8] & (1 << port % 8);
}

/* Add what a table of /proc/net (tcp, tcp6, udp, udp6) says: TCP sockets in LISTEN, UDP sockets
 * without a peer.  Lines that are no such thing are skipped. */
void listening_add_table(struct listening *listening, FILE *table, bool udp);

/* Of one protocol and family in this process's own namespace.  0 or -errno: -ENOENT when there is
 * no such table, as of IPv6 where it is switched off. */
int listening_read(struct listening *listening, bool udp, bool v6);

#endif
