/* sync_report.c - how this instance is. */
#include "jobs/sync_report.h"

#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/log_text.h"
#include "jobs/filter.h"
#include "jobs/filter_names.h"
#include "jobs/unblock.h"

enum {
	EVERY_S = 25,
	RULES_MAX = 4096,               /* counted; a power of two */
	RULES_FULL = RULES_MAX / 4 * 3,
	PORTS_MAX = 4096,               /* of all rules together; more are not counted by port */
	ENTRIES_SHOWN = 1000,           /* of a list: used ones first */
	ENTRIES_SEEN = 20000,
};

struct hits {
	char rule[64];                  /* as in events: cut; "": free */
	uint64_t count, last_ns;
	unsigned ports;                 /* the first of its ports in the report, 0: none */
};

struct port_hits {
	uint8_t protocol;
	uint16_t port;
	uint64_t count, last_ns;
	unsigned next;                  /* of the same rule, 0: none */
};

struct sync_report {
	unsigned ticks;
	unsigned rule_count;
	uint64_t told_hash[4];
	struct hits hits[RULES_MAX];
	unsigned port_count;
	struct port_hits ports[PORTS_MAX + 1];  /* from 1 on */
};

/* The slot of a rule, or the free one where it would be. */
static struct hits *find(struct sync_report *report, const char *rule)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (const char *c = rule; *c; c++)
		hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
	for (unsigned i = 0;; i++) {
		struct hits *hits = &report->hits[(hash + i) % RULES_MAX];

		if (!hits->rule[0] || strcmp(hits->rule, rule) == 0)
			return hits;
	}
}

/* The rule's connections to one port; NULL: there is no more room. */
static struct port_hits *find_port(struct sync_report *report, struct hits *hits, uint8_t protocol,
				   uint16_t port)
{
	for (unsigned i = hits->ports; i != 0; i = report->ports[i].next)
		if (report->ports[i].port == port && report->ports[i].protocol == protocol)
			return &report->ports[i];
	if (report->port_count == PORTS_MAX)
		return NULL;
	report->ports[++report->port_count] = (struct port_hits){
		.protocol = protocol, .port = port, .next = hits->ports,
	};
	hits->ports = report->port_count;
	return &report->ports[report->port_count];
}

static void count_port(struct sync_report *report, struct hits *hits, const struct event *event)
{
	struct port_hits *port = find_port(report, hits,
					   event->protocol ? event->protocol : IPPROTO_TCP,
					   addr_port(&event->dst));

	if (!port)
		return;
	port->count++;
	port->last_ns = event->time_ns;
}

/* Where connections are judged, a question for their name is no use of the entry yet. */
static bool is_use(const struct running *running, const struct event *event)
{
	bool question = strcmp(event_component(event->kind), "dns") == 0;

	return event->rule[0] && strcmp(event_action(event->kind), "ALLOWED") == 0 &&
	       !(question && running->options.filter_mode == FILTER_HTTPS);
}

void sync_report_count(struct running *running, const struct event *event)
{
	struct sync_report *report = running->report;
	char rule[sizeof(event->rule) + 1];
	struct hits *hits;

	if (!report || !is_use(running, event))
		return;
	snprintf(rule, sizeof(rule), "%.63s", event->rule);
	hits = find(report, rule);
	if (!hits->rule[0]) {
		if (report->rule_count == RULES_FULL)
			return;
		report->rule_count++;
		text_copy(hits->rule, sizeof(hits->rule), rule);
	}
	hits->count += event->count > 1 ? event->count : 1;
	hits->last_ns = event->time_ns;
	if (running->options.filter_mode == FILTER_HTTPS && policy_current()->ports)
		count_port(report, hits, event);
}

/* Writing */

static void put_text(FILE *out, const char *text)
{
	char bytes[LOG_TEXT_GROWTH * LOG_TEXT_MAX + 8];
	struct line line = { bytes, bytes + sizeof(bytes) };

	line_put_json(&line, str_of(text));
	(void)fwrite(bytes, 1, (size_t)(line.at - bytes), out);
}

static void put_member(FILE *out, const char *before, const char *key, const char *text)
{
	fprintf(out, "%s\"%s\":", before, key);
	put_text(out, text);
}

static void put_time(FILE *out, const char *before, const char *key, uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char text[40];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	put_member(out, before, key, text);
}

struct use {
	uint64_t count, last_ns;
};

/* What was counted of an entry as written.  A question does not say for which port it is: in the
 * modes that judge questions it is a use of every entry with the name. */
static struct use use_of(const struct running *running, const char *entry)
{
	struct sync_report *report = running->report;
	struct policy_port port;
	struct use use = { 0, 0 };
	char stored[256], rule[64];
	const struct hits *hits;

	if (!policy_entry_read(entry, stored, &port))
		return use;
	snprintf(rule, sizeof(rule), "%.63s", stored);
	hits = find(report, rule);
	if (port.protocol == 0 || running->options.filter_mode != FILTER_HTTPS)
		return (struct use){ hits->count, hits->last_ns };
	for (unsigned i = hits->ports; i != 0; i = report->ports[i].next) {
		const struct port_hits *at = &report->ports[i];

		if (at->protocol != port.protocol || at->port < port.first || at->port > port.last)
			continue;
		use.count += at->count;
		if (at->last_ns > use.last_ns)
			use.last_ns = at->last_ns;
	}
	return use;
}

static bool is_ip(const char *entry)
{
	struct addr_range range;

	return addr_range_parse(str_of(entry), &range);
}

/* Used ones, then others, as many as there is room for. */
static void put_entries(FILE *out, const struct running *running, bool ips)
{
	const struct policy *policy = policy_current();
	size_t count = policy->entry_count < ENTRIES_SEEN ? policy->entry_count : ENTRIES_SEEN;
	unsigned shown = 0;

	for (int used = 1; used >= 0; used--) {
		for (size_t i = 0; i < count && shown < ENTRIES_SHOWN; i++) {
			const char *entry = policy->entries[i];
			struct use use;

			if (is_ip(entry) != ips || (i > 0 && strcmp(entry, policy->entries[i - 1])
						    == 0))
				continue;
			use = ips ? (struct use){ 0, 0 } : use_of(running, entry);
			if ((use.count > 0) != used)
				continue;
			put_member(out, shown++ > 0 ? ",{" : "{", "entry", entry);
			if (!ips)
				fprintf(out, ",\"hits\":%" PRIu64, use.count);
			if (use.count > 0)
				put_time(out, ",", "last_hit", use.last_ns / 1000000);
			fputs("}", out);
		}
	}
}

static bool is_read_only(const char *path)
{
	char folder[PATH_MAX];

	text_copy(folder, sizeof(folder), path);
	return access(path, W_OK) < 0 || access(dirname(folder), W_OK) < 0;
}

static void put_policy(FILE *out, struct running *running)
{
	const struct policy_source *source = &running->reload.source;

	fputs(",\"policy\":{\"domains\":[", out);
	put_entries(out, running, false);
	fputs("],\"ips\":[", out);
	put_entries(out, running, true);
	put_member(out, "],", "source", source->path ? "file" : "environment");
	if (source->path)
		put_member(out, ",", "path", source->path);
	if (source->overlay)
		put_member(out, ",", "overlay", source->overlay);
	fprintf(out, ",\"domain_count\":%zu,\"ip_count\":%zu,\"read_only\":%s}",
		policy_current()->domain_count, policy_current()->ip_count,
		!source->path || is_read_only(source->path) ? "true" : "false");
}

static void put_counters(FILE *out, const struct running *running)
{
	struct metrics total = { 0 };

	for (unsigned i = 0; i < running->workers.count; i++)
		metrics_sum(&total, &running->workers.all[i].metrics);
	fprintf(out, ",\"counters\":{\"events_dropped\":%" PRIu64, running->events_dropped);
#define METRIC(name, help) fprintf(out, ",\"" #name "\":%" PRIu64, total.name);
#include "core/metrics.def"
#undef METRIC
	fputs("}", out);
}

static void put_warnings(FILE *out, const struct running *running)
{
	const char *before = "";

	fputs(",\"warnings\":[", out);
	for (unsigned i = 0; i < running->options.warning_count; i++, before = ",") {
		fputs(before, out);
		put_text(out, running->options.warnings[i]);
	}
	for (unsigned i = 0; i < running->shipping.warning_count; i++, before = ",") {
		fputs(before, out);
		put_text(out, running->shipping.warnings[i]);
	}
	if (running->reload.failed_hash != 0) {
		fputs(before, out);
		put_text(out, running->reload.failed_text);
	}
	fputs("]", out);
}

static char *make(struct running *running)
{
	char *text = NULL, hash[17];
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	snprintf(hash, sizeof(hash), "%016" PRIx64, policy_current()->hash[0]);
	put_member(out, "{", "hostname", running->shipping.settings.hostname);
	/* Whether somebody waits for us to do what is unblocked there. */
	put_member(out, ",", "unblocks", running->shipping.settings.unblocks ? "on" : "off");
	put_member(out, ",", "version", RINGFENCE_VERSION);
	put_member(out, ",", "filter_mode", filter_mode_text(running));
	put_member(out, ",", "config_hash", hash);
	put_time(out, ",", "started", running->started_ms);
	put_counters(out, running);
	put_policy(out, running);
	put_warnings(out, running);
	fputs("}", out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

void sync_report_open(struct running *running)
{
	const struct agent_settings *settings = &running->shipping.settings;

	if (running->shipping.agent && settings->ships && settings->api_key[0])
		running->report = calloc(1, sizeof(*running->report));
	sync_report_tick(running);
}

void sync_report_close(struct running *running)
{
	free(running->report);
	running->report = NULL;
}

void sync_report_tick(struct running *running)
{
	struct sync_report *report = running->report;
	const struct policy *policy = policy_current();
	bool changed;
	char *text;

	if (!report)
		return;
	changed = memcmp(report->told_hash, policy->hash, sizeof(policy->hash)) != 0;
	if (!changed && ++report->ticks < EVERY_S)
		return;
	report->ticks = 0;
	text = make(running);
	if (!text)
		return;
	memcpy(report->told_hash, policy->hash, sizeof(policy->hash));
	agent_report(running->shipping.agent, text, changed);
}
