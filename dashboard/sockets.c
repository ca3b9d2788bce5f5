/* sockets.c - listening sockets, not blocking. */
#include "dashboard/sockets.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/addr.h"

enum { BACKLOG = 1024 };

static bool parse_port(struct str text, uint16_t *port)
{
	unsigned long number = 0;

	if (text.len == 0 || text.len > 5)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		number = number * 10 + (unsigned long)(text.at[i] - '0');
	}
	if (number > UINT16_MAX)
		return false;
	*port = (uint16_t)number;
	return true;
}

/* Port 0 is one that the kernel chooses. */
static bool parse_where(const char *where, union addr *addr)
{
	const char *colon = strrchr(where, ':');
	struct str host = { where, colon ? (size_t)(colon - where) : 0 };
	uint16_t port;

	if (!parse_port(str_of(colon ? colon + 1 : where), &port))
		return false;
	if (host.len == 0)
		*addr = (union addr){ .v6 = { .sin6_family = AF_INET6 } };
	else if (str_equal(host, STR("localhost")))
		(void)addr_parse(STR("127.0.0.1"), addr);
	else if (host.at[0] == '[' && host.at[host.len - 1] == ']' &&
		 addr_parse((struct str){ host.at + 1, host.len - 2 }, addr))
		addr_unmap(addr);
	else if (memchr(host.at, ':', host.len) || !addr_parse(host, addr))
		return false;
	addr_set_port(addr, port);
	return true;
}

static int listen_on(const union addr *addr, int *listening)
{
	int on = 1, off = 0, err;
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (addr->sa.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, &addr->sa, addr_len(addr)) < 0 || listen(fd, BACKLOG) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	*listening = fd;
	return 0;
}

int sockets_listen_tcp(const char *where, int *fd, char error[STORE_ERROR_MAX])
{
	union addr addr;
	uint16_t port;
	int err;

	*fd = -1;
	if (strcmp(where, "off") == 0)
		return 0;
	if (!parse_where(where, &addr)) {
		snprintf(error, STORE_ERROR_MAX,
			 "PORT: \"%.64s\" is not a port (8081), address:port (127.0.0.1:8081, "
			 "[::1]:8081) or off", where);
		return -EINVAL;
	}
	err = listen_on(&addr, fd);
	port = addr_port(&addr);
	if (err == -EAFNOSUPPORT && addr.sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&addr.v6.sin6_addr)) {
		addr = (union addr){ .v4 = { .sin_family = AF_INET } };
		addr_set_port(&addr, port);
		err = listen_on(&addr, fd);
	}
	if (err < 0)
		snprintf(error, STORE_ERROR_MAX, "PORT: cannot listen on %.64s: %s%s", where,
			 strerror(-err), err == -EADDRINUSE ? ": what else has this port?" : "");
	return err;
}

const char *sockets_name(int fd, char out[ADDR_TEXT_MAX])
{
	union addr addr = { .sa = { 0 } };
	socklen_t len = sizeof(addr);

	if (fd < 0 || getsockname(fd, &addr.sa, &len) < 0)
		return "off";
	return addr_format(&addr, out);
}

/* A socket that a killed program left behind answers nobody. */
static void remove_stale(const struct sockaddr_un *addr)
{
	struct stat stat_buf;
	int fd;

	if (lstat(addr->sun_path, &stat_buf) < 0 || !S_ISSOCK(stat_buf.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
	    errno == ECONNREFUSED)
		(void)unlink(addr->sun_path);
	close(fd);
}

int sockets_listen_unix(const char *path, int *fd, char error[STORE_ERROR_MAX])
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t mask;
	int err = 0;

	*fd = -1;
	if (path[0] == '\0')
		return 0;
	if (strlen(path) >= sizeof(addr.sun_path)) {
		snprintf(error, STORE_ERROR_MAX, "UNIX_SOCKET: %.64s... is longer than %zu bytes",
			 path, sizeof(addr.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	text_copy(addr.sun_path, sizeof(addr.sun_path), path);
	remove_stale(&addr);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mask = umask(0117);             /* the user and the group */
	if (*fd < 0 || bind(*fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(*fd, BACKLOG) < 0)
		err = -errno;
	umask(mask);
	if (err == 0)
		return 0;
	snprintf(error, STORE_ERROR_MAX, "UNIX_SOCKET: cannot listen on %.200s: %s%s", path,
		 strerror(-err), err == -EADDRINUSE ? ": another program does, or it is no socket"
						    : "");
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return err;
}
