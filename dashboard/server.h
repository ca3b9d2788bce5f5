/* server.h - the HTTP server: one thread, one epoll; what takes time is done by others. */
#ifndef DASHBOARD_SERVER_H
#define DASHBOARD_SERVER_H

#include "core/options.h"
#include "dashboard/hub.h"
#include "dashboard/request.h"
#include "dashboard/store.h"
#include "dashboard/visitors.h"

struct auth;
struct follower;
struct limits;
struct streams;
struct waiters;

struct server {
	const struct options *options;
	struct store_config store;
	struct MHD_Daemon *daemon;
	struct hub *hub;
	struct work *writer, *readers;
	struct auth *auth;
	struct streams *streams;
	struct waiters *waiters;
	struct limits *limits;          /* posts of events by address */
	struct request *requests;       /* all that are there */
	struct visitors visitors;       /* the connections */
	int listen_fd, unix_fd, epoll_fd, wake_fd, signal_fd;
	bool stopping;
	int64_t first_id;               /* of the newest event at the start */
	int64_t store_id;
	int64_t next_prune_ns, next_expiry_ns;  /* the writer's */
	int64_t stored_since_prune;     /* events; the writer's */
	struct follower *follower;      /* of other dashboards; NULL: there are none */
};

/* Opens everything: 0, or -errno with error saying what and why. */
int server_open(struct server *server, const struct options *options,
		char error[STORE_ERROR_MAX]);
/* Serves until SIGTERM or SIGINT. */
void server_run(struct server *server);
void server_close(struct server *server);       /* also one that is all zero but its fds -1 */

/* From any thread: the server's one looks after streams. */
void server_wake(void *server);
/* Let a thread with a store do the request's route; the connection is suspended meanwhile. */
void server_defer(struct request *request, struct work *work);
/* From a thread with a store: the reply is there. */
void server_done(struct request *request);

#endif
