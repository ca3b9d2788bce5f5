/* load_tcp.h - one end of a connection of the load generator.
 *
 * A client connects, sends the ClientHello if there is one and waits for the ServerHello; then it
 * sends a header, which tells the server what kind of connection this is, and both are running. */
#ifndef BENCH_LOAD_TCP_H
#define BENCH_LOAD_TCP_H

#include "bench/load.h"

enum stage {
	STAGE_CLOSED,
	STAGE_CONNECTING,       /* client */
	STAGE_HELLO,            /* server: the ClientHello comes; client: the ServerHello comes */
	STAGE_HEADER,           /* server */
	STAGE_RUNNING,
};

enum kind { KIND_BULK = 'B', KIND_PING = 'P', KIND_SHORT = 'S', KIND_IDLE = 'I' };

struct header {
	char mark[5];           /* shaped like the head of a TLS record */
	char kind;
	uint8_t unused[2];
	uint32_t client;        /* its place in clients[] */
};

struct conn {
	int fd, epoll;
	enum stage stage;
	enum kind kind;
	bool server;
	bool carried;           /* bytes have come through */
	bool shut;              /* bulk: our direction has ended */
	uint32_t events;        /* waited for */
	uint32_t to_send, to_receive;   /* of the current message */
	uint64_t sent, received;        /* of the pattern */
	uint64_t since_ns;      /* the current exchange began */
	struct conn *twin;      /* client and server know each other after the header */
};

struct tcp {
	int listener;
	int epoll;              /* bulk; also all else, unless there are both kinds */
	int epoll_first;        /* what is served before each piece of bulk; or the same */
	struct conn *clients, *servers;
	uint32_t clients_wanted, clients_opened, clients_open, servers_open, servers_max;
	uint32_t connecting;    /* not running yet */
	uint32_t carrying, carrying_wanted;
	unsigned char hello[2048], answer[2048];        /* ClientHello; ServerHello or answer */
	uint32_t hello_len, answer_len;
	unsigned char *buffer;
};

extern struct tcp tcp;

/* Wait for EPOLLIN, EPOLLOUT, both or neither. */
void conn_wait(struct conn *conn, uint32_t events);

void conn_close(struct conn *conn);

/* Count the error and close. */
void conn_fail(struct conn *conn, const char *what);

/* Send what is left of the current message. */
void conn_flush(struct conn *conn);

/* Does the pattern, from what was received so far on, begin with these bytes?  Counts them. */
bool conn_take(struct conn *conn, const unsigned char *data, size_t len);

/* Whether this end is a source of bulk. */
bool bulk_sends(const struct conn *conn);

void bulk_start(struct conn *conn);
void bulk_read(struct conn *conn);
void bulk_write(struct conn *conn);

/* Send what the pace allows by now. */
void bulk_pump(uint64_t now_ns);

/* End our direction; what was sent must still arrive. */
void bulk_stop(struct conn *conn);

void client_open(struct conn *conn, enum kind kind);
void client_event(struct conn *conn, uint32_t events);
void server_accept(void);
void server_event(struct conn *conn, uint32_t events);

#endif
