/* jobs.h - the programs in the program: one function a subcommand.
 * argv[0..argc) are the arguments behind the subcommand; returns the exit status. */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include <stdbool.h>

/* lenient: called by g0efilter's name, unknown arguments are only warned of. */
int job_forward(int argc, char **argv, bool lenient);
int job_filter(int argc, char **argv, bool lenient);
int job_dashboard(int argc, char **argv, bool lenient);
int job_healthcheck(int argc, char **argv, bool lenient);

#endif
