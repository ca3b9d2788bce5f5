/* shared_files.h - files that the workload may write and we go by. */
#ifndef JOBS_SHARED_FILES_H
#define JOBS_SHARED_FILES_H

#include "jobs/ship.h"

/* Warn of what the start has taken from such files. */
void shared_files_tell(const struct options *options, const struct shipping *shipping);

#endif
