/* listening.c - which ports somebody listens on, from the tables of /proc/net.
 *
 * The kernel lists TCP sockets that listen before all others, so however many connections there
 * are, reading ends with the first of those. */
#include "health/listening.h"

#include <errno.h>

enum {
	STATE_LISTEN = 0x0a,
	STATE_CLOSE = 0x07,             /* a UDP socket without a peer */
	LINE_MAX = 512,
};

void listening_add_table(struct listening *listening, FILE *table, bool udp)
{
	char line[LINE_MAX];

	while (fgets(line, sizeof(line), table)) {
		unsigned port, state;

		/* "  0: 0100007F:1F90 00000000:0000 0A ...": slot, local, remote, state. */
		if (sscanf(line, " %*u: %*32[0-9A-F]:%4x %*32[0-9A-F]:%*4x %2x", &port, &state) !=
		    2)
			continue;               /* the heading */
		if (state == (udp ? STATE_CLOSE : STATE_LISTEN) && port <= UINT16_MAX)
			listening->ports[port / 8] |= (uint8_t)(1 << port % 8);
		else if (!udp)
			break;
	}
}

int listening_read(struct listening *listening, bool udp, bool v6)
{
	static const char *const paths[2][2] = {
		{ "/proc/net/tcp", "/proc/net/tcp6" },
		{ "/proc/net/udp", "/proc/net/udp6" },
	};
	FILE *table = fopen(paths[udp][v6], "re");

	if (!table)
		return -errno;
	listening_add_table(listening, table, udp);
	(void)fclose(table);
	return 0;
}
