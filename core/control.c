/* control.c - the one thread that may block. */
#include "core/control.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

int control_init(struct control *control)
{
	*control = (struct control){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	return control->epoll_fd < 0 ? -errno : 0;
}

void control_finish(struct control *control)
{
	if (control->epoll_fd >= 0)
		close(control->epoll_fd);
	control->epoll_fd = -1;
}

int control_add(struct control *control, struct watch *watch)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = watch };

	return epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0 ? -errno : 0;
}

void control_forget(struct control *control, struct watch *watch)
{
	if (watch->fd >= 0)
		(void)epoll_ctl(control->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
}

static struct itimerspec periodic(uint64_t first_ms, uint64_t every_ms)
{
	return (struct itimerspec){
		.it_value = { (time_t)(first_ms / 1000), (long)(first_ms % 1000) * 1000000 },
		.it_interval = { (time_t)(every_ms / 1000), (long)(every_ms % 1000) * 1000000 },
	};
}

int control_tick_open(uint64_t first_ms, uint64_t every_ms)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	control_tick_set(fd, first_ms, every_ms);
	return fd;
}

void control_tick_set(int fd, uint64_t first_ms, uint64_t every_ms)
{
	struct itimerspec when = periodic(first_ms, every_ms);

	(void)timerfd_settime(fd, 0, &when, NULL);
}

void control_tick_read(int fd)
{
	uint64_t times;

	(void)!read(fd, &times, sizeof(times));
}

/* One event at a time: ready() may forget any other watch. */
int control_run(struct control *control)
{
	while (!control->stop) {
		struct epoll_event event;
		int n = epoll_wait(control->epoll_fd, &event, 1, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 1) {
			struct watch *watch = event.data.ptr;

			watch->ready(watch);
		}
	}
	return 0;
}
