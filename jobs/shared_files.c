/* shared_files.c - files that the workload may write and we go by.
 * Docker gives containers in one network namespace the same /etc/hosts and /etc/resolv.conf, each a
 * mount of its own.  We read them at the start alone, but what was written before a restart counts
 * at the next one. */
#include "jobs/shared_files.h"

#include <stdio.h>

#include "core/hosts.h"
#include "core/log.h"
#include "proto/hostname.h"

enum { LINE_MAX_BYTES = 8192 };

/* Is this file a mount of its own that may be written to?  Of several there the last counts. */
static bool is_writable_mount(const char *path)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[LINE_MAX_BYTES], point[4096], how[256];
	bool writable = false;

	if (!mounts)
		return false;
	while (fgets(line, sizeof(line), mounts))
		if (sscanf(line, "%*s %*s %*s %*s %4095s %255s", point, how) == 2 &&
		    strcmp(point, path) == 0)
			writable = strncmp(how, "rw", 2) == 0;
	(void)fclose(mounts);
	return writable;
}

static bool is_in_hosts(const struct agent_settings *settings, const char *host)
{
	char name[HOSTNAME_MAX + 1];
	size_t len = hostname_normalise(str_of(host), name);
	union addr addr;

	return len > 0 && hosts_parse(settings->hosts, (struct str){ name, len }, &addr, 1) > 0;
}

void shared_files_tell(const struct options *options, const struct shipping *shipping)
{
	const struct agent_settings *settings = &shipping->settings;

	if (!options->dns_upstreams[0] && is_writable_mount(options->resolv_conf))
		log_warn("startup.shared_files", log_str("path", options->resolv_conf),
			 log_str("note", "a workload that has the same file decides there who "
				 "is asked for names after our next start: set DNS_UPSTREAMS, or "
				 "mount a file read-only at another path and set RESOLV_CONF"));
	if ((is_in_hosts(settings, settings->dashboard.host) ||
	     is_in_hosts(settings, settings->otlp.host)) && is_writable_mount("/etc/hosts"))
		log_warn("startup.shared_files", log_str("path", "/etc/hosts"),
			 log_str("note", "a workload that has the same file decides there where "
				 "the dashboard is after our next start: mount it read-only into "
				 "workloads, or set DASHBOARD_HOST to an address"));
}
