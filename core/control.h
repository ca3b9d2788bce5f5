/* control.h - the one thread that may block: descriptors that turn readable, a clock tick.
 * Everything here runs on the thread that calls control_run(). */
#ifndef CORE_CONTROL_H
#define CORE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

struct watch {                          /* the caller's memory, until control_forget() */
	int fd;                         /* -1: not watched */
	void (*ready)(struct watch *watch);
};

struct control {
	int epoll_fd;
	bool stop;
	int exit_status;
};

int control_init(struct control *control);
void control_finish(struct control *control);
/* ready() whenever fd is readable. 0 or -errno. */
int control_add(struct control *control, struct watch *watch);
void control_forget(struct control *control, struct watch *watch);

/* A periodic timer as a descriptor to watch; read it with control_tick_read().  -errno. */
int control_tick_open(uint64_t first_ms, uint64_t every_ms);
void control_tick_set(int fd, uint64_t first_ms, uint64_t every_ms);
void control_tick_read(int fd);

/* Until control->stop; returns 0 or -errno of the wait itself. */
int control_run(struct control *control);

#endif
