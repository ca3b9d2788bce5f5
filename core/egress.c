/* egress.c - a socket of our own, as the rules know it. */
#include "core/egress.h"

#include <errno.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <unistd.h>

void egress_begin(const struct egress *egress)
{
	if (egress && egress->uid != 0)
		(void)setfsuid(egress->uid);
}

void egress_end(const struct egress *egress)
{
	if (egress && egress->uid != 0)
		(void)setfsuid(geteuid());
}

int egress_mark(const struct egress *egress, int fd)
{
	if (!egress || egress->mark == 0)
		return 0;
	return setsockopt(fd, SOL_SOCKET, SO_MARK, &egress->mark, sizeof(egress->mark)) < 0 ?
	       -errno : 0;
}

int egress_socket(const struct egress *egress, int family, int type, int protocol)
{
	int fd, err;

	if (family == AF_UNIX)
		egress = NULL;
	egress_begin(egress);
	fd = socket(family, type | SOCK_CLOEXEC, protocol);
	err = fd < 0 ? -errno : 0;
	egress_end(egress);
	if (fd >= 0)
		err = egress_mark(egress, fd);
	if (err < 0) {
		if (fd >= 0)
			close(fd);
		return err;
	}
	return fd;
}
