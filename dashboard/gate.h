/* gate.h - what a request must be before anybody asks who sent it: for a name of ours, and, when it
 * changes something, from a page of ours.  Against other sites' pages in a user's browser. */
#ifndef DASHBOARD_GATE_H
#define DASHBOARD_GATE_H

#include "core/addr.h"
#include "dashboard/request.h"

/* Who sent it: the peer, or the client that trusted proxies name. */
void gate_source(struct request *request, const union addr *peer);
/* false: there is a reply. */
bool gate_check(struct request *request);
/* Has it exactly one such header? */
bool gate_is_once(const struct request *request, const char *name);
/* Is it of a page that CORS_ALLOWED_ORIGINS names? */
bool gate_is_cors(const struct request *request);
void gate_cors_headers(const struct request *request, struct MHD_Response *response);

/* A comma list of addresses and CIDRs: 0 or -EINVAL. */
int gate_check_list(const char *text);

#endif
