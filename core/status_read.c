/* status_read.c - the asking end of the control socket, and where both ends look for it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/status_place.h"

static const char *const folders[] = { "/run/ringfence", "/dev/shm/ringfence", "/tmp/ringfence" };
const char status_folders_text[] = "/run/ringfence, /dev/shm/ringfence and /tmp/ringfence";

static unsigned long long netns_inode(void)
{
	struct stat stat_;

	return stat("/proc/self/ns/net", &stat_) < 0 ? 0 : (unsigned long long)stat_.st_ino;
}

bool status_place_path(const struct status_place *place, unsigned i, char out[STATUS_PATH_MAX])
{
	int len;

	if (status_place_is_given(place))
		len = i > 0 ? -1 : snprintf(out, STATUS_PATH_MAX, "%s", place->path);
	else
		len = i >= ARRAY_LEN(folders) ? -1 :
		      snprintf(out, STATUS_PATH_MAX, "%s/%.*s-%llu.sock", folders[i],
			       STATUS_STEM_MAX, place->stem, netns_inode());
	return len >= 0 && (size_t)len < STATUS_PATH_MAX;
}

int status_folder_check(unsigned i)
{
	struct stat stat_;

	if (lstat(folders[i], &stat_) < 0)
		return -errno;
	if (!S_ISDIR(stat_.st_mode))
		return -ENOTDIR;
	return stat_.st_uid == geteuid() && (stat_.st_mode & 0022) == 0 ? 0 : -EPERM;
}

int status_folder_make(unsigned i)
{
	if (mkdir(folders[i], 0700) < 0 && errno != EEXIST)
		return -errno;
	return status_folder_check(i);
}

/* Reading */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The whole text, to its `end`. */
static int receive(int fd, int64_t until_ms, struct status_text *text)
{
	for (;;) {
		int64_t left_ms = until_ms - now_ms();
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) == 0)
			return -ETIMEDOUT;
		n = recv(fd, text->at + text->len, sizeof(text->at) - text->len, MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		if (n > 0)
			text->len += (size_t)n;
		if (text->len == sizeof(text->at))
			return -EMSGSIZE;
	}
	if (text->len < 4 || memcmp(text->at + text->len - 4, "end\n", 4) != 0 ||
	    (text->len > 4 && text->at[text->len - 5] != '\n'))
		return -EPROTO;
	return 0;
}

/* A full queue makes connect() wait: not longer than the patience. */
static int ask(const char *path, unsigned patience_ms, struct status_text *text)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval patience = { patience_ms / 1000, patience_ms % 1000 * 1000 };
	int64_t until_ms = now_ms() + patience_ms;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	text_copy(addr.sun_path, sizeof(addr.sun_path), path);
	text->len = 0;
	text->cut = false;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		err = errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (err == 0)
		err = receive(fd, until_ms, text);
	close(fd);
	return err;
}

static void explain(int err, const struct status_place *place, const char *path,
		    char error[STATUS_ERROR_MAX])
{
	bool given = status_place_is_given(place);

	if (err == -ENOENT || err == -ECONNREFUSED)
		snprintf(error, STATUS_ERROR_MAX, "no running ringfence answers at its control "
			 "socket (%s %s%s%s): is it running here, with the same environment? "
			 "CONTROL_SOCKET names another place, for both",
			 err == -ENOENT ? "there is no" : "nobody listens at",
			 given ? path : place->stem, given ? "" : " in ",
			 given ? "" : status_folders_text);
	else if (err == -ETIMEDOUT)
		snprintf(error, STATUS_ERROR_MAX, "the running ringfence does not answer at %s: "
			 "it is stuck, restart it", path);
	else if (err == -EACCES || err == -EPERM)
		snprintf(error, STATUS_ERROR_MAX, "%s: %s: run as the user that ringfence runs as, "
			 "or set CONTROL_SOCKET for both", path, strerror(-err));
	else
		snprintf(error, STATUS_ERROR_MAX, "%s: no status of a ringfence comes from there: "
			 "%s", path, strerror(-err));
}

int status_read(const struct status_place *place, unsigned patience_ms, struct status_text *text,
		char error[STATUS_ERROR_MAX])
{
	char path[STATUS_PATH_MAX] = "", worst_path[STATUS_PATH_MAX] = "";
	int err, worst = -ENOENT;

	if (strlen(place->path) >= STATUS_PATH_MAX) {
		snprintf(error, STATUS_ERROR_MAX, "CONTROL_SOCKET: %.200s is too long: at most %zu "
			 "bytes", place->path, STATUS_PATH_MAX - (size_t)1);
		return -ENAMETOOLONG;
	}
	for (unsigned i = 0; status_place_path(place, i, path); i++) {
		err = status_place_is_given(place) ? 0 : status_folder_check(i);
		if (err == 0)
			err = ask(path, patience_ms, text);
		if (err == 0)
			return 0;
		if (err != -ENOENT || worst_path[0] == '\0') {
			worst = err;
			text_copy(worst_path, sizeof(worst_path), path);
		}
		if (err != -ENOENT && err != -ECONNREFUSED && err != -EPERM)
			break;
	}
	explain(worst, place, worst_path, error);
	return worst;
}

struct str status_value(const struct status_text *text, const char *key)
{
	size_t key_len = strlen(key);
	const char *at = text->at, *end = text->at + text->len;

	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((line_end ? line_end : end) - at);

		if (len > key_len && at[key_len] == ' ' && memcmp(at, key, key_len) == 0)
			return (struct str){ at + key_len + 1, len - key_len - 1 };
		at += len + 1;
	}
	return (struct str){ NULL, 0 };
}

bool status_number(const struct status_text *text, const char *key, uint64_t *number)
{
	struct str value = status_value(text, key);
	uint64_t sum = 0;

	if (value.len == 0 || value.len > 18)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return false;
		sum = sum * 10 + (uint64_t)(value.at[i] - '0');
	}
	*number = sum;
	return true;
}
