/* target.c - TARGET's addresses. */
#include "forward/target.h"

#include <unistd.h>

#include "forward/port.h"

enum { OWN_MS = 1000 };                 /* addresses of ours come and go */

static lookup_fn on_looked_up;

/* Under each name in turn; the answer without an address is the last one. */
static const struct answer *ask_next(struct target_ask *ask)
{
	static const struct answer none, failed = { .failed = true };
	const struct forward_settings *forward = ask->filter->settings->forward;

	while (ask->name_at < forward->name_count) {
		struct str name = str_of(forward->names[ask->name_at++]);
		const struct answer *answer = resolver_lookup(ask->filter->resolver, name,
							      &ask->lookup, on_looked_up);

		if (!answer || answer->count > 0)
			return answer;
		ask->failed = ask->failed || answer->failed;
	}
	return ask->failed ? &failed : &none;
}

static void on_looked_up(struct lookup *lookup, const struct answer *answer)
{
	struct target_ask *ask = container_of(lookup, struct target_ask, lookup);

	if (answer->count == 0) {
		ask->failed = ask->failed || answer->failed;
		answer = ask_next(ask);
	}
	if (answer)
		ask->done(ask, answer);
}

const struct answer *target_ask(struct target_ask *ask, struct filter *filter, target_fn *done)
{
	const struct forward_settings *forward = filter->settings->forward;
	const struct forward_hosts *hosts = atomic_load(&forward->hosts);

	if (hosts && hosts->answer.count > 0)
		return &hosts->answer;
	ask->filter = filter;
	ask->done = done;
	ask->name_at = 0;
	ask->failed = false;
	return ask_next(ask);
}

static bool is_loopback(const union addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return ntohl(addr->v4.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&addr->v6.sin6_addr);
}

static bool is_unspecified(const union addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return addr->v4.sin_addr.s_addr == 0;
	return IN6_IS_ADDR_UNSPECIFIED(&addr->v6.sin6_addr);
}

/* What is sent to an address of ours also comes from it. */
bool target_is_ours(const union addr *addr)
{
	union addr to = *addr, from = { 0 };
	socklen_t len = sizeof(from);
	bool ours;
	int fd;

	addr_unmap(&to);
	if (is_loopback(&to) || is_unspecified(&to))
		return true;
	fd = socket(to.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	addr_set_port(&to, 9);          /* any: a datagram socket's connect() sends nothing */
	ours = fd >= 0 && connect(fd, &to.sa, addr_len(&to)) == 0 &&
	       getsockname(fd, &from.sa, &len) == 0 && addr_equal_ip(&from, &to);
	if (fd >= 0)
		close(fd);
	return ours;
}

/* What the kernel said is good for a while: there are few addresses and many connections. */
static bool is_ours(struct filter *filter, const union addr *addr)
{
	uint64_t now_ms = filter->worker->loop.now_ms;
	struct own_addr *oldest = &filter->own[0];

	for (struct own_addr *own = filter->own; own < filter->own + ARRAY_LEN(filter->own);
	     own++) {
		if (now_ms < own->until_ms && addr_equal_ip(&own->addr, addr))
			return own->is_ours;
		if (own->until_ms < oldest->until_ms)
			oldest = own;
	}
	*oldest = (struct own_addr){ .addr = *addr, .until_ms = now_ms + OWN_MS,
				     .is_ours = target_is_ours(addr) };
	return oldest->is_ours;
}

static bool leads_back(struct filter *filter, const struct forward_port *port,
		       const union addr *addr)
{
	sa_family_t family = filter->settings->forward->listen_family;

	return port->dials_listened && (family == AF_UNSPEC || family == addr->sa.sa_family) &&
	       is_ours(filter, addr);
}

unsigned target_candidates(struct filter *filter, const struct forward_port *port,
			   const union addr *addrs, unsigned count, uint64_t turn,
			   union addr *out, unsigned max, bool *self)
{
	static const sa_family_t families[] = { AF_INET, AF_INET6 };
	sa_family_t wanted = filter->settings->forward->dial_family;
	unsigned found = 0;

	*self = false;
	for (unsigned i = 0; i < ARRAY_LEN(families) * count && found < max; i++) {
		const union addr *addr = &addrs[(turn + i) % count];

		if (addr->sa.sa_family != families[i / count] ||
		    (wanted != AF_UNSPEC && wanted != addr->sa.sa_family))
			continue;
		if (leads_back(filter, port, addr)) {
			*self = true;
			continue;
		}
		out[found] = *addr;
		addr_set_port(&out[found++], port->dial);
	}
	return found;
}
