/* dashboard.c - start ringfence-dashboard, which is a program of its own: the filter links none of
 * its libraries. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "jobs/jobs.h"
#include "proto/str.h"

enum { PATH_LEN_MAX = 4096 };

static const char program[] = "ringfence-dashboard";

/* Our own path with the other name at its end; false: not to be found. */
static bool beside_us(char path[PATH_LEN_MAX])
{
	ssize_t len = readlink("/proc/self/exe", path, PATH_LEN_MAX - sizeof(program));
	char *slash;

	if (len <= 0)
		return false;
	path[len] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return false;
	memcpy(slash + 1, program, sizeof(program));
	return true;
}

int job_dashboard(int argc, char **argv, bool lenient)
{
	char path[PATH_LEN_MAX];
	char **args = calloc((size_t)argc + 2, sizeof(*args));

	if (!args) {
		fprintf(stderr, "ringfence: dashboard: %s\n", strerror(ENOMEM));
		return 1;
	}
	/* By a seed's name it is lenient too. */
	args[0] = strdup(lenient ? "g0efilter-dashboard" : program);
	memcpy(args + 1, argv, (size_t)argc * sizeof(*args));
	if (beside_us(path))
		(void)execv(path, args);
	(void)execvp(program, args);
	fprintf(stderr, "ringfence: dashboard: %s: %s: install it beside ringfence or in PATH\n",
		program, strerror(errno));
	return 1;
}
