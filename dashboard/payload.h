/* payload.h - the body of POST /api/v1/logs: gzip or not, an object, an array, or lines. */
#ifndef DASHBOARD_PAYLOAD_H
#define DASHBOARD_PAYLOAD_H

#include <jansson.h>

#include "dashboard/out.h"
#include "proto/str.h"

enum { PAYLOAD_PACKED_MAX = 1 << 20, PAYLOAD_PLAIN_MAX = 8 << 20, PAYLOAD_ITEMS_MAX = 10000 };

/* Inflate a whole gzip body into plain, up to plain->max.  false: not gzip, cut short, too long. */
bool payload_inflate(struct str packed, struct out *plain);

/* Would it take far more memory than it has bytes?  Looked at before it is parsed. */
bool payload_too_many(struct str body, bool lines);

/*
 * The items as an array of objects, ours to release; lines: one JSON object a line.
 * Bytes that are no UTF-8 become U+FFFD, as Go's decoder does it.  NULL: *error says why, in
 * generation B's words: "invalid json" or "empty payload".
 */
json_t *payload_parse(struct str body, bool lines, const char **error);

#endif
