/* load_ends.c - what a client and a server do at each event of a connection. */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load_tcp.h"

static const char header_mark[5] = { 0x17, 3, 3, 0x40, 0 };

/* Common */

void conn_wait(struct conn *conn, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = conn };

	if (conn->events == events)
		return;
	if (epoll_ctl(conn->epoll, conn->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn->fd,
		      &event) < 0)
		die("epoll_ctl");
	conn->events = events;
}

void conn_close(struct conn *conn)
{
	if (conn->stage != STAGE_RUNNING && !conn->server)
		tcp.connecting--;
	close(conn->fd);
	conn->fd = -1;
	conn->stage = STAGE_CLOSED;
	conn->events = 0;
	if (conn->server)
		tcp.servers_open--;
	else
		tcp.clients_open--;
}

void conn_fail(struct conn *conn, const char *what)
{
	load_error(what, errno);
	conn_close(conn);
}

bool conn_take(struct conn *conn, const unsigned char *data, size_t len)
{
	bool same = memcmp(data, load_pattern + conn->received % PATTERN_BYTES, len) == 0;

	conn->received += len;
	return same;
}

void conn_flush(struct conn *conn)
{
	ssize_t sent = send(conn->fd, load_pattern + conn->sent % PATTERN_BYTES, conn->to_send,
			    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0 && errno != EAGAIN)
		return conn_fail(conn, "send");
	if (sent > 0) {
		conn->sent += (uint64_t)sent;
		conn->to_send -= (uint32_t)sent;
	}
	conn_wait(conn, conn->to_send > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void carried(struct conn *client)
{
	if (client->carried)
		return;
	client->carried = true;
	tcp.carrying++;
}

/* Receive up to len bytes; 0: none now, or the connection was closed and conn->stage tells. */
static size_t receive(struct conn *conn, size_t len)
{
	ssize_t got = recv(conn->fd, tcp.buffer, len, MSG_DONTWAIT);

	if (got > 0)
		return (size_t)got;
	if (got == 0 && load.phase == PHASE_DRAIN && conn->server) {
		conn_close(conn);
	} else if (got == 0 || errno != EAGAIN) {
		errno = got == 0 ? 0 : errno;
		conn_fail(conn, conn->server ? "the server receives" : "the client receives");
	}
	return 0;
}

/* Clients */

void client_open(struct conn *conn, enum kind kind)
{
	const struct sockaddr *addr = (const struct sockaddr *)&load.options.connect_to;
	int one = 1;

	memset(conn, 0, sizeof(*conn));
	conn->kind = kind;
	conn->stage = STAGE_CONNECTING;
	conn->epoll = kind == KIND_BULK ? tcp.epoll : tcp.epoll_first;
	conn->since_ns = load_clock_ns();
	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		die("socket");
	tcp.clients_open++;
	tcp.connecting++;
	if (kind != KIND_SHORT)
		setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(conn->fd, addr, sizeof(load.options.connect_to)) < 0 && errno != EINPROGRESS)
		return conn_fail(conn, "connect");
	/* A short connection never changes what it waits for. */
	conn_wait(conn, kind == KIND_SHORT ? EPOLLIN | EPOLLOUT | EPOLLET : EPOLLOUT);
}

/* The header and the first message in one piece. */
static void client_start(struct conn *conn)
{
	struct header header = { .kind = (char)conn->kind,
				 .client = (uint32_t)(conn - tcp.clients) };
	size_t len = conn->kind == KIND_BULK ? 0 :
		     conn->kind == KIND_SHORT ? SHORT_REQUEST_BYTES - sizeof(header) :
		     load.options.size;
	struct iovec parts[2] = { { &header, sizeof(header) }, { load_pattern, len } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	memcpy(header.mark, header_mark, sizeof(header_mark));
	ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < (ssize_t)sizeof(header))
		return conn_fail(conn, "first send");
	tcp.connecting--;
	conn->stage = STAGE_RUNNING;
	conn->sent = (uint64_t)sent - sizeof(header);
	conn->to_send = (uint32_t)(len - conn->sent);
	conn->to_receive = load.options.size;
	if (conn->kind == KIND_BULK)
		bulk_start(conn);
	else if (conn->kind != KIND_SHORT)
		conn_wait(conn, conn->to_send > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void client_connected(struct conn *conn)
{
	if (tcp.hello_len == 0)
		return client_start(conn);
	if (send(conn->fd, tcp.hello, tcp.hello_len, MSG_NOSIGNAL) != (ssize_t)tcp.hello_len)
		return conn_fail(conn, "send of the hello");
	if (conn->kind == KIND_SHORT) {
		tcp.connecting--;
		conn->stage = STAGE_RUNNING;
		return;
	}
	conn->stage = STAGE_HELLO;
	conn->to_receive = tcp.answer_len;
	conn_wait(conn, EPOLLIN);
}

static void client_server_hello(struct conn *conn)
{
	size_t len = receive(conn, conn->to_receive);
	uint32_t at = tcp.answer_len - conn->to_receive;

	if (len == 0)
		return;
	if (memcmp(tcp.buffer, tcp.answer + at, len) != 0)
		return conn_fail(conn, "not the ServerHello that was sent");
	conn->to_receive -= (uint32_t)len;
	if (conn->to_receive == 0)
		client_start(conn);
}

/* Edge-triggered: read until there is nothing, which mostly is the end. */
static void client_short(struct conn *conn)
{
	for (;;) {
		ssize_t len = recv(conn->fd, tcp.buffer, sizeof(tcp.answer), MSG_DONTWAIT);

		if (len < 0 && errno == EAGAIN)
			return;
		if (len < 0) {
			conn_fail(conn, "short connection receives");
			break;
		}
		if (len == 0 && conn->received == tcp.answer_len) {
			load_op(conn->since_ns, load_clock_ns());
			conn_close(conn);
			break;
		}
		if (len == 0 || conn->received + (uint64_t)len > tcp.answer_len ||
		    memcmp(tcp.buffer, tcp.answer + conn->received, (size_t)len) != 0) {
			errno = 0;
			conn_fail(conn, "short connection: a wrong answer");
			break;
		}
		conn->received += (uint64_t)len;
	}
	if (load.phase != PHASE_DRAIN)
		client_open(conn, KIND_SHORT);
}

static void client_message(struct conn *conn)
{
	size_t len = receive(conn, conn->to_receive);

	if (len == 0)
		return;
	if (!conn_take(conn, tcp.buffer, len))
		return conn_fail(conn, "the answer is not what was sent");
	conn->to_receive -= (uint32_t)len;
	if (conn->to_receive > 0)
		return;
	carried(conn);
	uint64_t now_ns = load_clock_ns();
	if (conn->kind == KIND_PING)
		load_op(conn->since_ns, now_ns);
	if (load.phase == PHASE_DRAIN)
		return conn_close(conn);
	conn->to_receive = load.options.size;
	conn->since_ns = now_ns;
	if (conn->kind == KIND_PING) {
		conn->to_send = load.options.size;
		conn_flush(conn);
	}
}

void client_event(struct conn *conn, uint32_t events)
{
	if (conn->stage == STAGE_CONNECTING)
		return client_connected(conn);
	if (conn->stage == STAGE_HELLO)
		return client_server_hello(conn);
	if (conn->kind == KIND_SHORT)
		return client_short(conn);
	if (conn->kind == KIND_BULK) {
		if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			bulk_read(conn);
		if (events & EPOLLOUT && conn->stage == STAGE_RUNNING)
			bulk_write(conn);
		return;
	}
	if (conn->to_send > 0)
		conn_flush(conn);
	if (conn->stage == STAGE_RUNNING && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		client_message(conn);
}

/* Servers */

void server_accept(void)
{
	static uint32_t next;
	int one = 1, fd;

	while ((fd = accept4(tcp.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		uint32_t tried = 0;

		while (tcp.servers[next].stage != STAGE_CLOSED && tried++ < tcp.servers_max)
			next = (next + 1) % tcp.servers_max;
		struct conn *conn = &tcp.servers[next];
		if (conn->stage != STAGE_CLOSED) {
			load_error("more connections arrived than were made", 0);
			close(fd);
			return;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		*conn = (struct conn){ .fd = fd, .server = true, .epoll = tcp.epoll_first };
		conn->stage = tcp.hello_len > 0 ? STAGE_HELLO : STAGE_HEADER;
		conn->to_receive = tcp.hello_len > 0 ? tcp.hello_len : sizeof(struct header);
		tcp.servers_open++;
		conn_wait(conn, EPOLLIN);
	}
	if (errno != EAGAIN && errno != ECONNABORTED)
		die("accept");
}

static void server_answer_short(struct conn *conn)
{
	ssize_t sent = send(conn->fd, tcp.answer, tcp.answer_len, MSG_NOSIGNAL);

	if (sent != (ssize_t)tcp.answer_len)
		return conn_fail(conn, "short answer");
	conn_close(conn);
}

static void server_hello(struct conn *conn)
{
	size_t len = receive(conn, conn->to_receive);
	uint32_t at = tcp.hello_len - conn->to_receive;

	if (len == 0)
		return;
	if (memcmp(tcp.buffer, tcp.hello + at, len) != 0)
		return conn_fail(conn, "not the ClientHello that was sent");
	conn->to_receive -= (uint32_t)len;
	if (conn->to_receive > 0)
		return;
	if (load.options.shorts > 0)
		return server_answer_short(conn);
	if (send(conn->fd, tcp.answer, tcp.answer_len, MSG_NOSIGNAL) != (ssize_t)tcp.answer_len)
		return conn_fail(conn, "send of the ServerHello");
	conn->stage = STAGE_HEADER;
	conn->to_receive = sizeof(struct header);
}

/* Bytes of the pattern, on a connection that is not bulk. */
static void server_payload(struct conn *conn, size_t len, const unsigned char *data)
{
	if (len > conn->to_receive || !conn_take(conn, data, len))
		return conn_fail(conn, "the request is not what was sent");
	conn->to_receive -= (uint32_t)len;
	if (conn->to_receive > 0)
		return;
	if (conn->kind == KIND_SHORT)
		return server_answer_short(conn);
	conn->to_receive = load.options.size;
	conn->to_send = load.options.size;
	conn_flush(conn);
}

static void server_running(struct conn *conn, const struct header *header)
{
	conn->stage = STAGE_RUNNING;
	conn->kind = (enum kind)header->kind;
	if (conn->kind == KIND_SHORT) {
		conn->to_receive = SHORT_REQUEST_BYTES - sizeof(*header);
		return;
	}
	conn->to_receive = load.options.size;
	conn->twin = &tcp.clients[header->client];
	conn->twin->twin = conn;
	if (conn->kind != KIND_BULK)
		return;
	carried(conn->twin);
	if (conn->epoll != tcp.epoll) {
		epoll_ctl(conn->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
		conn->epoll = tcp.epoll;
		conn->events = 0;
	}
	bulk_start(conn);
}

/* The first message mostly comes with the header: take both at once. */
static void server_header(struct conn *conn)
{
	struct header header;
	size_t len = receive(conn, sizeof(header) + SHORT_REQUEST_BYTES);

	if (len == 0)
		return;
	memcpy(&header, tcp.buffer, sizeof(header));
	if (len < sizeof(header) || memcmp(header.mark, header_mark, sizeof(header_mark)) != 0 ||
	    header.client >= tcp.clients_wanted) {
		errno = 0;
		return conn_fail(conn, "not the header that was sent");
	}
	server_running(conn, &header);
	len -= sizeof(header);
	if (len > 0 && conn->kind != KIND_BULK)
		return server_payload(conn, len, tcp.buffer + sizeof(header));
	load.now.bytes += len;
	if (len > 0 && !conn_take(conn, tcp.buffer + sizeof(header), len))
		conn_fail(conn, "bulk bytes are not what was sent");
}

static void server_message(struct conn *conn)
{
	size_t len = receive(conn, conn->to_receive);

	if (len > 0)
		server_payload(conn, len, tcp.buffer);
}

void server_event(struct conn *conn, uint32_t events)
{
	bool readable = events & (EPOLLIN | EPOLLERR | EPOLLHUP);

	if (conn->stage == STAGE_HELLO)
		return server_hello(conn);
	if (conn->stage == STAGE_HEADER)
		return server_header(conn);
	if (conn->kind == KIND_BULK) {
		if (readable)
			bulk_read(conn);
		if (events & EPOLLOUT && conn->stage == STAGE_RUNNING)
			bulk_write(conn);
		return;
	}
	if (conn->to_send > 0)
		conn_flush(conn);
	if (readable && conn->stage == STAGE_RUNNING)
		server_message(conn);
}
