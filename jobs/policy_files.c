/* policy_files.c - the policy file and its overlay, as files. */
#include "jobs/policy_files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/policy_edit.h"

enum { POLICY_FILE_MAX = 256 << 20 };

static void set_state(struct policy_file_state *state, const struct stat *stat_)
{
	*state = (struct policy_file_state){ true, stat_->st_dev, stat_->st_ino, stat_->st_size,
					     stat_->st_mtim };
}

static bool is_as(const char *path, const struct policy_file_state *state)
{
	struct stat stat_;

	if (stat(path, &stat_) < 0)
		return errno == ENOENT && !state->there;
	return state->there && stat_.st_dev == state->device && stat_.st_ino == state->inode &&
	       stat_.st_size == state->size && stat_.st_mtim.tv_sec == state->changed.tv_sec &&
	       stat_.st_mtim.tv_nsec == state->changed.tv_nsec;
}

int policy_file_read(const char *path, char **text, size_t *len, struct policy_file_state *state)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat stat_;
	int err = 0;

	*text = NULL;
	*len = 0;
	if (state)
		*state = (struct policy_file_state){ 0 };
	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat_) < 0)
		err = -errno;
	else if (!S_ISREG(stat_.st_mode))
		err = S_ISDIR(stat_.st_mode) ? -EISDIR : -EINVAL;
	else if (stat_.st_size > POLICY_FILE_MAX)
		err = -EFBIG;
	else if (!(*text = malloc((size_t)stat_.st_size + 1)))
		err = -ENOMEM;
	while (err == 0 && *len < (size_t)stat_.st_size) {
		ssize_t n = read(fd, *text + *len, (size_t)stat_.st_size - *len);

		if (n < 0 && errno != EINTR)
			err = -errno;
		if (n == 0)
			break;          /* it was cut while we read: what is there is judged */
		if (n > 0)
			*len += (size_t)n;
	}
	close(fd);
	if (state && err == 0)
		set_state(state, &stat_);
	if (err < 0) {
		free(*text);
		*text = NULL;
		*len = 0;
	}
	return err;
}

static int write_all(int fd, struct str text)
{
	for (size_t done = 0; done < text.len; ) {
		ssize_t n = write(fd, text.at + done, text.len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* A rename is on the disk when its folder is. */
static void sync_folder(const char *path)
{
	char folder[PATH_MAX];
	int fd;

	text_copy(folder, sizeof(folder), path);
	fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)fsync(fd);
		close(fd);
	}
}

/* Beside it, under a name that nobody else has: a draft of the owner's may lie there as well. */
static int open_beside(const char *path, char new[PATH_MAX])
{
	char folder[PATH_MAX];
	int fd;

	text_copy(folder, sizeof(folder), path);
	if (snprintf(new, PATH_MAX, "%s/.ringfence-XXXXXX", dirname(folder)) >= PATH_MAX)
		return -ENAMETOOLONG;
	fd = mkostemp(new, O_CLOEXEC);          /* mode 0600 */
	return fd < 0 ? -errno : fd;
}

/* The same owner and mode as what it replaces. */
static int make_like(int fd, const char *path)
{
	struct stat stat_;

	if (stat(path, &stat_) < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	if (fchown(fd, stat_.st_uid, stat_.st_gid) < 0 || fchmod(fd, stat_.st_mode & 07777) < 0)
		return -errno;
	return 0;
}

int policy_file_write(const char *given, struct str text, struct policy_file_state *state)
{
	char path[PATH_MAX], new[PATH_MAX], folder[PATH_MAX];
	struct policy_file_state made;
	struct stat stat_;
	int fd, err;

	/* A link stays one: what it leads to is replaced. */
	if (state->there && !realpath(given, path))
		return errno == ENOENT ? -ESTALE : -errno;
	if (!state->there) {
		text_copy(path, sizeof(path), given);
		text_copy(folder, sizeof(folder), given);
		(void)mkdir(dirname(folder), 0755);
	}
	fd = open_beside(path, new);
	if (fd < 0)
		return fd;
	err = write_all(fd, text);
	if (err == 0 && state->there)
		err = make_like(fd, path);
	if (err == 0 && fstat(fd, &stat_) < 0)
		err = -errno;
	close(fd);
	/* Directly before: what somebody saved meanwhile must not be lost. */
	if (err == 0 && !is_as(path, state))
		err = -ESTALE;
	if (err == 0)
		set_state(&made, &stat_);
	if (err == 0 && rename(new, path) < 0)
		err = -errno;
	if (err < 0) {
		(void)unlink(new);
		return err;
	}
	sync_folder(path);
	*state = made;
	return 0;
}

int policy_file_remove(const char *path, const struct policy_file_state *state)
{
	if (!is_as(path, state))
		return -ESTALE;
	return unlink(path) < 0 ? -errno : 0;
}

void policy_drop_expired(char **text, size_t *len)
{
	static struct policy_note notes[POLICY_NOTES_MAX];      /* control thread only */
	unsigned count;

	if (!*text || *len == 0)
		return;
	count = policy_edit_notes((struct str){ *text, *len }, notes, POLICY_NOTES_MAX);
	for (unsigned i = 0; i < count; i++) {
		size_t left_len;
		char *left;

		if (notes[i].until == 0 || notes[i].until > (int64_t)time(NULL) ||
		    policy_edit_remove((struct str){ *text, *len }, notes[i].id, &left,
				       &left_len) < 0)
			continue;
		free(*text);
		*text = left;
		*len = left_len;
	}
}
