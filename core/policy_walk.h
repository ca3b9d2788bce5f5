/* policy_walk.h - is this text a policy in YAML's plain part, and where is each entry?
 * Private to policy_yaml.c. */
#ifndef CORE_POLICY_WALK_H
#define CORE_POLICY_WALK_H

#include "core/policy_build.h"

struct mark {
	uint32_t line, column;          /* from 1 on */
	bool is_null;                   /* "-", "- ~" or "- null", unquoted */
};

struct mark_list {
	const char *list;               /* "allowlist.domains" */
	struct mark *marks;             /* one an entry, in the order of the file */
	size_t count, cap;
};

struct policy_walk {
	struct mark_list ips, domains;  /* of the allowlist */
};

/* Go through the events.  0; -ENOMEM; -EINVAL with *error: not YAML, or something that a policy
 * does not have: other keys, keys twice, wrong types, anchors, aliases, tags, more documents,
 * control characters, denylist entries, default_action: allow.  *walk starts all zero and is
 * freed by policy_walk_finish() in any case. */
int policy_walk(struct str text, struct policy_walk *walk, struct policy_error *error);
void policy_walk_finish(struct policy_walk *walk);

#endif
