/* web_transfer.h - a request handed to libcurl.  Private to web.c. */
#ifndef DASHBOARD_WEB_TRANSFER_H
#define DASHBOARD_WEB_TRANSFER_H

#include "dashboard/web.h"

/* The target's addresses are known.  False: libcurl cannot do it, and has nothing of it. */
bool web_transfer_begin(struct web_request *request);

#endif
