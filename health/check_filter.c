/* check_filter.c - the health check of a filter: rules, listeners, policy. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/policy.h"
#include "health/check.h"
#include "health/listening.h"

enum {
	POLICY_SETTLED_S = 20,          /* then every edit has been read: reload.c looks each 5 s */
	POLICY_FILE_MAX = 256 << 20,
};

/* What is not said is not well. */
static bool is_ok(struct str value)
{
	return str_equal(value, STR("ok"));
}

static int check_rules(const struct status_text *status)
{
	struct str rules = status_value(status, "rules");

	if (is_ok(rules))
		return 0;
	return check_failed("the nftables rules are not in force (%.*s): find out which other "
			    "program changes them (nft monitor), or restart", (int)rules.len,
			    rules.at ? rules.at : "");
}

static int check_listeners(const struct status_text *status)
{
	static struct listening listening;
	struct str ports = status_value(status, "ports");
	int err = listening_read(&listening, false, false);

	(void)listening_read(&listening, false, true);
	if (err < 0)
		return check_failed("/proc/net cannot be read (%s): mount /proc", strerror(-err));
	for (unsigned port = 1; port <= UINT16_MAX; port++)
		if (ports_have(ports, (uint16_t)port) && !listening_on(&listening, (uint16_t)port))
			return check_failed("nobody listens on port %u any more: restart", port);
	return ports.len > 0 ? 0 : check_failed("the running filter names no listeners: restart");
}

/* Of the file as it is now, 64 hexadecimal digits; false when it cannot be read. */
static bool file_hash(const char *path, char out[65], time_t *changed)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat stat_;
	uint64_t hash[4];
	char *text = NULL;
	ssize_t n = -1;
	size_t len = 0;

	if (fd >= 0 && fstat(fd, &stat_) == 0 && S_ISREG(stat_.st_mode) &&
	    stat_.st_size <= POLICY_FILE_MAX)
		text = malloc((size_t)stat_.st_size + 1);
	while (text && len < (size_t)stat_.st_size &&
	       (n = read(fd, text + len, (size_t)stat_.st_size - len)) > 0)
		len += (size_t)n;
	if (text && len == (size_t)stat_.st_size) {
		policy_hash(text, len, hash);
		snprintf(out, 65, "%016" PRIx64 "%016" PRIx64 "%016" PRIx64 "%016" PRIx64,
			 hash[0], hash[1], hash[2], hash[3]);
		*changed = stat_.st_ctime;
		n = 0;
	} else {
		n = -1;
	}
	free(text);
	if (fd >= 0)
		close(fd);
	return n == 0;
}

/* The running filter says whether it could take the last edit.  That it has seen it at all, we look
 * for ourselves, once it has had the time. */
static int check_policy(const struct status_text *status)
{
	struct str state = status_value(status, "policy");
	struct str why = status_value(status, "policy_error");
	struct str path_ = status_value(status, "policy_path");
	struct str hash = status_value(status, "policy_hash");
	char path[4096], now[65];
	time_t changed;

	if (!is_ok(state))
		return check_failed("the policy in force is not the one that was written: %.*s",
				    (int)why.len, why.at ? why.at : "");
	if (path_.len == 0 || path_.len >= sizeof(path))
		return 0;                       /* from the environment */
	memcpy(path, path_.at, path_.len);
	path[path_.len] = '\0';
	if (!file_hash(path, now, &changed) || str_equal(hash, str_of(now)))
		return 0;                       /* a file that is gone is for the filter to judge */
	if (time(NULL) - changed < POLICY_SETTLED_S)
		return 0;
	return check_failed("%s is not what is in force, and the running filter has not seen the "
			    "change: send it SIGHUP, or restart", path);
}

int check_filter(const struct status_place *place)
{
	static struct status_text status;
	char error[STATUS_ERROR_MAX];

	check_info("checking rules, listeners and policy of the filter");
	if (status_read(place, CHECK_PATIENCE_MS, &status, error) < 0)
		return check_failed("%s", error);
	if (!str_equal(status_value(&status, "job"), STR("filter")))
		return check_failed("what answers at the control socket is no filter: set TARGET, "
				    "or CONTROL_SOCKET");
	if (check_rules(&status) != 0 || check_listeners(&status) != 0)
		return 1;
	return check_policy(&status);
}
