/* load.h - what the load programs of the tests share: messages from files, addresses, epoll. */
#ifndef TESTS_NET_LOAD_H
#define TESTS_NET_LOAD_H

#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct message {
	char bytes[16384];
	size_t len;
};

union place {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static inline void message_read(struct message *message, const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, message->bytes, sizeof(message->bytes));

	if (n <= 0)
		err(1, "%s", path);
	message->len = (size_t)n;
	close(fd);
}

static inline union place place_parse(const char *addr, const char *port)
{
	union place place = { .v4 = { .sin_family = AF_INET } };

	if (inet_pton(AF_INET, addr, &place.v4.sin_addr) == 1) {
		place.v4.sin_port = htons((uint16_t)atoi(port));
		return place;
	}
	place = (union place){ .v6 = { .sin6_family = AF_INET6 } };
	if (inet_pton(AF_INET6, addr, &place.v6.sin6_addr) != 1)
		errx(1, "%s is no address", addr);
	place.v6.sin6_port = htons((uint16_t)atoi(port));
	return place;
}

static inline socklen_t place_len(const union place *place)
{
	return place->sa.sa_family == AF_INET ? sizeof(place->v4) : sizeof(place->v6);
}

/* All descriptors we may have. */
static inline void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(1, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(1, "setrlimit");
}

static inline void watch(int epoll_fd, int op, int fd, uint32_t events, void *what)
{
	struct epoll_event event = { .events = events, .data.ptr = what };

	if (epoll_ctl(epoll_fd, op, fd, &event) < 0)
		err(1, "epoll_ctl");
}

/* A connection on its way; epoll says how it went. */
static inline int connect_to(const union place *place)
{
	int fd = socket(place->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		err(1, "socket");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)connect(fd, &place->sa, place_len(place));
	return fd;
}

#endif
