/* status_place.h - where the control socket may be: for its two ends only. */
#ifndef CORE_STATUS_PLACE_H
#define CORE_STATUS_PLACE_H

#include "core/status.h"

extern const char status_folders_text[];        /* for messages */

static inline bool status_place_is_given(const struct status_place *place)
{
	return place->path[0] != '\0';
}

/* The i-th path to try; false when there are no more, or when it is too long. */
bool status_place_path(const struct status_place *place, unsigned i, char out[STATUS_PATH_MAX]);
/* Is the i-th usual folder there, a folder, ours, and closed to the writing of others?  0 or
 * -errno. */
int status_folder_check(unsigned i);
/* The same, after making it if need be. */
int status_folder_make(unsigned i);

#endif
