/* server.c - the server's thread: an epoll over libmicrohttpd's own, listeners, signals, wakes. */
#include "dashboard/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/log.h"
#include "dashboard/auth.h"
#include "dashboard/http.h"
#include "dashboard/json_arena.h"
#include "dashboard/limits.h"
#include "dashboard/rfc3339.h"
#include "dashboard/route.h"
#include "dashboard/sockets.h"
#include "dashboard/sse.h"
#include "dashboard/store_events.h"
#include "dashboard/upkeep.h"
#include "dashboard/waiters.h"

enum {
	READERS = 2, READER_JOBS_MAX = 4096, WRITER_JOBS_MAX = 4096,
	WRITER_BYTES_MAX = 64 << 20,
	DRAIN_S = 5,                    /* for requests that are there when SIGTERM comes */
	EVENTS = 16,
};

void server_wake(void *arg)
{
	struct server *server = arg;
	uint64_t one = 1;

	/* A counter that is full is a wake-up that is there already. */
	if (write(server->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static void run_job(struct job *job, struct store *store)
{
	struct request *request = (struct request *)((char *)job - offsetof(struct request, job));

	request->route->handle(request, store);
	if (request->parked)
		waiters_park(request);
	else
		server_done(request);
}

void server_done(struct request *request)
{
	struct server *server = request->server;

	if (request->reply.status == 0)
		reply_error(request, 500, "no reply");
	/* From here on the request may be gone. */
	MHD_resume_connection(request->conn);
	server_wake(server);
}

void server_defer(struct request *request, struct work *work)
{
	if (request->job.run_all == NULL)
		request->job.run = run_job;
	request->job.weight = request->body.len;
	request->waited = true;
	MHD_suspend_connection(request->conn);
	if (work_push(work, &request->job))
		return;
	reply_error(request, 503, "too busy: try again");
	reply_header(request, "Retry-After", "1");
	MHD_resume_connection(request->conn);
}

static int watch(struct server *server, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (fd < 0)
		return 0;
	return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_fds(struct server *server, char error[STORE_ERROR_MAX])
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon,
							       MHD_DAEMON_INFO_EPOLL_FD);
	sigset_t signals;
	int err;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	server->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server->signal_fd < 0 || server->epoll_fd < 0 || !info)
		return -EMFILE;
	err = watch(server, info->epoll_fd);
	if (err == 0)
		err = watch(server, server->signal_fd);
	if (err == 0)
		err = watch(server, server->wake_fd);
	if (err == 0)
		err = sockets_listen_tcp(server->options->dashboard_listen, &server->listen_fd,
					 error);
	if (err == 0)
		err = sockets_listen_unix(server->options->unix_socket, &server->unix_fd, error);
	if (err == 0)
		err = watch(server, server->listen_fd);
	return err == 0 ? watch(server, server->unix_fd) : err;
}

/* What needs the store once, before anybody asks. */
static int prepare(struct server *server, char error[STORE_ERROR_MAX])
{
	struct store *store = NULL;
	int err = store_open(&server->store, &store, error);

	if (err < 0)
		return err;
	err = auth_open(server->options, store, &server->auth, error);
	if (err == 0 && (store_last_id(store, &server->first_id) < 0 ||
			 store_identity(store, &server->store_id) < 0)) {
		snprintf(error, STORE_ERROR_MAX, "the store is %s", store_error(store));
		err = -EIO;
	}
	server->hub = hub_open(server->first_id, server_wake, server);
	if (server->hub && server->store.url[0])
		hub_may_lag(server->hub);
	server->limits = limits_open(server->options->rate_rps, server->options->rate_burst);
	server->streams = streams_open(server);
	server->waiters = waiters_open();
	if (err == 0 && (!server->hub || !server->limits || !server->streams || !server->waiters))
		err = -ENOMEM;
	store_close(store);
	return err;
}

int server_open(struct server *server, const struct options *options,
		char error[STORE_ERROR_MAX])
{
	int err;

	error[0] = '\0';
	json_arena_open();
	server->options = options;
	server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	err = server->wake_fd < 0 ? -errno : prepare(server, error);
	if (err == 0)
		err = http_open(server);
	if (err == 0)
		err = open_fds(server, error);
	if (err == 0)
		err = work_open(&server->store, 1, WRITER_JOBS_MAX, WRITER_BYTES_MAX, upkeep_tick,
				server, &server->writer, error);
	if (err == 0)
		err = work_open(&server->store, READERS, READER_JOBS_MAX, SIZE_MAX / 2, NULL, NULL,
				&server->readers, error);
	if (err == 0)
		err = upkeep_follow(server, error);
	if (err < 0 && error[0] == '\0')
		snprintf(error, STORE_ERROR_MAX, "cannot start: %s", strerror(-err));
	return err;
}

/* The Unix socket's name goes while it is still ours: another dashboard may take it next. */
static void stop_listening(struct server *server)
{
	if (server->unix_fd >= 0) {
		(void)unlink(server->options->unix_socket);
		close(server->unix_fd);
	}
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	server->listen_fd = server->unix_fd = -1;
}

/* SIGTERM: no new connections; what is there may finish. */
static void stop_accepting(struct server *server)
{
	log_info("shutdown.signal");
	server->stopping = true;
	stop_listening(server);
	streams_stop(server->streams);
	waiters_stop(server);
}

static void on_signal(struct server *server)
{
	struct signalfd_siginfo info;

	while (read(server->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			log_reopen();
		else if (!server->stopping)
			stop_accepting(server);
	}
}

/* Requests that are on their way in, in work, or on their way out. */
static bool is_working(const struct server *server)
{
	return server->requests != NULL;
}

static int wait_ms(struct server *server, int64_t tick_ns, int flush_ms)
{
	int64_t ms = (tick_ns - clock_steady_ns()) / NS_PER_MS + 1;
	MHD_UNSIGNED_LONG_LONG http_ms;

	if (MHD_get_timeout(server->daemon, &http_ms) == MHD_YES && (int64_t)http_ms < ms)
		ms = (int64_t)http_ms;
	if (flush_ms >= 0 && flush_ms < ms)
		ms = flush_ms;
	return ms < 0 ? 0 : (int)ms;
}

/* What happened, as bits: was something published? */
static bool take_events(struct server *server, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(server->epoll_fd, events, EVENTS, timeout_ms);
	bool published = false;
	uint64_t wakes;

	for (int i = 0; i < count; i++) {
		int fd = events[i].data.fd;

		if (fd == server->wake_fd)
			published = read(fd, &wakes, sizeof(wakes)) > 0;
		else if (fd == server->signal_fd)
			on_signal(server);
		else if (fd == server->listen_fd || fd == server->unix_fd)
			http_accept(server, fd);
	}
	return published;
}

void server_run(struct server *server)
{
	int64_t tick_ns = clock_steady_ns() + NS_PER_S, stop_ns = 0;
	int flush_ms = -1;

	while (!server->stopping || (is_working(server) && clock_steady_ns() < stop_ns)) {
		bool published = take_events(server, wait_ms(server, tick_ns, flush_ms));

		if (server->stopping && stop_ns == 0)
			stop_ns = clock_steady_ns() + DRAIN_S * NS_PER_S;
		flush_ms = streams_wake(server->streams, published);
		waiters_run(server);
		MHD_run(server->daemon);
		if (clock_steady_ns() < tick_ns)
			continue;
		tick_ns = clock_steady_ns() + NS_PER_S;
		streams_tick(server->streams);
		http_tick(server);
	}
	log_info("shutdown.graceful");
}

void server_close(struct server *server)
{
	server->stopping = true;
	waiters_stop(server);
	/* Jobs first: each resumes its connection, and libmicrohttpd stops only without suspended
	 * ones. */
	upkeep_stop(server);
	work_close(server->writer);
	work_close(server->readers);
	/* A request that comes in only now is told to try again: an agent asks anew at once when
	 * the answer that it waited for has come. */
	server->writer = server->readers = NULL;
	if (server->streams)
		streams_stop(server->streams);
	if (server->daemon)
		MHD_run(server->daemon);
	http_close(server);
	streams_close(server->streams);
	waiters_close(server->waiters);
	hub_close(server->hub);
	auth_close(server->auth);
	limits_close(server->limits);
	stop_listening(server);
	for (size_t i = 0; i < 3; i++) {
		int fd = ((int[]){ server->epoll_fd, server->wake_fd, server->signal_fd })[i];

		if (fd >= 0)
			close(fd);
	}
}
