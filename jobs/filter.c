/* filter.c - `ringfence filter`: the order of the start, and what the control thread does then.
 *
 * Everything that can be checked without touching the namespace is checked first.  Then: drop-all
 * rules, listeners, real rules (design.md, "The kernel's part").  From the drop-all on, whatever
 * goes wrong leaves the namespace closed. */
#include "jobs/filter.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/features.h"
#include "core/log.h"
#include "core/privilege.h"
#include "core/quiet.h"
#include "jobs/filter_names.h"
#include "jobs/filter_status.h"
#include "jobs/filter_watch.h"
#include "jobs/jobs.h"
#include "jobs/shared_files.h"
#include "jobs/sync_report.h"
#include "jobs/tell.h"
#include "jobs/unblock.h"
#include "netfilter/instance.h"
#include "version.h"

/* One line that says what is wrong and what to change; exit status 1. */
static int complain(const char *text)
{
	fprintf(stderr, "ringfence: %s\n", text);
	return 1;
}

static int complain_about(const char *what, int err, const char *advice)
{
	fprintf(stderr, "ringfence: %s: %s%s%s\n", what, strerror(-err), advice[0] ? ": " : "",
		advice);
	return 1;
}

static void settings_from_options(struct running *running)
{
	const struct options *options = &running->options;

	running->settings = (struct filter_settings){
		.mark = options->egress_mark,
		.uid = running->rules.match_uid && geteuid() == 0 ? options->egress_uid : 0,
		.conns_max = options->max_connections,
		.destination_check = options->destination_check,
		.private_answers = options->private_answers == PRIVATE_ALLOW,
		.splice = features.splice,
		.block_explain = options->block_action == BLOCK_EXPLAIN,
		.ech_block = options->ech == ECH_BLOCK,
		.original_destination = filter_redirected_from,
		.hello_timeout_ms = options->hello_timeout,
		.connect_timeout_ms = options->connect_timeout,
		.idle_timeout_ms = options->idle_timeout,
		.lifetime_ms = options->conn_max_lifetime_ms,
		.open = running->open,
	};
	running->shipping.settings.egress =
		(struct egress){ running->settings.mark, running->settings.uid };
}

/* Our own uid when it is not root's; another for our sockets where we may take one. */
static void exemption(struct nft_rules *rules, const struct options *options)
{
	rules->mark = options->egress_mark;
	rules->match_uid = geteuid() != 0 || privilege_setuid();
	rules->uid = geteuid() != 0 ? geteuid() : options->egress_uid;
}

static void rules_from_options(struct running *running)
{
	const struct options *options = &running->options;
	struct nft_rules *rules = &running->rules;
	int count = options_port_list(options->inbound_ports, rules->inbound, INBOUND_PORTS_MAX);

	rules->inbound_any = strcasecmp(options->inbound_ports, "any") == 0;
	rules->inbound_count = count < 0 ? 0 : (uint16_t)count;  /* checked by options_parse() */
	rules->http_port = options->http_port;
	rules->https_port = options->https_port;
	rules->log_allowed = log_enabled(LOG_LEVEL_DEBUG);
	rules->nflog_group = (uint16_t)options->nflog_group;
	rules->nflog_snaplen = (uint16_t)options->nflog_bufsize;
	rules->nflog_qthresh = (uint16_t)options->nflog_qthresh;
	exemption(rules, options);
}

/* A ring like the workers', before anything is installed: says early what would fail later. */
static int probe_ring(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int fd = eventfd(0, EFD_CLOEXEC), err = loop && fd >= 0 ? 0 : -ENOMEM;

	if (err == 0)
		err = loop_init(loop, 8, 8, fd);
	if (err == 0)
		loop_finish(loop);
	if (fd >= 0)
		close(fd);
	free(loop);
	return err;
}

/* Options, policy, kernel: all that can be wrong before anything is touched. */
static int check(struct running *running, int argc, char **argv, bool lenient)
{
	struct options *options = &running->options;
	char error[OPTION_ERROR_MAX], line[1024];
	const char *resolver_error = "";
	struct policy_error policy_error;
	struct policy *policy;
	int err;

	if (options_parse(options, 'F', argc, argv, lenient, error) < 0 || options_not_built(error))
		return complain(error);
	err = log_open(options->log_level, options->log_format == LOG_FORMAT_JSON,
		       options->no_color, options->log_file, options->decision_log_file);
	if (err < 0) {
		bool log = options->log_file[0] != '\0';
		bool both = log && options->decision_log_file[0] != '\0';

		snprintf(line, sizeof(line), "cannot open %s%s%s%s%s", log ? "LOG_FILE=" : "",
			 options->log_file, both ? " or " : "",
			 both || !log ? "DECISION_LOG_FILE=" : "", options->decision_log_file);
		return complain_about(line, err, "");
	}
	if (features_parse(options->features) < 0)
		return complain("RINGFENCE_FEATURES: write auto, none, or a list like "
				"-recv-multishot,recv=7");
	rules_from_options(running);
	settings_from_options(running);
	err = filter_names_init(running);
	if (err < 0)
		return complain_about("cannot start", err, "");
	if (resolver_configure(options->dns_upstreams, options->resolv_conf, &resolver_error) < 0)
		return complain(resolver_error);
	if (shipping_read(&running->shipping, options, error) < 0)
		return complain(error);
	policy_source_choose(&running->reload.source, options);
	unblocker_overlay(running, running->reload.overlay, sizeof(running->reload.overlay));
	if (running->reload.overlay[0])
		running->reload.source.overlay = running->reload.overlay;
	err = policy_source_read(&running->reload.source, NULL, &policy, &policy_error);
	if (err < 0) {
		snprintf(error, sizeof(error), "failed to read policy: %s",
			 policy_source_error(&running->reload.source, &policy_error, line,
					     sizeof(line)));
		return complain(error);
	}
	policy_set_current(policy);
	policy_source_keep(&running->reload.source);
	err = rules_for_policy(running, policy);
	return err < 0 ? complain_about("cannot start", err, "") : 0;
}

static int check_kernel(struct running *running)
{
	int err;

	if (!privilege_net_admin())
		return complain("CAP_NET_ADMIN is missing: add it to the container (cap_add: "
				"[NET_ADMIN]), or run as root");
	err = nft_open(&running->nft);
	if (err < 0)
		return complain_about("nftables cannot be used here", err,
				      "the kernel needs nf_tables (modprobe nf_tables) and the "
				      "process CAP_NET_ADMIN in this network namespace");
	err = probe_ring();
	if (err < 0)
		return complain_about("io_uring cannot be used here", err, tell_ring_advice(err));
	err = instance_take(&running->instance);
	if (err == -EBUSY)
		return complain("another ringfence runs in this network namespace: stop it first");
	if (err < 0)
		return complain_about("cannot make sure to be the only ringfence here", err,
				      "the kernel needs nfnetlink_log (modprobe nfnetlink_log)");
	return 0;
}

static int start_workers(struct running *running)
{
	unsigned count = running->options.workers;
	char taken[256];
	int err;

	if (count == 0)
		count = (unsigned)worker_count("auto");
	running->job = filter_job;
	running->job.context = &running->settings;
	running->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	running->rechecks = calloc(count, sizeof(*running->rechecks));
	if (running->event_fd < 0 || !running->rechecks)
		return complain_about("cannot start", -ENOMEM, "");
	err = workers_start(&running->workers, count, &running->job, running->event_fd);
	for (unsigned i = 0; i < count && running->workers.all; i++)
		running->rechecks[i].worker = &running->workers.all[i];
	if (err == -EADDRINUSE) {
		filter_names_taken(running, taken, sizeof(taken));
		return complain_about(taken, err, "stop it or choose another port; nothing leaves "
				      "this namespace until then");
	}
	if (err < 0)
		return complain_about("workers cannot start", err, tell_ring_advice(err));
	return 0;
}

static const char *const level_texts[] = { "TRACE", "DEBUG", "INFO", "WARN", "ERROR" };

static void tell_start(struct running *running)
{
	const struct options *options = &running->options;
	static char hostname[65];       /* event_log_init() keeps it */

	(void)gethostname(hostname, sizeof(hostname) - 1);
	event_log_init(options->hostname[0] ? options->hostname : hostname, options->tenant_id);
	log_info("startup.info", log_str("name", "ringfence"),
		 log_str("version", RINGFENCE_VERSION), log_str("commit", RINGFENCE_BUILD),
		 log_str("mode", filter_mode_text(running)),
		 log_str("policy_path", running->reload.source.path ? running->reload.source.path :
								      "environment"),
		 log_str("log_level", level_texts[options->log_level]),
		 log_str("hostname", options->hostname), log_str("log_file", options->log_file),
		 log_uint("workers", running->workers.count));
	log_debug("startup.ports", log_uint("http_port", options->http_port),
		  log_uint("https_port", options->https_port),
		  log_uint("dns_port", options->dns_port));
	for (unsigned i = 0; i < options->warning_count; i++)
		log_warn("config.invalid", log_str("note", options->warnings[i]));
	if (running->reload.source.note)
		log_warn(running->reload.source.note,
			 log_str("policy_path", running->reload.source.path));
	if (!running->rules.match_uid)
		log_warn("startup.exemption", log_str("note", "no CAP_SETUID: only the mark "
			 "exempts our own traffic; a workload with CAP_NET_RAW can set it too, and "
			 "one with our user id can join our listeners and answer in our place: add "
			 "SETUID to cap_add"));
	shared_files_tell(options, &running->shipping);
	log_info("startup.shared_namespace", log_str("note", "sound only against workloads without "
		 "CAP_NET_RAW and CAP_NET_ADMIN: use cap_drop: [ALL]"));
}

/* From the drop-all on: every failure leaves the namespace closed. */
static int start(struct running *running)
{
	const struct policy *policy = policy_current();
	int err = nft_install_drop_all(running->nft, &running->rules), status;

	if (err < 0)
		return complain_about(nft_error(running->nft), err, "apply nftables rules failed");
	err = filter_names_open(running);
	if (err < 0)
		return complain_about("cannot start", err, "");
	event_listen(agent_is_needed(&running->shipping.settings));
	if ((status = start_workers(running)) != 0)
		return status;
	tell_start(running);
	filter_names_tell(running);
	filter_names_check_policy(running, policy);
	err = nft_install(running->nft, &running->rules);
	if (err < 0)
		return complain_about(nft_error(running->nft), err, "apply nftables rules failed");
	log_info("policy.loaded", log_uint("domain_count", policy->domain_count),
		 log_uint("ip_count", policy->ip_count));
	policy_tell_empty(policy);
	log_info("nftables.applied", log_str("table", "inet " NFT_TABLE));
	return 0;
}

static int serve(struct running *running)
{
	const struct policy *policy;
	int err = control_init(&running->control);

	if (err < 0 || (err = filter_watch_init(running)) < 0 || (err = reload_init(running)) < 0 ||
	    (err = filter_names_watch(running)) < 0)
		return complain_about("cannot watch", err, "");
	filter_status_open(running);
	shipping_start(&running->shipping);
	unblocker_open(running);
	sync_report_open(running);
	policy = policy_current();
	log_info("policy.applied", log_str("mode", filter_mode_text(running)),
		 log_uint("filter_count", policy->domain_count));
	log_info("startup.ready", log_str("mode", filter_mode_text(running)),
		 log_uint("filter_count", policy->domain_count));
	err = control_run(&running->control);
	if (err < 0)
		return complain_about("the control thread failed", err, "");
	return running->control.exit_status;
}

static void finish(struct running *running)
{
	if (running->workers.all) {
		filter_names_stop(running);
		workers_stop(&running->workers);
		filter_watch_drain(running);
		workers_finish(&running->workers);
	}
	filter_status_close(running);
	filter_watch_finish(running);
	unblocker_close(running);
	sync_report_close(running);
	shipping_stop(&running->shipping);
	reload_finish(running);
	control_finish(&running->control);
	nft_close(running->nft);
	instance_release(running->instance);
	if (running->event_fd >= 0)
		close(running->event_fd);
	policy_set_current(NULL);
	quiet_reclaim();
	free(running->rechecks);
	filter_names_finish(running);
	log_close();
}

/* --print-rules and --off are done at once; others go on to the options. */
static bool is_flag(int *argc, char **argv, const char *flag)
{
	for (int i = 0; i < *argc; i++) {
		if (strcmp(argv[i], flag) != 0)
			continue;
		memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i - 1) * sizeof(*argv));
		(*argc)--;
		return true;
	}
	return false;
}

static int remove_rules(void)
{
	struct instance *instance = NULL;
	struct nft *nft;
	int err = nft_open(&nft);

	if (err < 0)
		return complain_about("nftables cannot be used here", err, "run as root");
	err = instance_take(&instance);
	if (err == -EBUSY) {
		nft_close(nft);
		return complain("a ringfence runs in this network namespace and would put the "
				"rules back: stop it first");
	}
	err = nft_remove(nft);
	if (err < 0)
		(void)complain_about(nft_error(nft), err, "");
	else
		printf("table inet %s is gone: nothing is filtered in this namespace\n", NFT_TABLE);
	instance_release(instance);
	nft_close(nft);
	return err < 0;
}

static void block_signals(void)
{
	sigset_t set;

	filter_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

int job_filter(int argc, char **argv, bool lenient)
{
	static struct running running;
	bool print = is_flag(&argc, argv, "--print-rules"), off = is_flag(&argc, argv, "--off");
	int status;

	if (off)
		return remove_rules();
	running.event_fd = running.control.epoll_fd = -1;
	running.reload.changes.fd = running.reload.recheck.fd = -1;
	filter_watch_none(&running);
	block_signals();
	status = check(&running, argc, argv, lenient);
	if (status == 0 && print)
		status = nft_print(&running.rules, stdout) < 0;
	else if (status == 0 && (status = check_kernel(&running)) == 0) {
		privilege_harden_process();
		if ((status = start(&running)) == 0)
			status = serve(&running);
	}
	finish(&running);
	return status;
}
