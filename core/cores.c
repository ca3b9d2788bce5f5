/* cores.c - how many cores this process may use: affinity and cgroup quota. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/worker.h"

/* Two numbers of a small file: "max 100000", "150000 100000".  False: absent or no limit. */
static bool read_quota(const char *path, const char *period_path, double *cores)
{
	FILE *file = fopen(path, "re");
	char quota[32] = "";
	long period = 0;
	int got;

	if (!file)
		return false;
	got = fscanf(file, "%31s %ld", quota, &period);
	fclose(file);
	if (got < 2 && period_path && (file = fopen(period_path, "re"))) {
		got += fscanf(file, "%ld", &period);
		fclose(file);
	}
	if (got < 2 || period <= 0 || atol(quota) <= 0)
		return false;           /* "max" and -1 are no limit */
	*cores = (double)atol(quota) / (double)period;
	return true;
}

/* The tightest quota from our cgroup up to the root (cgroup v2: cpu.max; v1: cpu.cfs_quota_us). */
static double cgroup_cores(void)
{
	char line[512], path[768], period[768];
	double least = WORKERS_MAX, cores;
	FILE *file = fopen("/proc/self/cgroup", "re");

	while (file && fgets(line, sizeof(line), file)) {
		char *group = strrchr(line, ':');
		bool v2 = strncmp(line, "0::", 3) == 0;

		if (!group || (!v2 && !strstr(line, "cpu,") && !strstr(line, ":cpu:")))
			continue;
		group++;
		group[strcspn(group, "\n")] = '\0';
		for (;;) {
			const char *root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
			char *slash;

			snprintf(path, sizeof(path), "%s%s/%s", root, group,
				 v2 ? "cpu.max" : "cpu.cfs_quota_us");
			snprintf(period, sizeof(period), "%s%s/cpu.cfs_period_us", root, group);
			if (read_quota(path, v2 ? NULL : period, &cores) && cores < least)
				least = cores;
			slash = strrchr(group, '/');
			if (!slash)
				break;
			*slash = '\0';
		}
	}
	if (file)
		fclose(file);
	return least;
}

int worker_count(const char *text)
{
	cpu_set_t set;
	char *end;
	long count;
	double quota;

	if (strcmp(text, "auto") != 0) {
		count = strtol(text, &end, 10);
		return *end == '\0' && count >= 1 && count <= WORKERS_MAX ? (int)count : -EINVAL;
	}
	count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	quota = cgroup_cores();
	if (quota < (double)count)
		count = (long)quota + (quota > (double)(long)quota);
	return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : (int)count;
}
