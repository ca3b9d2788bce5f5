/* load_bulk.c - streams as fast as they go, or at a pace. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bench/load_tcp.h"

enum {
	CHUNK_BYTES = PATTERN_BYTES,
	CHUNK_BETWEEN_BYTES = 64 * 1024,        /* when others are waiting for their turn */
	PACED_MAX_BYTES = 4 * 1024 * 1024,      /* saved up at the most */
	COMPARE_EVERY = 16,                     /* of so many receives one is looked at */
};

static size_t chunk_bytes(void)
{
	return tcp.epoll == tcp.epoll_first ? CHUNK_BYTES : CHUNK_BETWEEN_BYTES;
}

bool bulk_sends(const struct conn *conn)
{
	return load.options.way & (conn->server ? WAY_DOWN : WAY_UP);
}

void bulk_start(struct conn *conn)
{
	bool now = bulk_sends(conn) && load.options.bulk_gbps <= 0;

	conn_wait(conn, now ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* True when the socket took all. */
static bool send_chunk(struct conn *conn, size_t len)
{
	ssize_t sent = send(conn->fd, load_pattern + conn->sent % PATTERN_BYTES, len,
			    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0) {
		if (errno != EAGAIN)
			conn_fail(conn, "bulk send");
		return false;
	}
	conn->sent += (uint64_t)sent;
	return (size_t)sent == len;
}

void bulk_write(struct conn *conn)
{
	if (!conn->shut)
		(void)send_chunk(conn, chunk_bytes());
}

static void bulk_ended(struct conn *conn)
{
	if (load.phase != PHASE_DRAIN)
		return conn_fail(conn, "bulk stream ended early");
	if (bulk_sends(conn) && !conn->shut) {
		if (conn->server)
			return conn_fail(conn, "bulk stream ended before its server did");
		bulk_stop(conn);
	}
	if (conn->stage == STAGE_RUNNING)
		conn_close(conn);
}

/* Looking at every byte would make the receiver the bottleneck: most are dropped in the kernel,
 * which leaves the proxy's work the same. */
void bulk_read(struct conn *conn)
{
	static uint32_t turn;
	bool compare = turn++ % COMPARE_EVERY == 0;
	ssize_t len = recv(conn->fd, tcp.buffer, chunk_bytes(),
			   MSG_DONTWAIT | (compare ? 0 : MSG_TRUNC));

	if (len < 0) {
		if (errno != EAGAIN)
			conn_fail(conn, "bulk receive");
		return;
	}
	if (len == 0)
		return bulk_ended(conn);
	load.now.bytes += (uint64_t)len;
	if (!compare)
		conn->received += (uint64_t)len;
	else if (!conn_take(conn, tcp.buffer, (size_t)len))
		conn_fail(conn, "bulk bytes are not what was sent");
}

void bulk_stop(struct conn *conn)
{
	if (!bulk_sends(conn) || conn->shut)
		return;
	conn->shut = true;
	if (shutdown(conn->fd, SHUT_WR) < 0)
		return conn_fail(conn, "bulk shutdown");
	conn_wait(conn, EPOLLIN);
}

void bulk_pump(uint64_t now_ns)
{
	static uint64_t last_ns;
	static uint32_t turn;
	static double budget;
	uint32_t total = tcp.clients_wanted + tcp.servers_max, full = 0;
	double gained = (double)(now_ns - last_ns) * load.options.bulk_gbps / 8;

	if (load.options.bulk_gbps <= 0 || load.phase == PHASE_DRAIN)
		return;
	budget += last_ns == 0 ? 0 : gained;
	if (budget > PACED_MAX_BYTES)
		budget = PACED_MAX_BYTES;
	last_ns = now_ns;
	for (; budget >= CHUNK_BETWEEN_BYTES && full < total; turn++) {
		uint32_t i = turn % total;
		struct conn *conn = i < tcp.clients_wanted ? &tcp.clients[i] :
				    &tcp.servers[i - tcp.clients_wanted];
		uint64_t before = conn->sent;

		full++;
		if (conn->stage != STAGE_RUNNING || conn->kind != KIND_BULK || !bulk_sends(conn))
			continue;
		if (send_chunk(conn, CHUNK_BETWEEN_BYTES))
			full = 0;
		budget -= (double)(conn->sent - before);
	}
}
