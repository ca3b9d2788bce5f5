/* spool_files.h - which files of a spool are in its folder. */
#ifndef DASHBOARD_SPOOL_FILES_H
#define DASHBOARD_SPOOL_FILES_H

#include <stddef.h>
#include <stdint.h>

/* The numbers of NAME-00000001.jsonl and so on, rising, allocated.  0 or -errno; -EMFILE: there are
 * far more than a spool ever makes. */
int spool_files(int folder_fd, const char *name, uint32_t **numbers, size_t *count);

#endif
