/* notify_kinds.h - the kinds of services.  Private to notify_service.c and notify_parse.c. */
#ifndef DASHBOARD_NOTIFY_KINDS_H
#define DASHBOARD_NOTIFY_KINDS_H

#include "dashboard/notify_service.h"

struct notify_kind {
	const char *name;
	size_t (*body)(const struct notify_service *service, const struct alert *alert, time_t now,
		       char *out, size_t size);
	const char *content_type;       /* NULL: its own affair */
};

extern const struct notify_kind notify_kinds[];         /* closed by a name of NULL */

#endif
