/* forward_target.c - where TARGET is: an address, a name pinned by NAMESERVERS, or one that is
 * asked for again and again. */
#include "jobs/forward.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/hosts.h"
#include "core/log.h"
#include "core/resolve.h"
#include "forward/target.h"

/* Docker notes its containers' addresses with a TTL of ten minutes, and gives them to others when a
 * container is made anew; asking it again costs no more than a datagram on loopback. */
enum { DOCKER_FRESH_MS = 5000 };

static bool is_dockers(const union addr *addr)
{
	return addr->sa.sa_family == AF_INET &&
	       addr->v4.sin_addr.s_addr == htonl(0x7f00000b);   /* 127.0.0.11 */
}

/* Every name to the same servers. */
static int configure_resolver(const struct upstreams *servers)
{
	struct upstream_sets sets = { .dotted = *servers, .dotless = *servers };
	uint64_t fresh_max_ms = 0;

	for (unsigned i = 0; i < servers->count; i++)
		if (is_dockers(&servers->addrs[i]))
			fresh_max_ms = DOCKER_FRESH_MS;
	if (resolver_configure_servers(&sets, fresh_max_ms) < 0)
		return forward_complain("no memory for the resolver");
	return 0;
}

/* PRE_RESOLVE=0: as the system's own resolver would. */
static int use_system(struct forwarding *forwarding)
{
	struct forward_settings *forward = &forwarding->forward;
	const char *text = forwarding->options.target, *path = forwarding->options.resolv_conf;
	bool absolute = text[strlen(text) - 1] == '.';
	struct upstreams servers;
	struct resolv_search search;
	int err = resolv_conf_load_system(path, &servers, &search);

	if (err < 0)
		return forward_complain("RESOLV_CONF: %s cannot be read: %s", path,
					strerror(-err));
	forward_names(forward, &search, absolute);
	forward_hosts_read(forwarding);
	return configure_resolver(&servers);
}

static const char *family_text(sa_family_t family)
{
	return family == AF_INET ? "IPv4 " : family == AF_INET6 ? "IPv6 " : "";
}

struct asked {
	bool done;
	struct resolve_answer *answer;
};

static void on_resolved(void *context, const struct resolve_answer *answer)
{
	struct asked *asked = context;

	*asked->answer = *answer;
	asked->done = true;
}

/* -EINTR: a signal to stop has come meanwhile. */
static int ask_family(struct forwarding *forwarding, sa_family_t family,
		      struct resolve_answer *answer)
{
	struct asked asked = { .answer = answer };
	struct resolve *resolve;
	int err = resolve_open(&resolve, &forwarding->nameservers,
			       str_of(forwarding->forward.target), family, NULL, on_resolved,
			       &asked);

	while (err == 0 && !asked.done) {
		struct pollfd fds[] = {
			{ .fd = resolve_fd(resolve), .events = POLLIN },
			{ .fd = forwarding->signals.fd, .events = POLLIN },
		};

		if (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
			err = -errno;
		else if ((fds[1].revents & POLLIN) && forward_is_stopped(forwarding))
			err = -EINTR;
		else
			resolve_run(resolve);
	}
	if (err < 0 && !asked.done)
		resolve_close(resolve);
	return err;
}

/* Its A records; its AAAA records where these are asked for, or there is no A. */
static int ask_now(struct forwarding *forwarding, struct resolve_answer *answer)
{
	const struct forward_settings *forward = &forwarding->forward;
	sa_family_t family = forward->dial_family;
	int err = 0;

	*answer = (struct resolve_answer){ 0 };
	if (family != AF_INET6)
		err = ask_family(forwarding, AF_INET, answer);
	if (err == 0 && answer->count == 0 && family != AF_INET && !answer->failed &&
	    !answer->no_name)
		err = ask_family(forwarding, AF_INET6, answer);
	return err;
}

static int resolve_at_start(struct forwarding *forwarding, struct resolve_answer *answer)
{
	const struct forward_settings *forward = &forwarding->forward;
	int err = ask_now(forwarding, answer);

	if (err == -EINTR)
		return forwarding->control.exit_status;
	if (err < 0)
		return forward_complain("TARGET: %s cannot be resolved: %s", forward->target,
					strerror(-err));
	if (answer->count > 0)
		return 0;
	if (answer->failed)
		return forward_complain("TARGET: %s cannot be resolved: none of NAMESERVERS (%s) "
					"answered", forward->target,
					forwarding->options.nameservers);
	return forward_complain("TARGET: %s cannot be resolved: NAMESERVERS (%s) know no %saddress "
				"of it", forward->target, forwarding->options.nameservers,
				answer->no_name ? "" : family_text(forward->dial_family));
}

/* PRE_RESOLVE=1: any of its addresses, for good. */
static void pin(struct forwarding *forwarding, const struct resolve_answer *answer)
{
	struct forward_settings *forward = &forwarding->forward;
	uint32_t random = 0;

	(void)!getrandom(&random, sizeof(random), 0);
	forward->addr = answer->addrs[random % answer->count];
	forward->by_name = false;
}

/* An address that is ours leads to ourselves on each port that we listen on. */
static int check_self(const struct forwarding *forwarding)
{
	const struct forward_settings *forward = &forwarding->forward;
	sa_family_t family = forward->addr.sa.sa_family;
	char text[ADDR_TEXT_MAX];

	if ((forward->listen_family != AF_UNSPEC && forward->listen_family != family) ||
	    !target_is_ours(&forward->addr))
		return 0;
	for (unsigned i = 0; i < forward->port_count; i++)
		if (forward->ports[i].dials_listened)
			return forward_complain("TARGET: %s port %u is ourselves: it would be "
				"dialled for ever; map the port in PORT, like 8443:443",
				addr_format_ip(&forward->addr, text), forward->ports[i].dial);
	return 0;
}

int forward_target_find(struct forwarding *forwarding)
{
	struct forward_settings *forward = &forwarding->forward;
	enum pre_resolve when = forwarding->options.pre_resolve;
	char error[FORWARD_ERROR_MAX];
	struct resolve_answer answer;
	bool named = forward->by_name;
	char text[ADDR_TEXT_MAX];
	int status;

	if (when != PRE_RESOLVE_NO &&
	    forward_nameservers_parse(forwarding->options.nameservers, &forwarding->nameservers,
				      error) < 0)
		return forward_complain("%s", error);
	if (forward->by_name && when == PRE_RESOLVE_NO)
		return use_system(forwarding);
	if (named && (status = resolve_at_start(forwarding, &answer)) != 0)
		return status;
	if (named && when == PRE_RESOLVE_PIN)
		pin(forwarding, &answer);
	if (!forward->by_name && check_self(forwarding) != 0)
		return 1;
	if (named && !forward->by_name)
		fprintf(stderr, "INFO:root:Resolved %s to %s\n", forward->target,
			addr_format_ip(&forward->addr, text));
	/* Nobody is asked for an address, but workers open a resolver each. */
	return configure_resolver(&forwarding->nameservers);
}

static void hosts_free(struct quiet_item *item)
{
	free(container_of(item, struct forward_hosts, item));
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Without the file, or without TARGET in it, there are no such addresses. */
void forward_hosts_read(struct forwarding *forwarding)
{
	struct forward_settings *forward = &forwarding->forward;
	const char *path = forwarding->options.hosts_file;
	struct forward_hosts *hosts, *old;
	struct stat now = { 0 };
	int count;

	if (!forward->by_name || forwarding->options.pre_resolve != PRE_RESOLVE_NO)
		return;
	if (stat(path, &now) < 0)
		now = (struct stat){ 0 };
	if (is_same_file(&now, &forwarding->hosts_file))
		return;
	hosts = calloc(1, sizeof(*hosts));
	if (!hosts)
		return;
	count = hosts_load(path, str_of(forward->target), hosts->addrs, RESOLVER_ADDRS_MAX);
	hosts->answer.addrs = hosts->addrs;
	hosts->answer.count = count > 0 ? (uint16_t)count : 0;
	forwarding->hosts_file = now;
	old = atomic_exchange(&forward->hosts, hosts);
	if (old)
		quiet_free(&old->item, hosts_free);
}
