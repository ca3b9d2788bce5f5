/* log_file.c - stdout or a rotated file.
 * Rotation renames "dir/name.ext" to "dir/name-2026-07-05T00-25-09.123.ext" (UTC) and begins a new
 * file; then all but the newest few of those are removed, and any that are too old.  Old files are
 * not compressed: 100 MB take seconds, in which nobody would read events. */
#include "core/log_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/str.h"

enum {
	STAMP_LEN = 23,                 /* 2026-07-05T00-25-09.123 */
	PATIENCE_MS = 1000,             /* with a pipe that is full */
};

/* Make the folders of path that are missing. */
static int make_folders(const char *path)
{
	char folder[LOG_FILE_PATH_MAX];

	snprintf(folder, sizeof(folder), "%s", path);
	for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(folder, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

/* Returns the descriptor or -errno; *size is 0 for what is no regular file. */
static int open_path(const char *path, bool *regular, uint64_t *size)
{
	struct stat stat;
	int fd, err = 0;

	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0 && errno == ENOENT) {
		err = make_folders(path);
		if (err < 0)
			return err;
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	}
	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	*regular = S_ISREG(stat.st_mode);
	*size = *regular ? (uint64_t)stat.st_size : 0;
	return fd;
}

int log_file_open(struct log_file *file, const char *path)
{
	bool regular = false;
	size_t len = path ? strlen(path) : 0;

	memset(file, 0, sizeof(*file));
	file->fd = -1;
	if (len == 0) {
		file->fd = STDOUT_FILENO;
		return 0;
	}
	/* The rotated name is longer by a dash and the stamp. */
	if (len + 1 + STAMP_LEN >= sizeof(file->path))
		return -ENAMETOOLONG;
	memcpy(file->path, path, len + 1);
	file->fd = open_path(path, &regular, &file->size);
	if (file->fd < 0) {
		int err = file->fd;

		file->fd = -1;
		return err;
	}
	file->named = true;
	file->rotate_bytes = regular ? LOG_FILE_ROTATE_BYTES : 0;
	return 0;
}

int log_file_reopen(struct log_file *file)
{
	bool regular = false;
	uint64_t size = 0;
	int fd;

	if (!file->named)
		return 0;
	fd = open_path(file->path, &regular, &size);
	if (fd < 0)
		return fd;
	close(file->fd);
	file->fd = fd;
	file->size = size;
	file->torn = false;
	return 0;
}

void log_file_close(struct log_file *file)
{
	if (file->named && file->fd >= 0)
		close(file->fd);
	file->named = false;
	file->fd = -1;
}

/* The parts of "dir/name.ext" between which the stamp goes. */
struct path_parts {
	char folder[LOG_FILE_PATH_MAX];
	struct str name, ext;           /* of the last component; ext with its dot, or empty */
};

static void split_path(const char *path, struct path_parts *parts)
{
	const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
	const char *dot = strrchr(last, '.');

	if (dot == NULL)
		dot = last + strlen(last);
	snprintf(parts->folder, sizeof(parts->folder), "%.*s", slash ? (int)(last - path) : 2,
		 slash ? path : "./");
	parts->name = (struct str){ last, (size_t)(dot - last) };
	parts->ext = str_of(dot);
}

static void print_stamp(const struct timespec *at, char out[STAMP_LEN + 1])
{
	struct tm utc;
	char seconds[STAMP_LEN + 1];

	gmtime_r(&at->tv_sec, &utc);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H-%M-%S", &utc);
	snprintf(out, STAMP_LEN + 1, "%.19s.%03u", seconds,
		 (unsigned)(at->tv_nsec / 1000000) % 1000);
}

/* Is this "name-<stamp>ext", or the same with ".gz", which g0efilter left?  The stamp, or NULL. */
static const char *stamp_of(const struct path_parts *parts, const char *file)
{
	static const char shape[] = "0000-00-00T00-00-00.000";
	size_t len = strlen(file), name = parts->name.len;
	const char *stamp = file + name + 1, *rest = stamp + STAMP_LEN;

	if (len < name + 1 + STAMP_LEN + parts->ext.len ||
	    memcmp(file, parts->name.at, name) != 0 || file[name] != '-')
		return NULL;
	for (int i = 0; i < STAMP_LEN; i++)
		if (shape[i] == '0' ? stamp[i] < '0' || stamp[i] > '9' : stamp[i] != shape[i])
			return NULL;
	if (memcmp(rest, parts->ext.at, parts->ext.len) != 0)
		return NULL;
	rest += parts->ext.len;
	return *rest == '\0' || strcmp(rest, ".gz") == 0 ? stamp : NULL;
}

/* Find the newest stamps, newest first; they sort as text.  Returns how many. */
static int newest_stamps(DIR *dir, const struct path_parts *parts,
			 char newest[LOG_FILE_KEEP][STAMP_LEN + 1])
{
	int count = 0;

	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		const char *stamp = stamp_of(parts, entry->d_name);
		int at = count;

		if (stamp == NULL)
			continue;
		while (at > 0 && memcmp(stamp, newest[at - 1], STAMP_LEN) > 0)
			at--;
		if (at == LOG_FILE_KEEP)
			continue;
		if (count < LOG_FILE_KEEP)
			count++;
		memmove(newest[at + 1], newest[at], (size_t)(count - at - 1) * sizeof(newest[0]));
		memcpy(newest[at], stamp, STAMP_LEN);
		newest[at][STAMP_LEN] = '\0';
	}
	return count;
}

/* Remove what is older than the newest LOG_FILE_KEEP or than LOG_FILE_KEEP_DAYS. */
static void remove_old(const struct path_parts *parts, const struct timespec *now)
{
	struct timespec limit = { .tv_sec = now->tv_sec - LOG_FILE_KEEP_DAYS * 86400 };
	char newest[LOG_FILE_KEEP][STAMP_LEN + 1], oldest[STAMP_LEN + 1];
	DIR *dir = opendir(parts->folder);
	int count;

	if (dir == NULL)
		return;
	count = newest_stamps(dir, parts, newest);
	print_stamp(&limit, oldest);
	if (count == LOG_FILE_KEEP && strcmp(newest[count - 1], oldest) > 0)
		memcpy(oldest, newest[count - 1], sizeof(oldest));
	rewinddir(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		const char *stamp = stamp_of(parts, entry->d_name);

		if (stamp && memcmp(stamp, oldest, STAMP_LEN) < 0)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
}

/* On any error the old file is simply continued, and asked again after as many bytes more. */
static void rotate(struct log_file *file)
{
	struct path_parts parts;
	struct timespec now, named;
	char to[2 * LOG_FILE_PATH_MAX], stamp[STAMP_LEN + 1];

	file->size = 0;
	clock_gettime(CLOCK_REALTIME, &now);
	named = now;
	split_path(file->path, &parts);
	do {                            /* two within a millisecond must not share a name */
		print_stamp(&named, stamp);
		snprintf(to, sizeof(to), "%s%.*s-%s%s", parts.folder, (int)parts.name.len,
			 parts.name.at, stamp, parts.ext.at);
		named.tv_nsec += 1000000;
		if (named.tv_nsec >= 1000000000) {
			named.tv_nsec -= 1000000000;
			named.tv_sec++;
		}
	} while (access(to, F_OK) == 0);
	if (rename(file->path, to) < 0)
		return;
	(void)log_file_reopen(file);
	remove_old(&parts, &now);
}

/* A pipe whose reader has stopped would stop the control thread too, and with it reloads and the
 * watch over the rules: after a second of patience lines are lost instead, and counted, until it
 * reads again. */
static bool takes_a_line(struct log_file *file)
{
	struct pollfd poll_ = { .fd = file->fd, .events = POLLOUT };

	file->stalled = poll(&poll_, 1, file->stalled ? 0 : PATIENCE_MS) == 0;
	return !file->stalled;
}

/* A full disk: nobody would know from the file itself.  Once, until lines go out again, and only
 * where it does not block. */
static void tell_lost(struct log_file *file, int error)
{
	struct pollfd poll_ = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (file->told || !file->named || poll(&poll_, 1, 0) != 1 || !(poll_.revents & POLLOUT))
		return;
	file->told = true;
	dprintf(STDERR_FILENO, "ringfence: %.400s: %s: lines are lost until it can be written\n",
		file->path, strerror(error));
}

bool log_file_write(struct log_file *file, char *line, size_t len)
{
	ssize_t written;

	if (file->rotate_bytes && file->size > 0 && file->size + len > file->rotate_bytes)
		rotate(file);
	if (file->torn) {
		*--line = '\n';
		len++;
	}
	if (!takes_a_line(file)) {
		file->lost++;
		return false;
	}
	do {
		written = write(file->fd, line, len);
	} while (written < 0 && errno == EINTR);
	if (written > 0) {
		file->size += (uint64_t)written;
		file->torn = (size_t)written < len;
	}
	if (written != (ssize_t)len) {
		tell_lost(file, written < 0 ? errno : ENOSPC);
		file->lost++;
		return false;
	}
	file->told = false;
	return true;
}
