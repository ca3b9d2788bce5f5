/* http.h - libmicrohttpd's side of the server: connections in, requests through, replies out. */
#ifndef DASHBOARD_HTTP_H
#define DASHBOARD_HTTP_H

#include "dashboard/server.h"

/* 0 or -errno: server->daemon. */
int http_open(struct server *server);
/* Take in what waits at a listening socket. */
void http_accept(struct server *server, int listen_fd);
/* Each second: requests that take too long to arrive are cut. */
void http_tick(struct server *server);
void http_close(struct server *server);

#endif
