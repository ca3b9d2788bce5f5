/* policy_build.h - from entries, one at a time, to a snapshot.
 * Private to policy: policy_yaml.c feeds it from a file, policy_from_lists() from variables. */
#ifndef CORE_POLICY_BUILD_H
#define CORE_POLICY_BUILD_H

#include "core/policy.h"

/* Where an entry is written: "allowlist.domains", line and column from 1 on, or 0: no file. */
struct policy_place {
	const char *list;
	unsigned line, column;
};

/* Texts one after another, each NUL-terminated; offsets, because the memory moves as it grows. */
struct text_list {
	char *bytes;
	size_t len, cap;
	size_t *offsets;
	size_t count, offsets_cap;
};

struct policy_builder {                 /* all zero is an empty one */
	struct text_list entries;       /* names and addresses as written */
	struct text_list patterns;      /* names as names_build() wants them */
	struct addr_range *ranges;
	size_t range_count, ranges_cap;
	struct policy_named_port {
		size_t pattern;         /* its number */
		struct policy_port port;
		struct policy_place place;
	} *ports;
	size_t port_count, ports_cap;
};

/* Check one entry and take it up; blank ones are skipped.  0, -ENOMEM, or -EINVAL with *error. */
int policy_add_ip(struct policy_builder *builder, struct str text,
		  const struct policy_place *place, struct policy_error *error);
int policy_add_domain(struct policy_builder *builder, struct str text,
		      const struct policy_place *place, struct policy_error *error);

/* policy_ports.c: take the ports off an entry: "tcp/name", "name:22", "name:udp/53-60".
 * *port has protocol 0 when it names none.  false: *why is a clause that says what is wrong. */
bool policy_port_parse(struct str *text, struct policy_port *port, const char **why);
/* What the builder noted, by entry, into policy->ports and ports_of.  0, -ENOMEM, or -EINVAL with
 * *error: too many of one entry, or of all that a name can match. */
int policy_build_ports(const struct policy_builder *builder, struct policy *policy,
		       struct policy_error *error);

/* Compile; `source` is what the hash is of.  0, or what names_build() returns. */
int policy_build(struct policy_builder *builder, struct str source, struct policy **policy,
		 struct policy_error *error);
void policy_builder_finish(struct policy_builder *builder);

/* Fill *error: its text is "LIST: 'VALUE' WHAT", or "LIST: WHAT" when value.at is NULL.
 * Returns -EINVAL. */
__attribute__((format(printf, 5, 6)))
int policy_fail(struct policy_error *error, const struct policy_place *place, const char *field,
		struct str value, const char *what, ...);

#endif
