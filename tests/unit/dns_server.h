/* dns_server.h - a DNS server for tests: a thread on 127.0.0.1, UDP and TCP on one port.
 * What it says to a question is written by the test's answer function, on the server's thread. */
#ifndef TESTS_UNIT_DNS_SERVER_H
#define TESTS_UNIT_DNS_SERVER_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/dns_bytes.h"

struct dns_server;

struct dns_asked {
	struct dns_server *server;
	char name[256];                 /* in lower case */
	uint16_t type, id;
	bool mixed_case, edns;          /* as it was sent */
	bool tcp;
	uint16_t port;                  /* the asker's */
	unsigned nth;                   /* question of this name and type, from 1 */
};

/* Write the reply (its id is filled in) and return true, or false: stay silent. */
typedef bool dns_answer_fn(const struct dns_asked *asked, struct dns_bytes *reply);

enum { DNS_SERVER_LOG = 16384, DNS_SERVER_CONNS = 8 };

struct dns_server {
	uint16_t port;
	int udp, tcp, stop[2];
	int conns[DNS_SERVER_CONNS];    /* -1: none */
	_Atomic unsigned conn_count;    /* accepted so far */
	atomic_bool close_conns;        /* after each answer */
	atomic_bool forgets_case;       /* answers in lower case, whatever was asked */
	_Atomic(const char *) unlogged; /* names that begin so are not logged */
	pthread_t thread;
	dns_answer_fn *answer;
	pthread_mutex_t lock;           /* of the log */
	pthread_cond_t changed;
	bool held;                      /* replies wait for dns_server_go_on() */
	unsigned asked_count;
	struct dns_asked log[DNS_SERVER_LOG];
	struct sockaddr_in client;      /* of the UDP question being answered */
	struct dns_bytes question, reply;
};

/* Questions for this name and type so far. */
static inline unsigned dns_server_count(struct dns_server *server, const char *name, unsigned type)
{
	unsigned count = 0;

	pthread_mutex_lock(&server->lock);
	for (unsigned i = 0; i < server->asked_count; i++)
		count += server->log[i].type == type && strcmp(server->log[i].name, name) == 0;
	pthread_mutex_unlock(&server->lock);
	return count;
}

static inline unsigned dns_server_total(struct dns_server *server)
{
	unsigned count;

	pthread_mutex_lock(&server->lock);
	count = server->asked_count;
	pthread_mutex_unlock(&server->lock);
	return count;
}

/* Of those so far, which had upper-case letters? */
static inline unsigned dns_server_mixed(struct dns_server *server)
{
	unsigned count = 0;

	pthread_mutex_lock(&server->lock);
	for (unsigned i = 0; i < server->asked_count; i++)
		count += server->log[i].mixed_case;
	pthread_mutex_unlock(&server->lock);
	return count;
}

static inline void dns_server_hold(struct dns_server *server)
{
	pthread_mutex_lock(&server->lock);
	server->held = true;
	pthread_mutex_unlock(&server->lock);
}

static inline void dns_server_go_on(struct dns_server *server)
{
	pthread_mutex_lock(&server->lock);
	server->held = false;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
}

static inline void dns_server_note(struct dns_server *server, struct dns_asked *asked)
{
	asked->nth = dns_server_count(server, asked->name, asked->type) + 1;
	pthread_mutex_lock(&server->lock);
	assert(server->asked_count < DNS_SERVER_LOG);
	server->log[server->asked_count++] = *asked;
	pthread_mutex_unlock(&server->lock);
}

/* The reply's question as it was asked, its case too, if it is the same name. */
static inline void dns_server_echo(struct dns_server *server, struct dns_bytes *reply)
{
	size_t at = 12;

	if (reply->len < 2)
		return;
	memcpy(reply->data, server->question.data, 2);
	while (at < server->question.len && at < reply->len &&
	       (server->question.data[at] | 0x20) == (reply->data[at] | 0x20) &&
	       reply->data[at] != 0)
		at++;
	if (at < reply->len && at < server->question.len && reply->data[at] == 0 &&
	    server->question.data[at] == 0)
		memcpy(reply->data + 12, server->question.data + 12, at - 12);
}

/* Understand the question in server->question, log it, make the reply.  False: no reply. */
static inline bool dns_server_think(struct dns_server *server, bool tcp, uint16_t port)
{
	struct dns_asked asked = { .server = server, .tcp = tcp, .port = port };
	const uint8_t *data = server->question.data;
	const char *unlogged;
	size_t at = 12;

	while (at < server->question.len && data[at] != 0) {
		snprintf(asked.name + strlen(asked.name), sizeof(asked.name) - strlen(asked.name),
			 "%s%.*s", asked.name[0] ? "." : "", data[at], (const char *)data + at + 1);
		at += 1 + (size_t)data[at];
	}
	/* Somebody else's, or an answer to somebody else: ports go round. */
	if (at + 5 > server->question.len || data[2] & 0x80)
		return false;
	for (char *c = asked.name; *c; c++) {
		asked.mixed_case |= *c >= 'A' && *c <= 'Z';
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
	}
	asked.id = (uint16_t)(data[0] << 8 | data[1]);
	asked.edns = data[11] != 0;
	asked.type = (uint16_t)(data[at + 1] << 8 | data[at + 2]);
	unlogged = server->unlogged;
	if (!unlogged || strncmp(asked.name, unlogged, strlen(unlogged)) != 0)
		dns_server_note(server, &asked);
	pthread_mutex_lock(&server->lock);
	pthread_cond_broadcast(&server->changed);
	while (server->held)
		pthread_cond_wait(&server->changed, &server->lock);
	pthread_mutex_unlock(&server->lock);
	server->reply.len = 0;
	if (!server->answer(&asked, &server->reply))
		return false;
	if (!server->forgets_case)
		dns_server_echo(server, &server->reply);
	memcpy(server->reply.data, data, 2);
	return true;
}

/* From the answer function: a datagram before the reply. */
static inline void dns_server_send(const struct dns_asked *asked, struct dns_bytes *datagram)
{
	struct dns_server *server = asked->server;

	dns_server_echo(server, datagram);
	(void)sendto(server->udp, datagram->data, datagram->len, 0,
		     (struct sockaddr *)&server->client, sizeof(server->client));
}

static inline void dns_server_udp(struct dns_server *server)
{
	socklen_t size = sizeof(server->client);
	ssize_t len = recvfrom(server->udp, server->question.data, sizeof(server->question.data),
			       0, (struct sockaddr *)&server->client, &size);

	if (len < 12)
		return;
	server->question.len = (size_t)len;
	if (dns_server_think(server, false, ntohs(server->client.sin_port)))
		(void)sendto(server->udp, server->reply.data, server->reply.len, 0,
			     (struct sockaddr *)&server->client, size);
}

/* One message of a connection; false: it has ended. */
static inline bool dns_server_message(struct dns_server *server, int fd)
{
	uint16_t len;

	if (recv(fd, &len, 2, MSG_WAITALL) != 2 ||
	    recv(fd, server->question.data, ntohs(len), MSG_WAITALL) != ntohs(len))
		return false;
	server->question.len = ntohs(len);
	if (!dns_server_think(server, true, 0))
		return true;
	len = htons((uint16_t)server->reply.len);
	(void)send(fd, &len, 2, MSG_NOSIGNAL | MSG_MORE);
	(void)send(fd, server->reply.data, server->reply.len, MSG_NOSIGNAL);
	return !server->close_conns;
}

static inline void dns_server_accept(struct dns_server *server)
{
	int fd = accept4(server->tcp, NULL, NULL, SOCK_CLOEXEC);

	for (int i = 0; i < DNS_SERVER_CONNS; i++)
		if (server->conns[i] < 0) {
			server->conns[i] = fd;
			server->conn_count++;
			return;
		}
	close(fd);
}

static inline void *dns_server_main(void *arg)
{
	struct dns_server *server = arg;

	for (;;) {
		struct pollfd fds[3 + DNS_SERVER_CONNS] = {
			{ server->udp, POLLIN, 0 }, { server->tcp, POLLIN, 0 },
			{ server->stop[0], POLLIN, 0 },
		};

		for (int i = 0; i < DNS_SERVER_CONNS; i++)
			fds[3 + i] = (struct pollfd){ server->conns[i], POLLIN, 0 };
		(void)poll(fds, 3 + DNS_SERVER_CONNS, -1);
		if (fds[2].revents)
			return NULL;
		if (fds[0].revents)
			dns_server_udp(server);
		for (int i = 0; i < DNS_SERVER_CONNS; i++)
			if (fds[3 + i].revents && !dns_server_message(server, server->conns[i])) {
				close(server->conns[i]);
				server->conns[i] = -1;
			}
		if (fds[1].revents)
			dns_server_accept(server);
	}
}

static inline int dns_server_bind(int type, uint16_t *port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(*port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(addr);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, size) < 0) {
		close(fd);
		return -1;
	}
	(void)getsockname(fd, (struct sockaddr *)&addr, &size);
	*port = ntohs(addr.sin_port);
	return fd;
}

static inline struct dns_server *dns_server_start(dns_answer_fn *answer)
{
	struct dns_server *server = calloc(1, sizeof(*server));
	int err;

	assert(server != NULL);
	server->answer = answer;
	memset(server->conns, 0xff, sizeof(server->conns));
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	do {                                    /* the port may be taken for TCP, or just now */
		server->port = 0;
		server->udp = dns_server_bind(SOCK_DGRAM, &server->port);
		server->tcp = dns_server_bind(SOCK_STREAM, &server->port);
		err = server->tcp < 0 ? -1 : listen(server->tcp, 16);
		if (err < 0) {
			close(server->udp);
			close(server->tcp);
		}
	} while (err < 0);
	err = pipe(server->stop);
	assert(err == 0);
	err = pthread_create(&server->thread, NULL, dns_server_main, server);
	assert(err == 0);
	return server;
}

static inline void dns_server_stop(struct dns_server *server)
{
	dns_server_go_on(server);
	close(server->stop[1]);
	pthread_join(server->thread, NULL);
	close(server->stop[0]);
	close(server->udp);
	close(server->tcp);
	for (int i = 0; i < DNS_SERVER_CONNS; i++)
		if (server->conns[i] >= 0)
			close(server->conns[i]);
	free(server);
}

#endif
