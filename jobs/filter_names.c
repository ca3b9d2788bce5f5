/* filter_names.c - the modes of a filter, and what the control thread does for its resolver. */
#include "jobs/filter_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/metrics.h"
#include "core/privilege.h"
#include "forward/dial.h"

enum {
	DNS_PORT_HIGH = 65053,          /* g0efilter's newest default */
	WILDCARD_BURST = 20,            /* so many seconds' worth of names at once */
	NOTED_ENTRIES_MAX = 20,         /* lines about entries, then how many more there are */
};

const char *filter_mode_text(const struct running *running)
{
	switch (running->options.filter_mode) {
	case FILTER_HTTPS:
		return "https";
	case FILTER_DNS:
		return "dns";
	case FILTER_DNS_STRICT:
		break;
	}
	return "dns-strict";
}

bool filter_answers_names(const struct running *running)
{
	return running->options.filter_mode != FILTER_HTTPS ||
	       running->options.https_mode_dns != HTTPS_DNS_PASS;
}

/* For each of our protocols a listener on both families' loopback. */
static void add_listeners(struct running *running, enum conn_kind kind, uint16_t port)
{
	static const char *const hosts[] = { "127.0.0.1", "::1" };
	struct filter_settings *settings = &running->settings;

	for (unsigned i = 0; i < ARRAY_LEN(hosts); i++) {
		struct filter_listener *listener = &running->listeners[settings->listener_count++];

		*listener = (struct filter_listener){ .kind = kind };
		(void)addr_parse(str_of(hosts[i]), &listener->addr);
		addr_set_port(&listener->addr, port);
	}
	settings->listeners = running->listeners;
}

/* May we listen there?  Port 53 needs CAP_NET_BIND_SERVICE outside of Docker, and which one it is
 * does not show: port 53 is redirected. */
static bool may_bind(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool may = fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 ||
		   errno != EACCES;

	if (fd >= 0)
		close(fd);
	return may;
}

/* Has another program this address, or all of them, on this port? */
static bool is_taken(const union addr *addr, int type)
{
	int fd = socket(addr->sa.sa_family, type | SOCK_CLOEXEC, 0), one = 1;
	bool taken;

	if (fd < 0)
		return false;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));      /* ours is ours */
	if (addr->sa.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	taken = bind(fd, &addr->sa, addr_len(addr)) < 0 && errno == EADDRINUSE;
	close(fd);
	return taken;
}

void filter_names_taken(const struct running *running, char *out, size_t size)
{
	static const char *const names[] = {
		[CONN_TLS] = "HTTPS_PORT", [CONN_HTTP] = "HTTP_PORT", [CONN_DNS] = "DNS_PORT",
	};
	char addr[ADDR_TEXT_MAX];

	/* As the workers: who has the port under another user is another.  The start is over. */
	(void)privilege_own_sockets(running->settings.uid);
	snprintf(out, size, "HTTP_PORT, HTTPS_PORT or DNS_PORT was taken by another program");
	for (unsigned i = 0; i < running->settings.listener_count; i++) {
		const struct filter_listener *listener = &running->listeners[i];
		bool udp = listener->kind == CONN_DNS && is_taken(&listener->addr, SOCK_DGRAM);

		if (!udp && !is_taken(&listener->addr, SOCK_STREAM))
			continue;
		snprintf(out, size, "%s: another program listens on %s port %u, there or on all "
			 "addresses of %s", names[listener->kind], udp ? "UDP" : "TCP",
			 addr_port(&listener->addr), addr_format_ip(&listener->addr, addr));
		return;
	}
}

static void choose_port(struct running *running)
{
	struct options *options = &running->options;

	if (!filter_answers_names(running) || may_bind(options->dns_port))
		return;
	running->dns_port_wanted = options->dns_port;
	options->dns_port = DNS_PORT_HIGH;
}

int filter_names_init(struct running *running)
{
	const struct options *options = &running->options;
	struct dns_settings *dns = &running->dns;
	struct nft_rules *rules = &running->rules;
	uint32_t wildcard = options->dns_wildcard_qps;
	bool https = options->filter_mode == FILTER_HTTPS;
	int err;

	choose_port(running);
	rules->mode = https ? NFT_HTTPS :
		      options->filter_mode == FILTER_DNS ? NFT_DNS : NFT_DNS_STRICT;
	rules->dns_port = filter_answers_names(running) ? options->dns_port : 0;
	if (https) {
		add_listeners(running, CONN_HTTP, options->http_port);
		add_listeners(running, CONN_TLS, options->https_port);
	}
	if (!filter_answers_names(running))
		return 0;
	add_listeners(running, CONN_DNS, options->dns_port);
	*dns = (struct dns_settings){
		.unlisted = https && options->https_mode_dns == HTTPS_DNS_LISTED ?
			    DNS_UNLISTED_BY_ADDRESS : DNS_UNLISTED_BLOCKED,
		.blocked_answer = options->dns_blocked_answer,
		.hardening = options->dns_hardening,
		.client_rate = dns_rate_make(options->dns_rate_qps, options->dns_rate_burst),
	};
	if (wildcard > 0)
		dns->wildcard_rate = dns_rate_make(wildcard, wildcard * WILDCARD_BURST);
	running->settings.dns = dns;
	if ((err = dns_rates_init(&dns->rates)) < 0)
		return err;
	return dns_reverse_init(&dns->reverse);
}

int filter_names_open(struct running *running)
{
	if (running->rules.mode == NFT_DNS_STRICT) {
		int fd = learn_fd();

		if (fd < 0)
			return fd;
		learn_submit = learn_queue;
	}
	if (filter_answers_names(running) && origin_open(&running->origin) < 0)
		log_warn("dns.origin_unknown", log_str("note", "connection tracking does not tell "
			 "where questions by UDP were sent: destination_ip is our listener"));
	return 0;
}

struct judging { const struct policy *policy; bool private_answers; };

/* Does this policy open that, or more? */
static bool still_opens(void *context, struct str name, const union addr *addr,
			const struct learned_ports *ports)
{
	const struct judging *judging = context;
	bool has_dot = memchr(name.at, '.', name.len) != NULL;
	struct policy_opens opens;

	/* A private address may have been told only because it was listed by itself. */
	if (!policy_opens(judging->policy, name, &opens) ||
	    !dial_may_reach(addr, has_dot, judging->policy, judging->private_answers))
		return false;
	for (unsigned i = 0; i < opens.count && !opens.all; i++)
		if (opens.ports[i].protocol == ports->protocol &&
		    opens.ports[i].first <= ports->range.first &&
		    opens.ports[i].last >= ports->range.last)
			return true;
	return opens.all;
}

static bool is_outdated(const struct running *running, const struct learn *learn)
{
	struct judging judging = { policy_current(), running->settings.private_answers };

	for (unsigned i = 0; i < learn->count; i++) {
		const struct learn_item *item = &learn->items[i];
		const struct learned_ports ports = {
			.protocol = item->protocol, .range = { item->first_port, item->last_port },
		};

		if (!still_opens(&judging, learn->name, &item->addr, &ports))
			return true;
	}
	return false;
}

/* A worker may have judged by a policy that a reload has replaced since. */
static struct learn *without_outdated(const struct running *running, struct learn *list)
{
	struct learn *good = NULL, **end = &good;

	while (list) {
		struct learn *learn = list;

		list = learn->next;
		learn->next = NULL;
		if (is_outdated(running, learn)) {
			learn_complete(learn, LEARN_OUTDATED);
			continue;
		}
		*end = learn;
		end = &learn->next;
	}
	return good;
}

/* All that wait in one transaction; when that fails, each by itself, so that one bad answer does
 * not take the others with it. */
enum { LEARNED_AT_ONCE = 4096 };

static size_t collect(const struct learn *learn, struct learned *items, size_t count, size_t most)
{
	for (unsigned i = 0; i < learn->count && count < most; i++) {
		const struct learn_item *item = &learn->items[i];

		items[count++] = (struct learned){
			.name = learn->name, .addr = item->addr, .for_s = item->ttl_s,
			.ports = { .protocol = item->protocol,
				   .range = { item->first_port, item->last_port } },
		};
	}
	return count;
}

static int put(struct running *running, const struct learned *items, size_t count)
{
	int err = nft_learn(running->nft, items, count);

	if (err == -ESTALE && nft_install(running->nft, &running->rules) == 0)
		err = nft_learn(running->nft, items, count);
	return err;
}

static void learn_one_by_one(struct running *running, struct learn *list, struct learned *items)
{
	while (list) {
		struct learn *learn = list;

		list = learn->next;
		learn->next = NULL;
		learn_complete(learn, put(running, items,
					  collect(learn, items, 0, LEARNED_AT_ONCE)));
	}
}

static void on_learns(struct watch *watch)
{
	static struct learned items[LEARNED_AT_ONCE];
	struct running *running = container_of(watch, struct running, learns);
	struct learn *list = without_outdated(running, learn_take());

	while (list) {
		struct learn *last = list, *rest;
		size_t count = collect(list, items, 0, LEARNED_AT_ONCE);

		for (; last->next && count + last->next->count <= LEARNED_AT_ONCE;
		     last = last->next)
			count = collect(last->next, items, count, LEARNED_AT_ONCE);
		rest = last->next;
		last->next = NULL;
		if (put(running, items, count) == 0)
			learn_complete(list, 0);
		else
			learn_one_by_one(running, list, items);
		list = rest;
	}
}

int filter_names_watch(struct running *running)
{
	if (running->rules.mode != NFT_DNS_STRICT)
		return 0;
	running->learns = (struct watch){ .fd = learn_fd(), .ready = on_learns };
	return running->learns.fd < 0 ? running->learns.fd :
					control_add(&running->control, &running->learns);
}

void filter_names_stop(struct running *running)
{
	if (running->rules.mode == NFT_DNS_STRICT)
		learn_close();
}

void filter_names_finish(struct running *running)
{
	dns_rates_finish(running->dns.rates);
	dns_reverse_finish(running->dns.reverse);
	origin_close(running->origin);
	free(running->rule_ports);
}

/* The log */

static void tell_listeners(const struct running *running)
{
	const struct options *options = &running->options;
	char upstreams[1024];           /* 8 servers */
	bool past_docker = resolver_servers(upstreams, sizeof(upstreams));

	if (running->rules.mode == NFT_HTTPS) {
		log_info("https.filter_listen", log_uint("port", options->https_port));
		log_info("http.filter_listen", log_uint("port", options->http_port));
	}
	if (running->rules.dns_port != 0)
		log_info("dns.listen", log_uint("tcp", options->dns_port),
			 log_uint("udp", options->dns_port),
			 log_str("upstreams", upstreams),
			 past_docker ? log_str("note", "127.0.0.11 is asked for names without a "
				"dot; others go to the servers that Docker notes in resolv.conf") :
				(struct log_field){ .type = LOG_END });
}

void filter_names_tell(const struct running *running)
{
	const char *note = NULL;

	if (running->rules.dns_port == 0)
		note = "HTTPS_MODE_DNS=pass: a resolver on loopback is not filtered, names that "
		       "the workload asks it for leave this namespace";
	else if (running->rules.mode == NFT_DNS)
		note = "FILTER_MODE=dns judges names alone: whoever knows an address, or finds "
		       "one by DNS over HTTPS, gets there; dns-strict and https have no such hole";
	else if (running->rules.mode == NFT_DNS_STRICT)
		note = "FILTER_MODE=dns-strict opens the addresses of allowed names: another name "
		       "on the same address, as at a CDN, is open with it";
	if (note)
		log_warn("startup.dns", log_str("note", note));
	if (running->dns_port_wanted != 0)
		log_info("dns.port_chosen", log_uint("port", running->options.dns_port),
			 log_uint("wanted", running->dns_port_wanted),
			 log_str("note", "without CAP_NET_BIND_SERVICE the resolver listens on a "
				 "high port; nobody sees the difference"));
	tell_listeners(running);
}

static bool is_of_use(const struct policy *policy, size_t index)
{
	return policy_entry_opens(policy, index, IPPROTO_TCP, 443) ||
	       policy_entry_opens(policy, index, IPPROTO_TCP, 80);
}

void filter_names_check_policy(const struct running *running, const struct policy *policy)
{
	size_t noted = 0;

	if (!policy->ports)
		return;
	if (running->rules.mode == NFT_DNS) {
		log_warn("policy.ports_ignored", log_str("note", "FILTER_MODE=dns judges names "
			 "alone: the ports of entries are not enforced; dns-strict and https do "
			 "that"));
		return;
	}
	if (running->rules.mode != NFT_HTTPS)
		return;
	for (size_t i = 0; i < names_count(policy->domains); i++) {
		const char *pattern = names_pattern(policy->domains, (long)i);

		if (is_of_use(policy, i) || ++noted > NOTED_ENTRIES_MAX)
			continue;
		log_warn("policy.unused_entry", log_str("entry", pattern),
			 log_str("note", "FILTER_MODE=https carries TLS on port 443 and HTTP on "
				 "port 80 only: the ports of this entry stay closed; use "
				 "dns-strict"));
	}
	if (noted > NOTED_ENTRIES_MAX)
		log_warn("policy.unused_entry", log_uint("count", noted - NOTED_ENTRIES_MAX),
			 log_str("note", "more such entries"));
}

/* A policy's ports */

int filter_names_rules(struct running *running, const struct policy *policy)
{
	struct nft_rules *rules = &running->rules;
	struct learned_ports *ports = NULL;
	size_t count = rules->mode == NFT_DNS_STRICT ? policy->port_count : 0;

	if (count > 0 && !(ports = calloc(count, sizeof(*ports))))
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		ports[i] = (struct learned_ports){
			.protocol = policy->ports[i].protocol,
			.range = { policy->ports[i].first, policy->ports[i].last },
		};
	free(running->rule_ports);
	running->rule_ports = ports;
	rules->ports = ports;
	rules->ports_count = count;
	return 0;
}

bool filter_names_forget(struct running *running, const struct policy *policy)
{
	struct judging judging = { policy, running->settings.private_answers };

	return running->rules.mode == NFT_DNS_STRICT &&
	       nft_forget(running->nft, still_opens, &judging) > 0;
}
