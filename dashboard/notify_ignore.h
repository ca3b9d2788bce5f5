/* notify_ignore.h - what is never alerted: NOTIFICATION_IGNORE_DOMAINS (spec g0efilter 11).
 * A name, *.name (not name itself), an address or CIDR, a kind of address, component:NAME, or
 * ip-only: what has no name. */
#ifndef DASHBOARD_NOTIFY_IGNORE_H
#define DASHBOARD_NOTIFY_IGNORE_H

#include "core/addr.h"

enum { NOTIFY_IGNORES_MAX = 256 };

struct notify_ignore {
	unsigned count;
	struct notify_ignored {
		enum notify_what {
			IGNORE_NAME, IGNORE_BELOW, IGNORE_RANGE, IGNORE_ADDRESSES,
			IGNORE_COMPONENT, IGNORE_NAMELESS,
		} what;
		unsigned kinds;         /* bits, of addresses */
		struct addr_range range;
		char text[256];         /* lower case */
	} entries[NOTIFY_IGNORES_MAX];
};

/* A comma list.  Returns how many entries were dropped: with blanks in them, as the seed does, too
 * long or too many. */
unsigned notify_ignore_parse(struct notify_ignore *ignore, const char *list);

/* name: "" when there is none; addr: family 0 when there is none. */
bool notify_ignores(const struct notify_ignore *ignore, const char *name, const union addr *addr,
		    const char *component);

#endif
