/* http.c - requests from libmicrohttpd, and replies to it. */
#include "dashboard/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "dashboard/auth.h"
#include "dashboard/gate.h"
#include "dashboard/rfc3339.h"
#include "dashboard/route.h"
#include "dashboard/sse.h"
#include "dashboard/ui.h"

enum {
	CONNECTIONS_MAX = 4096, FDS_OF_OUR_OWN = 100,
	CONNECTION_MEMORY = 32 << 10,
	IDLE_S = 600,
	ACCEPT_AT_ONCE = 64,
};
#define REQUEST_TIME_NS (60 * NS_PER_S)

static const struct {
	const char *name, *value;
} headers_of_all[] = {
	{ "Content-Security-Policy",
	  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
	  "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },
	/* Agents of ours ship the ends of connections only to one that takes them.  Its version is
	 * nothing that strangers must know. */
	{ "Server", "ringfence" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "X-Frame-Options", "DENY" },
	{ "Referrer-Policy", "strict-origin-when-cross-origin" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
};

static void name_peer(struct request *request, union addr *peer)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(request->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *sa = info ? info->client_addr : NULL;

	*peer = (union addr){ .sa = { 0 } };
	if (sa && sa->sa_family == AF_INET)
		memcpy(&peer->v4, sa, sizeof(peer->v4));
	else if (sa && sa->sa_family == AF_INET6)
		memcpy(&peer->v6, sa, sizeof(peer->v6));
	if (peer->sa.sa_family == 0) {
		text_copy(request->remote, sizeof(request->remote), "unix");
		return;
	}
	addr_unmap(peer);
	addr_format(peer, request->remote);
}

static struct request *begin_request(struct server *server, struct MHD_Connection *conn,
				     const char *url, const char *method)
{
	struct request *request = calloc(1, sizeof(*request));
	char allow[ROUTE_ALLOW_MAX];
	union addr peer;

	if (!request)
		return NULL;
	request->server = server;
	request->conn = conn;
	request->since_ns = clock_steady_ns();
	request->url = str_of(url);
	request->behind = server->requests;
	if (request->behind)
		request->behind->before = request;
	server->requests = request;
	name_peer(request, &peer);
	gate_source(request, &peer);
	request->route = route_find(method, request->url, request->id, allow);
	out_init(&request->body, request->route ? request->route->body_max : 0);
	if (request->route) {
		(void)(auth_check(request) && gate_check(request));
	} else if (strcmp(method, "OPTIONS") == 0 && gate_is_cors(request)) {
		reply_text(request, 204, NULL, "");
	} else if (allow[0] != '\0' && strncmp(url, "/api/v1/", 8) == 0) {
		reply_text(request, 405, NULL, "");
		reply_header(request, "Allow", allow);
	} else if (allow[0] != '\0' || strncmp(url, "/api/", 5) == 0 ||
		   !gate_check(request) || !ui_reply(request, method)) {
		reply_text(request, 404, "text/plain; charset=utf-8", "404 page not found\n");
	}
	return request;
}

static void end_request(struct request *request)
{
	if (request->before)
		request->before->behind = request->behind;
	else
		request->server->requests = request->behind;
	if (request->behind)
		request->behind->before = request->before;
	if (request->reply.stream)
		stream_free(request->reply.stream);
	reply_finish(&request->reply);
	out_finish(&request->body);
	free(request);
}

static enum MHD_Result send_reply(struct request *request)
{
	struct reply *reply = &request->reply;
	bool stream = reply->stream != NULL;
	struct MHD_Response *response;
	enum MHD_Result result;

	if (stream) {
		response = stream_response(reply->stream);
	} else {
		response = MHD_create_response_from_buffer(reply->len, reply->body,
							   MHD_RESPMEM_MUST_FREE);
	}
	if (!response)
		return MHD_NO;
	/* Its own now. */
	reply->stream = NULL;
	reply->body = NULL;
	for (size_t i = 0; i < ARRAY_LEN(headers_of_all); i++)
		(void)MHD_add_response_header(response, headers_of_all[i].name,
					      headers_of_all[i].value);
	if (stream) {
		char store[24];

		/* Whoever comes back with an id of another store must not go by it. */
		snprintf(store, sizeof(store), "%llx",
			 (unsigned long long)request->server->store_id);
		(void)MHD_add_response_header(response, "X-Store-Id", store);
		(void)MHD_add_response_header(response, "Content-Type", "text/event-stream");
		(void)MHD_add_response_header(response, "Cache-Control",
					      "no-cache, no-transform");
		(void)MHD_add_response_header(response, "X-Accel-Buffering", "no");
	} else if (reply->type) {
		(void)MHD_add_response_header(response, "Content-Type", reply->type);
	}
	if (!stream && strncmp(request->url.at, "/api/", 5) == 0)
		(void)MHD_add_response_header(response, "Cache-Control", "no-store");
	for (unsigned i = 0; i < reply->header_count; i++)
		(void)MHD_add_response_header(response, reply->headers[i].name,
					      reply->headers[i].value);
	gate_cors_headers(request, response);
	result = MHD_queue_response(request->conn, reply->status, response);
	MHD_destroy_response(response);
	return result;
}

/* true: a thread has it, the connection is suspended. */
static bool handle(struct request *request)
{
	struct server *server = request->server;
	const struct route *route = request->route;

	if (route->place == ROUTE_HERE) {
		route->handle(request, NULL);
		return request->waited;
	}
	server_defer(request, route->place == ROUTE_WRITER ? server->writer : server->readers);
	return true;
}

/* Ours of the connection; NULL: none. */
static struct visitor *visitor_of(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static void on_connection(void *arg, struct MHD_Connection *conn, void **own,
			  enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct server *server = arg;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED)
		visitor_left(&server->visitors, *own);
	else
		*own = info ? visitor_came(&server->visitors, info->connect_fd, clock_steady_ns())
			    : NULL;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *conn, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_len, void **own)
{
	struct server *server = arg;
	struct request *request = *own;

	(void)version;
	if (!request) {
		*own = request = begin_request(server, conn, url, method);
		visitor_asks(&server->visitors, visitor_of(conn),
			     request && request->who.kind != WHO_NOBODY, clock_steady_ns());
		return request ? MHD_YES : MHD_NO;
	}
	if (*data_len > 0) {
		/* Of what has been refused already the rest is read and forgotten. */
		if (request->reply.status == 0 && !request->body_too_long)
			out_put(&request->body, data, *data_len);
		if (request->body.failed) {
			out_finish(&request->body);
			request->body_too_long = true;
		}
		*data_len = 0;
		return MHD_YES;
	}
	if (!request->waited && request->reply.status == 0 && handle(request))
		return MHD_YES;         /* it will be called again, with the reply */
	return send_reply(request);
}

static void on_completed(void *arg, struct MHD_Connection *conn, void **own,
			 enum MHD_RequestTerminationCode code)
{
	(void)arg;
	(void)code;
	visitor_rests(visitor_of(conn), clock_steady_ns());
	if (*own)
		end_request(*own);
	*own = NULL;
}

/* What libmicrohttpd tells is about its clients, and of no interest but for a search for faults. */
static void on_log(void *arg, const char *format, va_list args)
{
	char text[256];

	(void)arg;
	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http.note", log_str("note", text));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX in place.  %00 stays as it is: it would be the end of a text to others. */
static size_t unescape(void *arg, struct MHD_Connection *conn, char *text)
{
	char *to = text;

	(void)arg;
	(void)conn;
	for (const char *from = text; *from != '\0'; from++) {
		int high = *from == '%' ? hex_digit(from[1]) : -1;
		int low = high >= 0 ? hex_digit(from[2]) : -1;

		if (low >= 0 && high + low > 0) {
			*to++ = (char)(high * 16 + low);
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return (size_t)(to - text);
}

static unsigned connections_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return CONNECTIONS_MAX;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max < CONNECTIONS_MAX * 2 ? limit.rlim_max
								      : CONNECTIONS_MAX * 2;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		(void)getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur < CONNECTIONS_MAX + FDS_OF_OUR_OWN)
		return limit.rlim_cur > 2 * FDS_OF_OUR_OWN
			? (unsigned)limit.rlim_cur - FDS_OF_OUR_OWN : FDS_OF_OUR_OWN;
	return CONNECTIONS_MAX;
}

int http_open(struct server *server)
{
	uint64_t write_ms = server->options->write_timeout;
	unsigned idle_s = write_ms > 0 ? (unsigned)((write_ms + 999) / 1000) : IDLE_S;

	server->visitors.max = connections_max();
	server->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET |
		MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, server,
		MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
		MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
		MHD_OPTION_CONNECTION_LIMIT, server->visitors.max,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_TIMEOUT, idle_s,
		MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_END);
	return server->daemon ? 0 : -EIO;
}

void http_accept(struct server *server, int listen_fd)
{
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		struct sockaddr_storage addr;
		socklen_t len = sizeof(addr);
		int fd;

		memset(&addr, 0, sizeof(addr));
		fd = accept4(listen_fd, (struct sockaddr *)&addr, &len,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		if (len < sizeof(struct sockaddr_in))
			len = sizeof(struct sockaddr_un);       /* a unix peer without a name */
		visitors_make_room(&server->visitors);
		/* Over its limit the connection is closed by it. */
		(void)MHD_add_connection(server->daemon, fd, (struct sockaddr *)&addr, len);
	}
}

void http_tick(struct server *server)
{
	int64_t now = clock_steady_ns();

	visitors_tick(&server->visitors, now);
	for (struct request *request = server->requests; request; request = request->behind) {
		const union MHD_ConnectionInfo *info;

		if (request->waited || request->reply.status != 0 ||
		    now - request->since_ns < REQUEST_TIME_NS)
			continue;
		info = MHD_get_connection_info(request->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
		if (info)
			(void)shutdown(info->connect_fd, SHUT_RD);
	}
}

void http_close(struct server *server)
{
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
	server->daemon = NULL;
}
