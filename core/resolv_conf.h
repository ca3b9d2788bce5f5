/* resolv_conf.h - which servers are asked for names: DNS_UPSTREAMS, or the system's resolv.conf
 * with what Docker notes in it (decisions.md 11, 12). */
#ifndef CORE_RESOLV_CONF_H
#define CORE_RESOLV_CONF_H

#include "core/addr.h"
#include "proto/hostname.h"

enum { UPSTREAMS_MAX = 8, UPSTREAMS_ERROR_MAX = 256 };

struct upstream_tls {                   /* DNS over TLS, RFC 7858 */
	bool on;
	char name[HOSTNAME_MAX + 1];    /* that its certificate must have; "": its address */
};

struct upstreams {                      /* in order of preference, with ports */
	unsigned count;
	union addr addrs[UPSTREAMS_MAX];
	struct upstream_tls tls[UPSTREAMS_MAX];
};

struct upstream_sets {
	struct upstreams dotted;        /* "www.example.com" */
	struct upstreams dotless;       /* "db": a name of the container network */
	struct upstreams docker_asks;   /* of dotted names: its ExtServers, if it notes any */
	bool past_docker;               /* they are asked where DNS_UPSTREAMS has Docker */
};

/* Parse "1.1.1.1:53,[2001:db8::1]:53,tls://dns.test@9.9.9.9,tls://[2001:db8::2]:853": an address
 * and its port each (with tls:// 853 by itself, and maybe the certificate's name); blanks around an
 * entry and empty entries are skipped (spec g0efilter, DNS_UPSTREAMS).  0, or -EINVAL with one line
 * in error that names the bad entry: also when there is none, or more than UPSTREAMS_MAX. */
int upstreams_parse(struct str text, struct upstreams *upstreams, char error[UPSTREAMS_ERROR_MAX]);

/*
 * Read resolv.conf(5) text.  Only nameserver lines count, of which bad ones are skipped as the C
 * library does; search, options and the environment have no say.  Without any, 127.0.0.1 is asked.
 *
 * When one of them is Docker's own 127.0.0.11, dotless names go there alone, and dotted names to
 * the servers of its comment "# ExtServers: [1.1.1.1 host(127.0.0.53)]": plain ones are reachable
 * from here, host(...) ones only from the host's network: 127.0.0.11 is asked in their place.
 */
void resolv_conf_parse(struct str text, struct upstream_sets *sets);

/*
 * Both together: list (DNS_UPSTREAMS, may be NULL or blank) for dotted names when it is given, else
 * the file.  Dotless names go to Docker's resolver when either names it, and where dotted names go
 * otherwise.  Where the list has Docker's resolver, dotted names go to the servers of its comment,
 * as without a list: it would send them back to us.  0, or -EINVAL with one line in error: a bad
 * list, or a file that cannot be read and is needed.
 */
int upstreams_load(const char *list, const char *path, struct upstream_sets *sets,
		   char error[UPSTREAMS_ERROR_MAX]);

/* What the system does with a name before it asks, and whom it asks. */
enum { RESOLV_SEARCH_MAX = 6 };

struct resolv_search {
	unsigned count, ndots;
	char domains[RESOLV_SEARCH_MAX][256];   /* normalised */
};

/*
 * Read resolv.conf(5) text as the C library does: every nameserver in its order, Docker's too; the
 * last of search and domain; options ndots.  A file that says nothing of one leaves its default:
 * 127.0.0.1, no domain, 1.
 */
void resolv_conf_parse_system(struct str text, struct upstreams *servers,
			      struct resolv_search *search);
/* The same of a file; one that does not exist is empty.  0 or -errno. */
int resolv_conf_load_system(const char *path, struct upstreams *servers,
			    struct resolv_search *search);

#endif
