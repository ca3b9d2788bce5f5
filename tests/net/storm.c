/* storm.c - short connections, many one after another: connect, send a request, read to the end.
 *
 *     storm ADDR PORT COUNT AT_ONCE FILE
 *
 * Prints "answered N failed M"; failed: refused, reset, or ended without a byte. */
#include "tests/net/load.h"

struct visit {
	int fd;
	size_t got;
};

static struct message request;
static union place place;
static int epoll_fd;
static unsigned long started, count, answered, failed;

static void begin(struct visit *visit)
{
	*visit = (struct visit){ .fd = connect_to(&place) };
	watch(epoll_fd, EPOLL_CTL_ADD, visit->fd, EPOLLOUT, visit);
	started++;
}

static void end(struct visit *visit, bool good)
{
	close(visit->fd);
	answered += good;
	failed += !good;
	if (started < count)
		begin(visit);
}

static void on_connected(struct visit *visit)
{
	if (send(visit->fd, request.bytes, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
		return end(visit, false);
	watch(epoll_fd, EPOLL_CTL_MOD, visit->fd, EPOLLIN, visit);
}

static void on_readable(struct visit *visit)
{
	char answer[16384];
	ssize_t n = recv(visit->fd, answer, sizeof(answer), 0);

	if (n > 0)
		visit->got += (size_t)n;
	else
		end(visit, n == 0 && visit->got > 0);
}

int main(int argc, char **argv)
{
	unsigned at_once = argc == 6 ? (unsigned)atoi(argv[4]) : 0;
	struct visit *visits = calloc(at_once + 1, sizeof(*visits));
	struct epoll_event events[64];

	if (at_once == 0 || !visits)
		errx(2, "usage: storm ADDR PORT COUNT AT_ONCE FILE");
	place = place_parse(argv[1], argv[2]);
	count = strtoul(argv[3], NULL, 10);
	message_read(&request, argv[5]);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < at_once && started < count; i++)
		begin(&visits[i]);
	while (answered + failed < count) {
		int ready = epoll_wait(epoll_fd, events, 64, 30000);

		if (ready <= 0)
			errx(1, "nothing for 30 s: answered %lu failed %lu", answered, failed);
		for (int i = 0; i < ready; i++) {
			if (events[i].events & EPOLLOUT)
				on_connected(events[i].data.ptr);
			else
				on_readable(events[i].data.ptr);
		}
	}
	printf("answered %lu failed %lu\n", answered, failed);
	free(visits);
	return 0;
}
