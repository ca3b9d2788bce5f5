/* load_tcp.c - a run over TCP: open all connections, turn the loop, drain, compare. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load_tcp.h"

enum {
	BACKLOG = 4096,
	CONNECTING_MAX = 128,           /* at once */
	BATCH = 256,
	OPEN_LIMIT_MS = 15000,
	DRAIN_LIMIT_MS = 5000,
};

struct tcp tcp;

/* What a server would say first, RFC 8446 4.1.3; no key of it is ever used. */
static uint32_t put_server_hello(unsigned char *out)
{
	static const unsigned char head[] = { 0x16, 3, 3, 0, 82, 2, 0, 0, 78, 3, 3 };
	static const unsigned char tail[] = { 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4 };
	unsigned char *at = out;

	memcpy(at, head, sizeof(head));
	at += sizeof(head);
	memset(at, 0x5a, 32);           /* random */
	at += 32;
	*at++ = 32;                     /* session id */
	memset(at, 0xa5, 32);
	at += 32;
	memcpy(at, tail, sizeof(tail));
	return (uint32_t)(at - out + (ptrdiff_t)sizeof(tail));
}

static void texts_init(void)
{
	static const unsigned char data_record[5] = { 0x17, 3, 3, SHORT_ANSWER_BYTES >> 8, 0 };

	if (load.options.hello_path != NULL) {
		int fd = open(load.options.hello_path, O_RDONLY | O_CLOEXEC);
		ssize_t len = fd < 0 ? -1 : read(fd, tcp.hello, sizeof(tcp.hello));

		if (len <= 0)
			die(load.options.hello_path);
		close(fd);
		tcp.hello_len = (uint32_t)len;
		tcp.answer_len = put_server_hello(tcp.answer);
	}
	if (load.options.shorts == 0)
		return;
	if (tcp.hello_len > 0) {
		memcpy(tcp.answer + tcp.answer_len, data_record, sizeof(data_record));
		tcp.answer_len += sizeof(data_record);
	}
	memcpy(tcp.answer + tcp.answer_len, load_pattern, SHORT_ANSWER_BYTES);
	tcp.answer_len += SHORT_ANSWER_BYTES;
}

static int listen_tcp(void)
{
	const struct sockaddr *addr = (const struct sockaddr *)&load.options.listen_on;
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, addr, sizeof(load.options.listen_on)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		die("listen");
	return fd;
}

static void *zeroed(size_t count, size_t size)
{
	void *memory = calloc(count > 0 ? count : 1, size);

	if (memory == NULL)
		die("memory");
	return memory;
}

static void tcp_init(void)
{
	const struct options *options = &load.options;
	struct epoll_event accepting = { .events = EPOLLIN, .data.ptr = &tcp.listener };
	struct epoll_event nested = { .events = EPOLLIN, .data.ptr = NULL };

	if (tcp.hello_len > 0 && options->shorts > 0 &&
	    options->bulk + options->ping + options->idle > 0) {
		errno = EINVAL;
		die("--hello --short goes with no other kind");
	}
	tcp.carrying_wanted = options->bulk + options->ping + options->idle;
	tcp.clients_wanted = tcp.carrying_wanted + options->shorts;
	tcp.servers_max = tcp.clients_wanted + BACKLOG;
	tcp.clients = zeroed(tcp.clients_wanted, sizeof(struct conn));
	tcp.servers = zeroed(tcp.servers_max, sizeof(struct conn));
	tcp.buffer = zeroed(PATTERN_BYTES, 1);
	netns_enter(options->server_netns);
	tcp.listener = listen_tcp();
	netns_enter(options->client_netns);
	tcp.epoll = tcp.epoll_first = epoll_create1(EPOLL_CLOEXEC);
	if (options->bulk > 0 && tcp.clients_wanted > options->bulk) {
		tcp.epoll_first = epoll_create1(EPOLL_CLOEXEC);
		if (epoll_ctl(tcp.epoll, EPOLL_CTL_ADD, tcp.epoll_first, &nested) < 0)
			die("epoll_ctl");
	}
	if (epoll_ctl(tcp.epoll_first, EPOLL_CTL_ADD, tcp.listener, &accepting) < 0)
		die("epoll_ctl");
}

static enum kind kind_of(uint32_t client)
{
	const struct options *options = &load.options;

	/* The idle ones first: then all else runs beside them. */
	if (client < options->idle)
		return KIND_IDLE;
	if (client < options->idle + options->bulk)
		return KIND_BULK;
	return client < options->idle + options->bulk + options->ping ? KIND_PING : KIND_SHORT;
}

static void open_some(void)
{
	while (tcp.clients_opened < tcp.clients_wanted && tcp.connecting < CONNECTING_MAX) {
		uint32_t client = tcp.clients_opened++;

		client_open(&tcp.clients[client], kind_of(client));
	}
}

static void dispatch(const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		struct conn *conn = events[i].data.ptr;

		if (events[i].data.ptr == &tcp.listener)
			server_accept();
		else if (conn->stage == STAGE_CLOSED)
			continue;
		else if (conn->server)
			server_event(conn, events[i].events);
		else
			client_event(conn, events[i].events);
	}
}

static void turn(void)
{
	struct epoll_event events[BATCH], first[BATCH];
	bool mixed = tcp.epoll != tcp.epoll_first;
	int count = epoll_wait(tcp.epoll, events, mixed ? 8 : BATCH, 1);

	if (count < 0 && errno != EINTR)
		die("epoll_wait");
	if (!mixed)
		return dispatch(events, count);
	for (int i = 0; i < count; i++) {
		dispatch(first, epoll_wait(tcp.epoll_first, first, BATCH, 0));
		if (events[i].data.ptr != NULL)
			dispatch(&events[i], 1);
	}
}

static void drain(void)
{
	for (uint32_t i = 0; i < tcp.clients_wanted; i++) {
		struct conn *conn = &tcp.clients[i];

		if (conn->stage == STAGE_RUNNING && conn->kind == KIND_IDLE) {
			conn->to_send = load.options.size;      /* does it still work? */
			conn_flush(conn);
		}
		/* Both ways: the client ends when the server has, as in a request and its answer.
		 * HAProxy with splice sometimes resets a connection that both end at once. */
		if (conn->stage == STAGE_RUNNING && conn->kind == KIND_BULK &&
		    load.options.way != WAY_BOTH)
			bulk_stop(conn);
	}
	for (uint32_t i = 0; i < tcp.servers_max; i++)
		if (tcp.servers[i].stage == STAGE_RUNNING && tcp.servers[i].kind == KIND_BULK)
			bulk_stop(&tcp.servers[i]);
}

/* Let somebody look at the idle connections. */
static void hold(void)
{
	char line[16];

	printf("holding\n");
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		load_error("nobody ended the hold", 0);
}

static void compare_ends(void)
{
	for (uint32_t i = 0; i < tcp.clients_wanted; i++) {
		const struct conn *client = &tcp.clients[i], *server = client->twin;

		if (client->kind == KIND_SHORT || load.errors > 0)
			continue;
		if (server == NULL)
			load_error("a connection that never reached the server", 0);
		else if (client->sent != server->received || server->sent != client->received)
			load_error("bytes were lost", 0);
	}
}

void tcp_run(void)
{
	uint64_t limit_ns = load_clock_ns() + OPEN_LIMIT_MS * 1000000ull;
	bool held = !load.options.hold;

	texts_init();
	tcp_init();
	for (;;) {
		enum phase before = load.phase;
		uint64_t now_ns = load_clock_ns();
		bool ready = tcp.clients_opened == tcp.clients_wanted &&
			     tcp.carrying == tcp.carrying_wanted;

		if (ready && !held) {
			hold();
			held = true;
		}
		if (load.phase == PHASE_OPEN)
			open_some();
		load_tick(ready, now_ns);
		if (load.phase == PHASE_DRAIN && before != PHASE_DRAIN) {
			limit_ns = now_ns + DRAIN_LIMIT_MS * 1000000ull;
			drain();
		}
		if (load.phase == PHASE_DRAIN && tcp.clients_open + tcp.servers_open == 0)
			break;
		if (load.phase == PHASE_OPEN && load.errors > 0)
			return;
		if ((load.phase == PHASE_OPEN || load.phase == PHASE_DRAIN) && now_ns > limit_ns) {
			load_error(load.phase == PHASE_OPEN ? "not all connections came through" :
				   "stalled: the end of a stream did not arrive", 0);
			return;
		}
		bulk_pump(now_ns);
		turn();
	}
	compare_ends();
}
