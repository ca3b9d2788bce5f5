/* policy_spots.h - where things are in a policy's text, in bytes, as libyaml sees them.
 * Private to policy_edit.c. */
#ifndef CORE_POLICY_SPOTS_H
#define CORE_POLICY_SPOTS_H

#include "core/policy_edit.h"

struct policy_spot {                    /* a key and its value */
	bool there, is_empty, is_block; /* empty: no value, null, or [] */
	size_t key, key_end, value_begin, value_end;
	size_t first_key;               /* of a mapping */
};

struct policy_item {                    /* an entry of the allowlist */
	enum policy_list list;
	size_t begin, end;              /* with its quotes */
	char *value;
	size_t len;
};

struct policy_spots {
	bool root_there, root_is_block;
	size_t root_first_key;
	struct policy_spot allowlist, lists[2]; /* by enum policy_list */
	struct policy_item *items;
	size_t item_count, item_cap;
};

/* 0; -EINVAL: not a policy; -ENOMEM.  To be freed in case of 0. */
int policy_spots_find(struct str text, struct policy_spots *spots);
void policy_spots_finish(struct policy_spots *spots);

#endif
