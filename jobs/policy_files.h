/* policy_files.h - the policy file and its overlay, as files: read whole, replaced whole. */
#ifndef JOBS_POLICY_FILES_H
#define JOBS_POLICY_FILES_H

#include <stdint.h>

#include "proto/str.h"

/* Read a file; *text is allocated, also when it is empty.  0 or -errno, *text NULL. */
int policy_file_read(const char *path, char **text, size_t *len);

/* Replace it in one go: a new one beside it, on the disk, then renamed; owner and mode stay.
 * make: it need not be there, nor its folder.  0 or -errno: -EBUSY for a file that is a mount, and
 * -EROFS where nothing can be written. */
int policy_file_write(const char *path, struct str text, bool make);

/* Leave out the entries whose time is over (policy_edit.h). */
void policy_drop_expired(char **text, size_t *len);

#endif
