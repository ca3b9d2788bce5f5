/* filter_status.c - what a running filter says of itself at its control socket: are rules and
 * policy in force, and where does it listen? */
#include "jobs/filter_status.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "jobs/filter_names.h"
#include "jobs/filter_watch.h"
#include "jobs/tell.h"

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A change that has just been made by others is undone now, as it would be in a moment. */
static void add_rules(struct running *running, struct status_text *text)
{
	if (filter_rules_assert(running))
		status_add(text, "rules", "ok");
	else
		status_add(text, "rules", "changed by another program; putting them back: %s",
			   nft_error(running->nft));
}

static void add_policy(const struct running *running, struct status_text *text)
{
	const struct reload *reload = &running->reload;
	const uint64_t *hash = policy_current()->file_hash;

	if (reload->source.path)
		status_add(text, "policy_path", "%s", reload->source.path);
	status_add(text, "policy_hash", "%016" PRIx64 "%016" PRIx64 "%016" PRIx64 "%016" PRIx64,
		   hash[0], hash[1], hash[2], hash[3]);
	if (reload->failed_hash != 0) {
		status_add(text, "policy", "broken");
		status_add(text, "policy_error", "%s (for %" PRIu64 " s): correct it",
			   reload->failed_text, (now_ms() - reload->failed_at_ms) / 1000);
	} else if (reload->stale_told) {
		status_add(text, "policy", "stale");
		status_add(text, "policy_error", "%s was replaced behind a single-file mount: "
			   "mount its folder, or restart the container", reload->source.path);
	} else {
		status_add(text, "policy", "ok");
	}
}

/* Where somebody must be listening. */
static void add_ports(const struct running *running, struct status_text *text)
{
	const struct options *options = &running->options;
	char ports[3 * 6 + 1] = "";
	int len = 0;

	if (options->filter_mode == FILTER_HTTPS)
		len = snprintf(ports, sizeof(ports), "%u %u ", options->http_port,
			       options->https_port);
	if (filter_answers_names(running))
		snprintf(ports + len, sizeof(ports) - (size_t)len, "%u", options->dns_port);
	status_add(text, "ports", "%s", ports);
}

static void fill(void *context, struct status_text *text)
{
	struct running *running = context;

	status_add(text, "job", "filter");
	status_add(text, "pid", "%d", (int)getpid());
	status_add(text, "started", "%" PRIu64, running->started_ms);
	status_add(text, "mode", "%s", filter_mode_text(running));
	add_ports(running, text);
	add_rules(running, text);
	add_policy(running, text);
	tell_status(&running->workers, text);
}

void filter_status_open(struct running *running)
{
	struct status_place place = { running->options.control_socket, "filter" };
	char error[STATUS_ERROR_MAX];

	running->started_ms = now_ms();
	if (status_open(&running->control, &place, fill, running, &running->status, error) < 0)
		log_warn("control.unavailable", log_str("err", error),
			 log_str("note", "healthcheck cannot ask this process: set CONTROL_SOCKET "
					 "to a path that can be written, for both"));
}

void filter_status_close(struct running *running)
{
	status_close(running->status);
	running->status = NULL;
}
