/* dns_tcp.h - clients that ask over TCP: several questions one after another, answers in the order
 * in which they are ready (RFC 7766). */
#ifndef FORWARD_DNS_TCP_H
#define FORWARD_DNS_TCP_H

#include "core/addr.h"
#include "core/loop.h"

enum {
	DNS_CONNS_MAX = 256,            /* a worker; then the one quiet for longest goes */
	DNS_CONN_QUESTIONS_MAX = 128,   /* of one connection, in its life; the seed's too */
	DNS_CONN_ASKS_MAX = 8,          /* being answered at once */
	DNS_MESSAGE_MS = 2000,          /* time for a whole message, absolute */
	DNS_QUIET_MS = 5000,            /* between two, and for an answer to be taken */
};

struct dns;
struct dns_ask;
struct dns_conn;

/* 0 or -errno. */
int dns_tcp_init(struct dns *dns);
/* A connection was accepted. */
void dns_tcp_open(struct dns *dns, int fd);
void dns_tcp_close_all(struct dns *dns);

/* One of its questions has an answer, which goes out at once. */
void dns_tcp_send(struct dns_conn *conn, const uint8_t *data, size_t len);

struct owner *dns_tcp_owner(struct dns_conn *conn);
struct dns_ask **dns_tcp_asks(struct dns_conn *conn);
/* Where the client wanted to go; family 0: nobody knows. */
const union addr *dns_tcp_dst(const struct dns_conn *conn);

#endif
