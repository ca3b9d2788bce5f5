/* event_json.h - an event as JSON: for a dashboard (spec g0efilter 10), and as an OpenTelemetry log
 * record (OTLP/HTTP JSON). */
#ifndef DASHBOARD_EVENT_JSON_H
#define DASHBOARD_EVENT_JSON_H

#include "core/event.h"

enum { EVENT_JSON_MAX = 24 << 10 };     /* of any event, however its texts are escaped */

struct event_origin {                   /* who tells it */
	const char *hostname, *version;
};

/* What the dashboard's server stores: decisions, and from us also the ends of connections that went
 * somewhere, which complete a row there and which other servers pass over in silence. */
bool event_is_shipped(const struct event *event);

/* One object, keys in alphabetical order, no line end.  The seed's keys, and ours: conn, rule,
 * dialled, detail, to_allow, err, count, bytes_up ...  Returns its length. */
size_t event_json(const struct event *event, const struct event_origin *origin,
		  char out[EVENT_JSON_MAX]);

/* A LogRecord; names of attributes that OpenTelemetry has are its own (source.address). */
size_t event_otlp(const struct event *event, char out[EVENT_JSON_MAX]);
/* What stands before the first record of a request; they are joined by commas. */
size_t event_otlp_head(const struct event_origin *origin, const char *service,
		       char out[EVENT_JSON_MAX]);
#define EVENT_OTLP_TAIL "]}]}]}"

#endif
