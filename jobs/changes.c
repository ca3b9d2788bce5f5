/* changes.c - has whoever writes the policy file finished? */
#include "jobs/changes.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

enum {
	WRITER_MS = 60000,              /* may somebody have the file open and not write */
	WATCHED = IN_MASK_ADD | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
		  IN_DELETE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF,
	/* Of the file alone: a log beside it is written all the time. */
	WATCHED_FILE = WATCHED | IN_MODIFY,
};

/* Watch again what may have been replaced; the kernel returns the same watch when it was not.
 * IN_MASK_ADD: otherwise the kernel clears the mask of such a watch before it sets it again, and an
 * event of that moment is lost.  Returns whether it is another file. */
static bool watch_again(struct changes *changes)
{
	char folder[4096];
	int before = changes->file_watch;

	text_copy(folder, sizeof(folder), changes->path);
	(void)inotify_add_watch(changes->fd, dirname(folder), WATCHED);
	changes->file_watch = inotify_add_watch(changes->fd, changes->path, WATCHED_FILE);
	if (before > 0 && before != changes->file_watch)
		(void)inotify_rm_watch(changes->fd, before);        /* moved away */
	return before != changes->file_watch;
}

/* Symbolic or hard: what it leads to is there already. */
static bool is_link_beside(const char *policy_path, const char *name)
{
	char folder[4096], path[4096 + NAME_MAX + 2];
	struct stat stat_;

	text_copy(folder, sizeof(folder), policy_path);
	snprintf(path, sizeof(path), "%s/%s", dirname(folder), name);
	return lstat(path, &stat_) == 0 && (S_ISLNK(stat_.st_mode) || stat_.st_nlink > 1);
}

/* Something happened to the name in its folder.  A new file is about to be written, a new link is
 * complete. */
static void take_name_event(struct changes *changes, const struct inotify_event *event)
{
	if ((event->mask & IN_CREATE) && !is_link_beside(changes->path, event->name)) {
		changes->is_written = true;
		changes->is_whole = false;
		return;
	}
	if (event->mask & (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_DELETE))
		changes->is_written = false;
	if (event->mask & (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE))
		changes->is_whole = true;
	if (!(event->mask & IN_MOVED_FROM))
		changes->is_due = true;
}

/* To the file itself, or to one that had the name before. */
static void take_file_event(struct changes *changes, const struct inotify_event *event)
{
	bool is_its = event->wd == changes->file_watch;

	if (event->mask & IN_MODIFY) {
		changes->is_written |= is_its;
		return;
	}
	if (event->mask & IN_IGNORED)
		return;
	if (is_its && (event->mask & IN_CLOSE_WRITE))
		changes->is_written = false;
	changes->is_due = true;
}

/* Of its neighbours only what is moved or linked matters: the path may lead through them. */
static void take_event(struct changes *changes, const struct inotify_event *event)
{
	const char *slash = strrchr(changes->path, '/');
	const char *name = slash ? slash + 1 : changes->path;

	if (event->len == 0)
		take_file_event(changes, event);
	else if (strcmp(event->name, name) == 0)
		take_name_event(changes, event);
	else if ((event->mask & IN_MOVED_TO) ||
		 ((event->mask & IN_CREATE) && is_link_beside(changes->path, event->name)))
		changes->is_due = changes->is_whole = true;
}

void changes_look(struct changes *changes)
{
	_Alignas(struct inotify_event) char bytes[4096];
	ssize_t len;

	changes->is_whole = false;
	while ((len = read(changes->fd, bytes, sizeof(bytes))) > 0) {
		for (char *at = bytes; at < bytes + len; ) {
			const struct inotify_event *event = (const void *)at;

			take_event(changes, event);
			at += sizeof(*event) + event->len;
		}
	}
	/* Another file: moved or linked, or new, and perhaps seen before its event. */
	if (watch_again(changes))
		changes->is_written = changes->file_watch >= 0 && !changes->is_whole;
}

/* A re-check may come while somebody writes, and a file that was just cut to nothing is a good
 * policy that allows nothing.  So it looks twice; inotify tells when the writer is done anyway. */
static bool is_still(struct changes *changes, uint64_t now_ms)
{
	struct stat now;
	uint64_t changed_ns;
	bool still;

	if (stat(changes->path, &now) < 0)
		return true;            /* who reads it says what is wrong */
	changed_ns = (uint64_t)now.st_ctim.tv_sec * 1000000000 + (uint64_t)now.st_ctim.tv_nsec;
	still = changes->looked.inode == now.st_ino && changes->looked.changed_ns == changed_ns &&
		changes->looked.size == (uint64_t)now.st_size;
	changes->looked.inode = now.st_ino;
	changes->looked.size = (uint64_t)now.st_size;
	changes->looked.changed_ns = changed_ns;
	if (!still)
		changes->looked.since_ms = now_ms;
	return still;
}

/* Somebody has it open and does not write. */
static bool waits_for_writer(struct changes *changes, uint64_t now_ms)
{
	if (!changes->is_written)
		return false;
	if (now_ms < changes->looked.since_ms + WRITER_MS)
		return true;
	log_warn("policy.being_written", log_str("path", changes->path),
		 log_str("note", "its writer has not closed it for a minute: taken as it is now"));
	changes->is_written = false;
	return false;
}

enum recheck changes_recheck(struct changes *changes, uint64_t now_ms)
{
	if (watch_again(changes))
		changes->is_written = false;    /* replaced, and no watch told */
	if (!is_still(changes, now_ms))
		return RECHECK_CHANGED;
	return waits_for_writer(changes, now_ms) ? RECHECK_WRITTEN : RECHECK_STILL;
}

bool changes_due(const struct changes *changes)
{
	return changes->is_due && !changes->is_written;
}

bool changes_take(struct changes *changes)
{
	bool due = changes_due(changes);

	if (due)
		changes->is_due = false;
	return due;
}

int changes_open(struct changes *changes, const char *path)
{
	*changes = (struct changes){ .path = path, .is_due = true };
	changes->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (changes->fd < 0)
		return -errno;
	(void)watch_again(changes);
	return 0;
}

void changes_close(struct changes *changes)
{
	if (changes->fd >= 0)
		close(changes->fd);
	changes->fd = -1;
}
