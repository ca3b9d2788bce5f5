/* changes.h - has whoever writes the policy file finished?
 *
 * A file that is written in place is empty at first, then half there, and may well be valid both
 * times.  So it is due when a writer has closed it or when it was moved or linked into its place,
 * and not while it changes.  What no watch sees (a file replaced under a bind mount) a re-check
 * does. */
#ifndef JOBS_CHANGES_H
#define JOBS_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

struct inotify_event;

struct changes {
	const char *path;               /* the caller's */
	int fd;                         /* inotify's; -1: there are re-checks only */
	int file_watch;
	bool is_due;                    /* a change ended, and it was not taken since */
	bool is_written;                /* somebody changes the file, and has not closed it */
	bool is_whole;                  /* what was looked at last put a whole file there */
	struct {                        /* by the last re-check */
		uint64_t inode, size, changed_ns, since_ms;
	} looked;
};

/* What was there before counts as a change.  0, or -errno: only re-checks tell; call
 * changes_close() all the same. */
int changes_open(struct changes *changes, const char *path);
void changes_close(struct changes *changes);

/* Take what has happened so far: when fd is readable, and after the file was read. */
void changes_look(struct changes *changes);
/* May the file be read, because it has changed?  changes_take(): it is read now. */
bool changes_due(const struct changes *changes);
bool changes_take(struct changes *changes);

enum recheck {
	RECHECK_CHANGED,                /* since the last re-check: look again in a moment */
	RECHECK_WRITTEN,                /* somebody has it open: he will close it */
	RECHECK_STILL,                  /* it may be read */
};
/* now_ms: of a clock that is never set.  A writer who is silent for a minute is told in the log,
 * and waited for no longer: who cuts a file by its name never closes it. */
enum recheck changes_recheck(struct changes *changes, uint64_t now_ms);

#endif
