/* ports.h - lists of ports as text, the same on both ends of the control socket. */
#ifndef HEALTH_PORTS_H
#define HEALTH_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/str.h"

struct health_port {
	uint16_t listen, dial;
};

enum { PORTS_TEXT_MAX = 56 << 10 };     /* more than 4096 ports need */

/* "80 8000-8010 8443:443": runs are joined, the order stays.  false: it does not fit. */
bool ports_text(const struct health_port *ports, unsigned count, char *out, size_t size);

/* Is the port a listening one of such a list? */
bool ports_have(struct str text, uint16_t port);

#endif
