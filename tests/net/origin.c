/* origin.c - a fast server for the load tests.
 *
 *     origin PORT FILE echo|close|pour [BYTES]
 *
 * Answers the first bytes of each connection by those of FILE, then echoes what else comes, closes,
 * or sends BYTES more and closes.  Prints "ready".  Asked by a line of input it waits until nothing
 * has happened for QUIET_MS, then says "open N accepted N poured BYTES".  Ends with its input. */
#include <errno.h>

#include "tests/net/load.h"

enum { QUIET_MS = 200 };
enum mode { ECHO, CLOSE, POUR };

struct guest {
	int fd;
	bool answered;
	uint64_t left;                  /* to pour */
};

static struct message answer;
static enum mode mode;
static uint64_t pour_bytes, poured;
static unsigned guests_open, accepted;
static int epoll_fd, listener_fd;
static char zeros[1 << 16];

static void leave(struct guest *guest)
{
	close(guest->fd);
	free(guest);
	guests_open--;
}

static void pour(struct guest *guest)
{
	while (guest->left > 0) {
		size_t len = guest->left < sizeof(zeros) ? guest->left : sizeof(zeros);
		ssize_t n = send(guest->fd, zeros, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		guest->left -= (uint64_t)n;
		poured += (uint64_t)n;
	}
	leave(guest);
}

static void on_first(struct guest *guest)
{
	guest->answered = true;
	if (send(guest->fd, answer.bytes, answer.len, MSG_NOSIGNAL) < 0 || mode == CLOSE)
		return leave(guest);
	guest->left = pour_bytes;
	if (mode == POUR)
		watch(epoll_fd, EPOLL_CTL_MOD, guest->fd, EPOLLOUT, guest);
}

static void on_guest(struct guest *guest, uint32_t events)
{
	char buf[16384];
	ssize_t n;

	if (guest->answered && mode == POUR)
		return events & EPOLLOUT ? pour(guest) : leave(guest);
	n = recv(guest->fd, buf, sizeof(buf), 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		return leave(guest);
	if (!guest->answered)
		on_first(guest);
	else if (send(guest->fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
		leave(guest);
}

static void accept_all(void)
{
	int fd, one = 1;

	while ((fd = accept4(listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct guest *guest = calloc(1, sizeof(*guest));

		if (!guest)
			err(1, "calloc");
		guest->fd = fd;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		watch(epoll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, guest);
		guests_open++;
		accepted++;
	}
	if (errno != EAGAIN && errno != ECONNABORTED)
		err(1, "accept");
}

static int listen_at(const char *port)
{
	union place place = place_parse("0.0.0.0", port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &place.sa, place_len(&place)) < 0 || listen(fd, 4096) < 0)
		err(1, "port %s", port);
	return fd;
}

static void tell(void)
{
	printf("open %u accepted %u poured %llu\n", guests_open, accepted,
	       (unsigned long long)poured);
}

/* Until the input ends. */
static void serve(void)
{
	struct epoll_event events[64];
	bool asked = false;
	char line[64];

	watch(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, line);
	for (;;) {
		int ready = epoll_wait(epoll_fd, events, 64, asked ? QUIET_MS : -1);

		if (ready == 0) {
			tell();
			asked = false;
		}
		for (int i = 0; i < ready; i++) {
			if (events[i].data.ptr == &listener_fd)
				accept_all();
			else if (events[i].data.ptr != line)
				on_guest(events[i].data.ptr, events[i].events);
			else if (read(STDIN_FILENO, line, sizeof(line)) > 0)
				asked = true;
			else
				return;
		}
	}
}

int main(int argc, char **argv)
{
	if (argc < 4)
		errx(2, "usage: origin PORT FILE echo|close|pour [BYTES]");
	message_read(&answer, argv[2]);
	mode = strcmp(argv[3], "echo") == 0 ? ECHO : strcmp(argv[3], "pour") == 0 ? POUR : CLOSE;
	pour_bytes = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	descriptors_raise();
	setlinebuf(stdout);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listener_fd = listen_at(argv[1]);
	watch(epoll_fd, EPOLL_CTL_ADD, listener_fd, EPOLLIN, &listener_fd);
	printf("ready\n");
	serve();
	return 0;
}
