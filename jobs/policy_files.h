/* policy_files.h - the policy file and its overlay, as files: read whole, replaced whole. */
#ifndef JOBS_POLICY_FILES_H
#define JOBS_POLICY_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "proto/str.h"

/* Which file it was, and of when.  Others write it too: what we replace must be what we read. */
struct policy_file_state {
	bool there;
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

/* Read a file; *text is allocated, also when it is empty.  0 or -errno, *text NULL.
 * state: may be NULL; also set for a file that is not there. */
int policy_file_read(const char *path, char **text, size_t *len, struct policy_file_state *state);

/* Replace it in one go: a new one beside it, on the disk, then renamed; owner and mode stay.  Where
 * *state says that it was not there it is made, and its folder.  0, *state is the new file's; or
 * -errno: -ESTALE for one that is not as *state says any more, and then nothing is changed; -EBUSY
 * for a file that is a mount, and -EROFS where nothing can be written. */
int policy_file_write(const char *path, struct str text, struct policy_file_state *state);

/* Remove it, if it is still as *state says.  0 or -errno. */
int policy_file_remove(const char *path, const struct policy_file_state *state);

/* Leave out the entries whose time is over (policy_edit.h). */
void policy_drop_expired(char **text, size_t *len);

#endif
