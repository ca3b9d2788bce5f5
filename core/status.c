/* status.c - the answering end: where the socket is, and what is written to who connects. */
#include "core/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/op.h"
#include "core/status_place.h"

enum {
	BACKLOG = 16,
	ANSWERS_A_TURN = 16,            /* the control thread has other things to do */
	LOCK_TRIES = 100, LOCK_PAUSE_MS = 10,
};

struct status {
	struct control *control;
	struct watch watch;
	int spare_fd;                   /* given up for a moment to turn somebody away */
	status_fn *fill;
	void *context;
	bool bound;
	struct sockaddr_un addr;
	struct status_text text;
};

void status_add(struct status_text *text, const char *key, const char *format, ...)
{
	size_t room = sizeof(text->at) - text->len;
	char *at = text->at + text->len;
	int key_len = snprintf(at, room, "%s ", key), value_len;
	va_list args;

	if (key_len < 0 || (size_t)key_len >= room) {
		text->cut = true;
		return;
	}
	va_start(args, format);
	value_len = vsnprintf(at + key_len, room - (size_t)key_len, format, args);
	va_end(args);
	if (value_len < 0 || (size_t)key_len + (size_t)value_len + 1 >= room) {
		text->cut = true;
		return;
	}
	for (char *c = at + key_len; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	at[key_len + value_len] = '\n';
	text->len += (size_t)key_len + (size_t)value_len + 1;
}

/* Without its last line a text is known to be cut. */
static void write_answer(struct status *status, int fd)
{
	static const char end[] = "end\n";
	struct status_text *text = &status->text;

	text->len = 0;
	text->cut = false;
	status->fill(status->context, text);
	if (text->cut || sizeof(text->at) - text->len < sizeof(end))
		return;
	memcpy(text->at + text->len, end, sizeof(end) - 1);
	(void)!send(fd, text->at, text->len + sizeof(end) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Without a descriptor a connection would stay in the queue and wake us for ever. */
static void turn_away(struct status *status)
{
	int fd;

	if (status->spare_fd < 0)
		return;
	close(status->spare_fd);
	fd = accept4(status->watch.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	status->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_client(struct watch *watch)
{
	struct status *status = container_of(watch, struct status, watch);

	for (unsigned i = 0; i < ANSWERS_A_TURN; i++) {
		int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				turn_away(status);
			return;
		}
		write_answer(status, fd);
		close(fd);
	}
}

/* A socket file that nobody listens on is of a dead process.  0: the path is free now. */
static int remove_stale(const struct sockaddr_un *addr)
{
	struct stat stat_;
	int fd, err;

	if (lstat(addr->sun_path, &stat_) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(stat_.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	err = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? errno : 0;
	close(fd);
	if (err != ECONNREFUSED)
		return err == EACCES || err == EPERM ? -err : -EADDRINUSE;
	return unlink(addr->sun_path) < 0 ? -errno : 0;
}

/* Two that start at once must not both take the other's new socket for a dead one. */
static int lock_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000L };
	char folder[STATUS_PATH_MAX];
	int fd, tries = 0;

	text_copy(folder, sizeof(folder), slash ? path : ".");
	if (slash)
		folder[slash == path ? 1 : slash - path] = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (tries++ == LOCK_TRIES) {
			close(fd);
			return -EBUSY;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

/* The file gets the socket's mode: set before, it is at no moment open to others. */
static int listen_at(struct status *status, const char *path)
{
	int lock, fd, err;

	status->addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	text_copy(status->addr.sun_path, sizeof(status->addr.sun_path), path);
	lock = lock_folder(path);
	if (lock < 0)
		return lock;
	err = remove_stale(&status->addr);
	fd = err < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (err == 0 && fd < 0)
		err = -errno;
	if (err == 0 && (fchmod(fd, 0600) < 0 ||
			 bind(fd, (struct sockaddr *)&status->addr, sizeof(status->addr)) < 0))
		err = -errno;
	status->bound = err == 0;
	if (err == 0 && listen(fd, BACKLOG) < 0)
		err = -errno;
	status->watch = (struct watch){ .fd = fd, .ready = on_client };
	close(lock);
	return err;
}

static void forget_socket(struct status *status)
{
	if (status->bound)
		(void)unlink(status->addr.sun_path);
	if (status->watch.fd >= 0)
		close(status->watch.fd);
	status->watch.fd = -1;
	status->bound = false;
}

/* In the first folder that takes it; a living process there is the end of the search. */
static int listen_somewhere(struct status *status, const struct status_place *place,
			    char error[STATUS_ERROR_MAX])
{
	char path[STATUS_PATH_MAX];
	int err = -ENOENT;

	for (unsigned i = 0; status_place_path(place, i, path); i++) {
		err = status_place_is_given(place) ? 0 : status_folder_make(i);
		if (err == 0)
			err = listen_at(status, path);
		if (err == 0)
			return 0;
		forget_socket(status);
		if (err == -EADDRINUSE || status_place_is_given(place)) {
			snprintf(error, STATUS_ERROR_MAX, "%.*s: %s", (int)sizeof(path), path,
				 err == -EADDRINUSE ? "another running ringfence answers there" :
				 err == -EEXIST ? "this is no socket, choose another path" :
				 strerror(-err));
			return err;
		}
	}
	if (status_place_is_given(place))
		snprintf(error, STATUS_ERROR_MAX, "%.200s: a path of at most %zu bytes is needed",
			 place->path, STATUS_PATH_MAX - (size_t)1);
	else
		snprintf(error, STATUS_ERROR_MAX, "none of %s can be written (the last: %s)",
			 status_folders_text, strerror(-err));
	return err;
}

int status_open(struct control *control, const struct status_place *place, status_fn *fill,
		void *context, struct status **out, char error[STATUS_ERROR_MAX])
{
	struct status *status = calloc(1, sizeof(*status));
	int err;

	if (!status) {
		snprintf(error, STATUS_ERROR_MAX, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	status->control = control;
	status->watch.fd = -1;
	status->fill = fill;
	status->context = context;
	status->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	err = listen_somewhere(status, place, error);
	if (err == 0) {
		err = control_add(control, &status->watch);
		if (err < 0)
			snprintf(error, STATUS_ERROR_MAX, "cannot be watched: %s", strerror(-err));
	}
	if (err < 0) {
		forget_socket(status);
		status_close(status);
		return err;
	}
	*out = status;
	return 0;
}

const char *status_path(const struct status *status)
{
	return status->addr.sun_path;
}

void status_close(struct status *status)
{
	if (!status)
		return;
	control_forget(status->control, &status->watch);
	forget_socket(status);
	if (status->spare_fd >= 0)
		close(status->spare_fd);
	free(status);
}
