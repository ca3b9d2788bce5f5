/* filter.h - the running filter as the control thread sees it. */
#ifndef JOBS_FILTER_H
#define JOBS_FILTER_H

#include <limits.h>

#include "core/control.h"
#include "core/options.h"
#include "core/status.h"
#include "core/worker.h"
#include "forward/dns.h"
#include "forward/filter.h"
#include "jobs/changes.h"
#include "jobs/ship.h"
#include "jobs/source.h"
#include "netfilter/nflog.h"
#include "netfilter/nft.h"
#include "netfilter/origin.h"

struct reload {                         /* jobs/reload.c */
	struct policy_source source;
	struct changes changes;
	struct watch inotify, recheck;
	uint64_t failed_hash;           /* of what could not be read or compiled last; 0: nothing */
	char failed_text[1024];         /* and the complaint */
	uint64_t failed_at_ms;          /* CLOCK_REALTIME */
	uint64_t seen_hash[4];          /* of what was read last and is not in force */
	bool stale_told;
	char overlay[PATH_MAX];         /* source.overlay */
};

struct running {
	struct options options;
	struct control control;
	struct filter_settings settings;
	struct filter_listener listeners[6];
	struct dns_settings dns;
	uint16_t dns_port_wanted;       /* DNS_PORT, where we may not listen; else 0 */
	_Atomic uint32_t open[CONN_KINDS];
	struct worker_job job;
	struct workers workers;
	struct filter_recheck *rechecks;
	struct nft *nft;
	struct instance *instance;
	struct nft_rules rules;
	struct learned_ports *rule_ports;       /* what rules.ports points to */
	struct origin *origin;
	struct nflog_reader *nflog;
	bool nflog_failing, rules_failing;      /* told already */
	int event_fd;
	struct reload reload;
	struct watch signals, events, tick, nflog_watch, nft_watch, learns;
	uint64_t events_dropped;
	struct status *status;          /* the control socket; NULL: there is none */
	uint64_t started_ms;            /* CLOCK_REALTIME */
	struct shipping shipping;
	struct unblocker *unblocker;    /* NULL: nothing is unblocked from afar */
	struct sync_report *report;     /* NULL: nobody is told */
};

/* Rules for this policy: settings and options as they are, its addresses and ports.  0 or
 * -ENOMEM. */
int rules_for_policy(struct running *running, const struct policy *policy);

/* Watch the policy file and its folder.  A failing watch is no error: there is the re-check. */
int reload_init(struct running *running);
void reload_finish(struct running *running);
/* Say so when it lets nothing through: an emptied file is a good policy, and seldom meant. */
void policy_tell_empty(const struct policy *policy);
/* Read and apply it now, also when nothing seems to have changed (SIGHUP). */
void reload_now(struct running *running);
/* We have changed it, or its overlay, ourselves: the same, without a doubt.  0; 1: the policy file
 * is no good, so the text that is in force stays, with the overlay as it is now; or -errno.  All
 * but 0 with a line in why. */
int reload_edited(struct running *running, char *why, size_t size);

#endif
