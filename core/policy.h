/* policy.h - what a workload may reach: an immutable snapshot compiled from policy.yaml or from
 * the ALLOWLIST_* variables; the one in force sits behind one atomic pointer. */
#ifndef CORE_POLICY_H
#define CORE_POLICY_H

#include "core/addr.h"
#include "core/names.h"
#include "core/quiet.h"

/* Ports that an entry names: "example.com:22", "udp/example.com:10000-20000".  An entry without
 * opens every port of every protocol (the seed's behaviour); a name that several entries match has
 * what any of them opens. */
struct policy_port {
	uint8_t protocol;               /* IPPROTO_TCP, IPPROTO_UDP */
	uint16_t first, last;           /* inclusive, from 1 on */
};

struct policy {
	struct names *domains;
	struct policy_port *ports;      /* of all entries; NULL: no entry names any */
	size_t port_count;
	/* Where in ports those of each of domains are; count 0: every port; NULL as well. */
	struct policy_span { uint32_t at, count; } *ports_of;
	struct addr_range *ranges;      /* merged, sorted: IPv4 first, then IPv6 */
	size_t ranges_v4, ranges_v6;
	size_t domain_count, ip_count;  /* entries as written, blanks not counted */
	uint64_t hash[4];               /* of the source text: equal means nothing changed */
	uint64_t file_hash[4];          /* of the policy file's alone, without the overlay */
	char **entries;                 /* every entry as written, sorted, for policy_diff() */
	size_t entry_count;
	char *entry_text;               /* what entries points into */
	struct quiet_item quiet;        /* for policy_set_current() */
};

/* What is wrong with a policy, ready to print: "policy.yaml:7:5: allowlist.domains: ..." */
struct policy_error {
	unsigned line, column;          /* 1-based; 0: not in a file */
	char field[16];                 /* "ip", "domain" or "" */
	char value[256];                /* the offending text, printable ASCII only, may be cut */
	char text[256];                 /* one sentence: what is wrong and what to write instead */
};

/*
 * Compile policy text (YAML, spec g0efilter 3; libcyaml reads the structure, libyaml events give
 * positions).  0; -EINVAL with *error filled; -ENOMEM.  Unknown keys, duplicate keys, anchors,
 * default_action: allow, denylist entries, inner wildcards and regexes are errors that say so
 * (decisions.md 22, 23).  An empty file is a valid empty policy.  The result is freed by
 * policy_free().
 */
int policy_parse(const char *text, size_t len, struct policy **policy, struct policy_error *error);

/* The same of two texts, one policy: what either allows is allowed.  An overlay that is no good
 * policy is left out, *overlay_error (may be NULL) says why; else its text is empty. */
int policy_parse_merged(struct str text, struct str overlay, struct policy **policy,
			struct policy_error *error, struct policy_error *overlay_error);
/* The hash that it gives. */
void policy_hash_merged(struct str text, struct str overlay, uint64_t hash[4]);

/* The hash of policy text, as in struct policy: cheap beside policy_parse(). */
void policy_hash(const char *text, size_t len, uint64_t hash[4]);

/* From comma lists (ALLOWLIST_IPS, ALLOWLIST_DOMAINS); either may be NULL. */
int policy_from_lists(const char *ips, const char *domains, struct policy **policy,
		      struct policy_error *error);

void policy_free(struct policy *policy);

/* The entry that lets a normalised name through, in its stored form (names_pattern()); NULL: none
 * does.  No policy (NULL) lets nothing through, here and below. */
const char *policy_match_name(const struct policy *policy, struct str name);
/* The same, for a connection to that port. */
const char *policy_match_port(const struct policy *policy, struct str name, uint8_t protocol,
			      uint16_t port);

enum {
	POLICY_PORTS_MAX = 16,          /* of one entry, all its lines together */
	POLICY_OPENS_MAX = 64,          /* of all entries that match a name */
};

struct policy_opens {
	bool all;                       /* every port of every protocol */
	bool full;                      /* there are more than fit: of no policy that is good */
	unsigned count;                 /* else these */
	struct policy_port ports[POLICY_OPENS_MAX];
};
/* What a name's addresses may be used for.  false: it is not listed. */
bool policy_opens(const struct policy *policy, struct str name, struct policy_opens *opens);
/* Entry number `index` of domains: does it open this port? */
bool policy_entry_opens(const struct policy *policy, size_t index, uint8_t protocol,
			uint16_t port);

/* A domain entry as written: its name in stored form, as policy_match_name() gives it, and what it
 * opens of it (protocol 0: every port).  false: it is none. */
bool policy_entry_read(const char *entry, char pattern[256], struct policy_port *port);

/* Is this address listed (by address or CIDR)?  A v4-mapped one is looked up as IPv4. */
bool policy_has_addr(const struct policy *policy, const union addr *addr);

/* Names the differences for policy.applied, as many as fit: "+a.example -10.0.0.0/8", then
 * "(+12 -3 more)"; NULL is an empty policy.  Entries are as written, so not always ASCII.
 * Returns out; 64 bytes and more are useful. */
const char *policy_diff(const struct policy *from, const struct policy *to, char *out, size_t size);

/* The policy in force, NULL before the first.  Set by the control thread only (NULL at exit); the
 * old one is freed by its quiet_reclaim() after every worker's quiet point, so what it got here is
 * good until then.
 * The pointer is good until the calling worker's next quiet_pass(). */
const struct policy *policy_current(void);
void policy_set_current(struct policy *policy);

#endif
