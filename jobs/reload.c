/* reload.c - a new policy while everything runs: kernel rules first, then names, in one go each.
 * A policy that cannot be read or compiled changes nothing and is told once.  The overlay counts
 * all the same: what was unblocked for a while ends also while somebody's typo is in the file.
 *
 * It is read when changes.c says so, and what was read is dropped when a writer began meanwhile;
 * what the re-check alone has seen is taken when it is still the same at the next one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "jobs/filter_names.h"
#include "jobs/filter_watch.h"

enum {
	RECHECK_MS = 5000,              /* what no watch sees: a file replaced under a bind mount */
	STILL_MS = 200,                 /* a re-check reads no file that changes meanwhile */
	CHANGES_MAX = 8,                /* read in a row, then others have their turn */
};

int rules_for_policy(struct running *running, const struct policy *policy)
{
	struct nft_rules *rules = &running->rules;

	rules->allowed_v4 = policy->ranges;
	rules->allowed_v4_count = policy->ranges_v4;
	rules->allowed_v6 = policy->ranges_v6 > 0 ? policy->ranges + policy->ranges_v4 : NULL;
	rules->allowed_v6_count = policy->ranges_v6;
	return filter_names_rules(running, policy);
}

static bool same_ranges(const struct policy *a, const struct policy *b)
{
	size_t count = a->ranges_v4 + a->ranges_v6;

	if (a->ranges_v4 != b->ranges_v4 || a->ranges_v6 != b->ranges_v6)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!addr_equal_ip(&a->ranges[i].first, &b->ranges[i].first) ||
		    !addr_equal_ip(&a->ranges[i].last, &b->ranges[i].last))
			return false;
	return true;
}

/* FNV-1a: enough to know that the same complaint was made before. */
static uint64_t text_hash(const char *text)
{
	uint64_t hash = 14695981039346656037ULL;

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 1099511628211ULL;
	return hash;
}

static void complain(struct running *running, const char *event, const char *text)
{
	uint64_t hash = text_hash(text);

	if (running->reload.failed_hash == hash)
		return;
	running->reload.failed_hash = hash;
	running->reload.failed_at_ms = (uint64_t)time(NULL) * 1000;
	text_copy(running->reload.failed_text, sizeof(running->reload.failed_text), text);
	log_error(event, log_str("err", text),
		  log_str("note", "the policy in force before stays in force"));
}

static void hash_text(const struct policy *policy, char out[17])
{
	snprintf(out, 17, "%016llx", (unsigned long long)policy->hash[0]);
}

static bool same_ports(const struct policy *a, const struct policy *b)
{
	if (a->port_count != b->port_count)
		return false;
	for (size_t i = 0; i < a->port_count; i++)
		if (a->ports[i].protocol != b->ports[i].protocol ||
		    a->ports[i].first != b->ports[i].first || a->ports[i].last != b->ports[i].last)
			return false;
	return true;
}

void policy_tell_empty(const struct policy *policy)
{
	if (policy->domain_count == 0 && policy->ip_count == 0)
		log_warn("policy.empty", log_str("note", "nothing is allowed: the policy has no "
							 "entry"));
}

static void tell_applied(const struct running *running, const struct policy *new,
			 const char *changes)
{
	char hash[17];

	hash_text(new, hash);
	log_info("policy.reloaded", log_str("hash", hash),
		 log_uint("domain_count", new->domain_count), log_uint("ip_count", new->ip_count),
		 log_uint("deny_domain_count", 0), log_uint("deny_ip_count", 0));
	log_info("policy.applied", log_str("mode", filter_mode_text(running)),
		 log_uint("filter_count", new->domain_count), log_str("changes", changes));
	policy_tell_empty(new);
}

static int apply(struct running *running, struct policy *policy)
{
	const struct policy *old = policy_current();
	char text[300], changes[512];
	int err = 0;

	err = rules_for_policy(running, policy);
	if (err == 0 && (!same_ranges(old, policy) || !same_ports(old, policy)))
		err = nft_install(running->nft, &running->rules);
	if (err < 0) {
		snprintf(text, sizeof(text), "nftables: %s: %s", nft_error(running->nft),
			 strerror(-err));
		complain(running, "policy.reload_failed", text);
		(void)rules_for_policy(running, old);
		policy_free(policy);
		return err;
	}
	if (!running->reload.source.by_kept) {
		running->reload.failed_hash = 0;
		policy_source_keep(&running->reload.source);
	}
	(void)policy_diff(old, policy, changes, sizeof(changes));
	policy_set_current(policy);             /* from here on anybody may free the old one */
	/* After that, so that no answer under the old one opens an address again. */
	if (filter_names_forget(running, policy))
		(void)filter_rules_install(running);
	tell_applied(running, policy, changes);
	filter_names_check_policy(running, policy);
	for (unsigned i = 0; i < running->workers.count; i++)
		filter_recheck_post(&running->rechecks[i]);
	return 0;
}

static void tell_stale(struct reload *reload)
{
	struct stat stat_;
	bool stale = stat(reload->source.path, &stat_) == 0 && stat_.st_nlink == 0;

	if (stale && !reload->stale_told)
		log_warn("policy.stale_inode", log_str("path", reload->source.path),
			 log_str("note", "the file was replaced behind a single-file mount: edits "
				 "do not arrive; mount its folder, or restart the container"));
	reload->stale_told = stale;
}

/* What makes us read the policy: a finished change, the re-check, or SIGHUP. */
enum cause { CHANGED, RECHECKED, ASKED };

/* Is it new, and may it be taken? */
static bool is_news(struct reload *reload, const struct policy *policy, enum cause cause)
{
	bool seen_before = memcmp(reload->seen_hash, policy->hash, sizeof(policy->hash)) == 0;

	if (cause == ASKED)
		return true;
	memcpy(reload->seen_hash, policy->hash, sizeof(policy->hash));
	return cause == CHANGED || seen_before;
}

static bool is_same(const struct policy *a, const struct policy *b)
{
	return memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}

static void read_policy(struct running *running, enum cause cause)
{
	struct reload *reload = &running->reload;
	struct changes *changes = &reload->changes;
	struct policy *policy;
	struct policy_error error;
	char text[1024], hash[2][17];
	const uint64_t *known = cause == ASKED ? NULL : policy_current()->hash;
	int err = policy_source_read(&reload->source, known, &policy, &error);

	if (cause == CHANGED)
		changes_look(changes);
	if (cause == CHANGED && (changes->is_written || changes->is_due || err == -ENOENT)) {
		policy_free(policy);    /* some editors move it away and write a new one */
		return;
	}
	if (err < 0) {
		policy_source_error(&reload->source, &error, text, sizeof(text));
		complain(running, err == -EINVAL && error.line ? "policy.reload_failed" :
				  "policy.read_error", text);
	}
	if (!policy) {                          /* it is what is in force */
		if (err == 0)
			reload->failed_hash = 0;
		return;
	}
	if (is_same(policy, policy_current()) ? err < 0 : !is_news(reload, policy, cause)) {
		policy_free(policy);
		return;
	}
	hash_text(policy_current(), hash[0]);
	hash_text(policy, hash[1]);
	log_info("policy.change_detected", log_str("old_hash", hash[0]),
		 log_str("new_hash", hash[1]));
	(void)apply(running, policy);
}

int reload_edited(struct running *running, char *why, size_t size)
{
	struct reload *reload = &running->reload;
	struct policy_error error;
	struct policy *policy;
	int err = policy_source_read(&reload->source, policy_current()->hash, &policy, &error);
	int result = reload->source.by_kept ? 1 : err;

	if (err < 0)
		policy_source_error(&reload->source, &error, why, size);
	if (!policy)
		return result;
	err = apply(running, policy);
	if (err < 0)
		snprintf(why, size, "%s", reload->failed_text);
	return err < 0 ? err : result;
}

void reload_now(struct running *running)
{
	read_policy(running, ASKED);
}

/* Until what was read is what is there. */
static void read_changes(struct running *running)
{
	struct reload *reload = &running->reload;

	for (unsigned i = 0; i < CHANGES_MAX && changes_take(&reload->changes); i++)
		read_policy(running, CHANGED);
	if (changes_due(&reload->changes))
		control_tick_set(reload->recheck.fd, STILL_MS, RECHECK_MS);
}

static void on_inotify(struct watch *watch)
{
	struct running *running = container_of(watch, struct running, reload.inotify);

	changes_look(&running->reload.changes);
	tell_stale(&running->reload);
	read_changes(running);
}

static uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_recheck(struct watch *watch)
{
	struct running *running = container_of(watch, struct running, reload.recheck);
	struct reload *reload = &running->reload;

	control_tick_read(watch->fd);
	read_changes(running);                  /* what was left for later */
	switch (changes_recheck(&reload->changes, monotonic_ms())) {
	case RECHECK_CHANGED:
		return control_tick_set(watch->fd, STILL_MS, RECHECK_MS);
	case RECHECK_WRITTEN:
		return;
	case RECHECK_STILL:
		break;
	}
	tell_stale(reload);
	read_policy(running, RECHECKED);
}

int reload_init(struct running *running)
{
	struct reload *reload = &running->reload;
	int err;

	reload->inotify = (struct watch){ .fd = -1, .ready = on_inotify };
	reload->recheck = (struct watch){ .fd = -1, .ready = on_recheck };
	if (!reload->source.path)
		return 0;
	reload->recheck.fd = control_tick_open(RECHECK_MS, RECHECK_MS);
	if (reload->recheck.fd < 0)
		return reload->recheck.fd;
	err = control_add(&running->control, &reload->recheck);
	if (err < 0)
		return err;
	err = changes_open(&reload->changes, reload->source.path);
	reload->inotify.fd = reload->changes.fd;
	if (err < 0 || control_add(&running->control, &reload->inotify) < 0)
		log_warn("policy.watch_failed", log_str("note", "changes are seen every 5 s only"));
	log_info("policy.watcher_started", log_str("path", reload->source.path));
	read_changes(running);          /* an edit between the first reading and the watch */
	return 0;
}

void reload_finish(struct running *running)
{
	struct reload *reload = &running->reload;

	changes_close(&reload->changes);
	if (reload->recheck.fd >= 0)
		close(reload->recheck.fd);
	policy_source_finish(&reload->source);
}
