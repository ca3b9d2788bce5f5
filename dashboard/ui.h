/* ui.h - the UI's files over HTTP. */
#ifndef DASHBOARD_UI_H
#define DASHBOARD_UI_H

#include "dashboard/request.h"

/* The file at the request's path; false: there is none. */
bool ui_reply(struct request *request, const char *method);

#endif
