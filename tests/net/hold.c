/* hold.c - many connections at once: opens them, waits for the answer on each, holds them.
 *
 *     hold FILE ANSWER_LEN COUNT AT_ONCE ADDR PORT [ADDR PORT]...
 *
 * Each sends the bytes of FILE and is held once ANSWER_LEN bytes have come; AT_ONCE may wait for
 * that at a time.  Prints "held N lost M".  Then it does what lines of its input say, one by one:
 *     echo N    sends a few bytes on N of them and expects the same back: "echoed N"
 *     read N    reads N of them to their end: "read BYTES", of all these together
 * and ends, closing all, with its input. */
#include <poll.h>

#include "tests/net/load.h"

enum { PLACES_MAX = 64, WAIT_MS = 30000 };

struct tunnel {
	int fd;
	size_t got;
};

static struct message hello;
static union place places[PLACES_MAX];
static struct tunnel *tunnels;
static size_t answer_len;
static unsigned places_count, count, at_once, started, held, lost;
static int epoll_fd;

static void begin(void)
{
	struct tunnel *tunnel = &tunnels[started];

	tunnel->fd = connect_to(&places[started++ % places_count]);
	watch(epoll_fd, EPOLL_CTL_ADD, tunnel->fd, EPOLLOUT, tunnel);
}

static void lose(struct tunnel *tunnel)
{
	close(tunnel->fd);
	tunnel->fd = -1;
	lost++;
}

static void on_event(struct tunnel *tunnel, uint32_t events)
{
	char answer[16384];
	size_t missing = answer_len - tunnel->got;
	ssize_t n;

	if (events & EPOLLOUT) {
		if (send(tunnel->fd, hello.bytes, hello.len, MSG_NOSIGNAL) != (ssize_t)hello.len)
			return lose(tunnel);
		return watch(epoll_fd, EPOLL_CTL_MOD, tunnel->fd, EPOLLIN, tunnel);
	}
	n = recv(tunnel->fd, answer, missing < sizeof(answer) ? missing : sizeof(answer), 0);
	if (n <= 0)
		return lose(tunnel);
	tunnel->got += (size_t)n;
	if (tunnel->got < answer_len)
		return;
	held++;
	watch(epoll_fd, EPOLL_CTL_DEL, tunnel->fd, 0, NULL);
}

static void open_all(void)
{
	struct epoll_event events[64];

	while (held + lost < count) {
		int ready;

		while (started < count && started - held - lost < at_once)
			begin();
		ready = epoll_wait(epoll_fd, events, 64, WAIT_MS);
		if (ready <= 0)
			errx(1, "nothing for %d ms: held %u lost %u", WAIT_MS, held, lost);
		for (int i = 0; i < ready; i++)
			on_event(events[i].data.ptr, events[i].events);
	}
}

/* Bytes, 0 at the end, -1: nothing came, or an error. */
static ssize_t receive(const struct tunnel *tunnel, void *to, size_t len)
{
	struct pollfd poll_fd = { .fd = tunnel->fd, .events = POLLIN };

	if (tunnel->fd < 0 || poll(&poll_fd, 1, WAIT_MS) <= 0)
		return -1;
	return recv(tunnel->fd, to, len, 0);
}

static bool echo(const struct tunnel *tunnel, unsigned number)
{
	char said[16], heard[16];
	size_t len = (size_t)snprintf(said, sizeof(said), "echo %u", number), got = 0;

	if (tunnel->fd < 0 || send(tunnel->fd, said, len, MSG_NOSIGNAL) != (ssize_t)len)
		return false;
	while (got < len) {
		ssize_t n = receive(tunnel, heard + got, len - got);

		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return memcmp(said, heard, len) == 0;
}

/* Of all, n that lie evenly between them. */
static void echo_on(unsigned n)
{
	unsigned echoed = 0;

	for (unsigned i = 0; i < n && i < count; i++) {
		unsigned number = (unsigned)((uint64_t)i * count / n);

		echoed += echo(&tunnels[number], number);
	}
	printf("echoed %u\n", echoed);
}

static void read_from(unsigned n)
{
	static char buf[1 << 16];
	unsigned long total = 0;

	for (unsigned i = 0; i < n && i < count; i++) {
		ssize_t len;

		while ((len = receive(&tunnels[i], buf, sizeof(buf))) > 0)
			tunnels[i].got += (size_t)len;
		total += tunnels[i].got;
	}
	printf("read %lu\n", total);
}

int main(int argc, char **argv)
{
	char line[64];
	unsigned n;

	if (argc < 7 || argc % 2 == 0 || argc > 5 + 2 * PLACES_MAX)
		errx(2, "usage: hold FILE ANSWER_LEN COUNT AT_ONCE ADDR PORT...");
	message_read(&hello, argv[1]);
	answer_len = strtoul(argv[2], NULL, 10);
	count = (unsigned)atoi(argv[3]);
	at_once = (unsigned)atoi(argv[4]);
	for (int i = 5; i < argc; i += 2)
		places[places_count++] = place_parse(argv[i], argv[i + 1]);
	tunnels = calloc(count, sizeof(*tunnels));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	descriptors_raise();
	setlinebuf(stdout);
	open_all();
	printf("held %u lost %u\n", held, lost);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "echo %u", &n) == 1)
			echo_on(n);
		else if (sscanf(line, "read %u", &n) == 1)
			read_from(n);
	}
	return 0;
}
