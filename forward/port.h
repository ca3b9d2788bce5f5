/* port.h - what `ringfence forward` was told: one target, the ports to it, who may come, how many.
 * Made once by jobs/forward.c, then shared by all workers and never changed, but for what limit.h
 * counts in each port.  The parsers here are for the start and for the health check. */
#ifndef FORWARD_PORT_H
#define FORWARD_PORT_H

#include "core/addr.h"
#include "core/options.h"
#include "core/quiet.h"
#include "core/resolv_conf.h"
#include "core/resolver.h"
#include "forward/limit.h"
#include "proto/hostname.h"

enum {
	FORWARD_PORTS_MAX = 4096,
	FORWARD_NAMES_MAX = 8,          /* a name and what it is under each search domain */
	FORWARD_ERROR_MAX = 512,
};

/* One port we listen on; TCP or UDP, as the whole program. */
struct forward_port {
	uint16_t listen, dial;
	bool dials_listened;            /* `dial` is also one that we listen on: see target.c */
	int error;                      /* -errno: could not be listened on; the others go on */
	struct limit limit;             /* connections or flows of this port, over all workers */
};

/* Addresses that are not asked for; freed at a quiet point. */
struct forward_hosts {
	struct quiet_item item;
	struct answer answer;
	union addr addrs[RESOLVER_ADDRS_MAX];
};

struct forward_settings {
	/* Where everything goes: by name, asked for each connection (cached by TTL); or one address
	 * for good (a literal, or PRE_RESOLVE=1's pin).  Without brackets. */
	char target[HOSTNAME_MAX + 1];
	bool by_name;
	/* by_name: what is asked for, in turn, until one has an address (target.h does it); the
	 * last one is target itself. */
	unsigned name_count;
	char names[FORWARD_NAMES_MAX][HOSTNAME_MAX + 1];
	_Atomic(struct forward_hosts *) hosts;  /* what HOSTS_FILE says; follows the file */
	union addr addr;                /* !by_name; port 0 */
	sa_family_t listen_family;      /* AF_UNSPEC: 0.0.0.0 and ::; else only that */
	sa_family_t dial_family;        /* AF_UNSPEC: any */
	bool udp;
	bool udp_answers;               /* false: one way, answers and ICMP errors are ignored */
	unsigned port_count;
	struct forward_port *ports;     /* outlives the workers */
	unsigned allow_from_count;      /* 0: everybody */
	struct addr_range *allow_from;
	unsigned send_proxy;            /* PROXY protocol version to the target; 0: none */
	unsigned verbose;               /* 0, 1: a line a connection, 2: payload too */
	uint64_t half_close_timeout_ms; /* 0: none */
	uint64_t udp_timeout_ms;        /* a flow without a datagram for so long ends */
};

/* All of these: 0 or more when good, else -EINVAL with one line in error that names the variable,
 * the word and what it should be; the settings are then half filled. */

/* PORT: words by blanks or commas: "443", "http", "8000-8010", "8443:443", "8000-8010:9000-9010".
 * Fills ports (to be freed) in their order, without limits; settings->udp is read. */
int forward_ports_parse(const char *text, struct forward_settings *settings,
			char error[FORWARD_ERROR_MAX]);
/* TARGET: an address, with brackets or not, or a name.  Fills target, by_name, addr and, without
 * search domains, names. */
int forward_target_parse(const char *text, struct forward_settings *settings,
			 char error[FORWARD_ERROR_MAX]);
/* What the resolver is to be asked for: a name with fewer dots than ndots under each domain first
 * (as musl does), any other as it is.  absolute: TARGET ended with a dot. */
void forward_names(struct forward_settings *settings, const struct resolv_search *search,
		   bool absolute);
/* ALLOW_FROM: addresses and CIDRs.  Fills allow_from (to be freed). */
int forward_allow_from_parse(const char *text, struct forward_settings *settings,
			     char error[FORWARD_ERROR_MAX]);
/* NAMESERVERS: addresses, port 53. */
int forward_nameservers_parse(const char *text, struct upstreams *upstreams,
			      char error[FORWARD_ERROR_MAX]);
/* MODE, and with what it must agree. */
int forward_mode(enum mode mode, struct forward_settings *settings, char error[FORWARD_ERROR_MAX]);
/* ALLOW_FROM: may this client come? */
bool forward_allows(const struct forward_settings *settings, const union addr *client);
void forward_settings_finish(struct forward_settings *settings);

/* The socat arguments that docker-whitelist would have started for this port, as its users look
 * for them in the log; mode: MODE's word, conns_max: MAX_CONNECTIONS.  Returns out. */
enum { FORWARD_SOCAT_MAX = 512 };
const char *forward_socat(const struct forward_settings *settings, const struct forward_port *port,
			  const char *mode, uint32_t conns_max, char out[FORWARD_SOCAT_MAX]);

#endif
