/* policy.c - the snapshot: what it lets through, how two differ, which one is in force. */
#include "core/policy.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/op.h"
#include "core/policy_build.h"

static _Atomic(struct policy *) current;

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	names_free(policy->domains);
	free(policy->ports);
	free(policy->ports_of);
	free(policy->ranges);
	free(policy->entries);
	free(policy->entry_text);
	free(policy);
}

const char *policy_match_name(const struct policy *policy, struct str name)
{
	return policy ? names_pattern(policy->domains, names_match(policy->domains, name)) : NULL;
}

bool policy_entry_opens(const struct policy *policy, size_t index, uint8_t protocol,
			uint16_t port)
{
	const struct policy_span *span = policy->ports_of ? &policy->ports_of[index] : NULL;

	if (!span || span->count == 0)
		return true;
	for (const struct policy_port *range = policy->ports + span->at;
	     range < policy->ports + span->at + span->count; range++)
		if (range->protocol == protocol && range->first <= port && port <= range->last)
			return true;
	return false;
}

const char *policy_match_port(const struct policy *policy, struct str name, uint8_t protocol,
			      uint16_t port)
{
	struct names_walk walk = { 0 };
	long index;

	while (policy && (index = names_match_next(policy->domains, name, &walk)) >= 0)
		if (policy_entry_opens(policy, (size_t)index, protocol, port))
			return names_pattern(policy->domains, index);
	return NULL;
}

/* Unless one that is there holds it.  What overlaps is left apart: the kernel knows the ranges as
 * entries have them (nft_learn()). */
static void add_opened(struct policy_opens *opens, const struct policy_port *port)
{
	for (unsigned i = 0; i < opens->count; i++)
		if (opens->ports[i].protocol == port->protocol &&
		    opens->ports[i].first <= port->first && port->last <= opens->ports[i].last)
			return;
	opens->full |= opens->count == POLICY_OPENS_MAX;
	if (!opens->full)
		opens->ports[opens->count++] = *port;
}

bool policy_opens(const struct policy *policy, struct str name, struct policy_opens *opens)
{
	struct names_walk walk = { 0 };
	bool listed = false;
	long index;

	opens->all = opens->full = false;
	opens->count = 0;
	while (policy && (index = names_match_next(policy->domains, name, &walk)) >= 0) {
		const struct policy_span *span = policy->ports_of ? &policy->ports_of[index] :
								    NULL;

		listed = true;
		if (!span || span->count == 0) {
			opens->all = true;
			break;
		}
		for (uint32_t i = 0; i < span->count; i++)
			add_opened(opens, &policy->ports[span->at + i]);
	}
	return listed;
}

bool policy_has_addr(const struct policy *policy, const union addr *addr)
{
	union addr plain = *addr;
	const struct addr_range *ranges;
	size_t count;

	addr_unmap(&plain);
	if (!policy || plain.sa.sa_family == AF_UNSPEC)
		return false;
	ranges = policy->ranges;
	count = policy->ranges_v4;
	if (plain.sa.sa_family == AF_INET6) {
		ranges = count ? ranges + count : ranges;
		count = policy->ranges_v6;
	}
	/* They are sorted and apart: the last one that begins at or before the address decides. */
	while (count > 0) {
		const struct addr_range *middle = &ranges[count / 2];

		if (addr_compare_ip(&plain, &middle->first) < 0) {
			count /= 2;
		} else if (addr_compare_ip(&plain, &middle->last) <= 0) {
			return true;
		} else {
			ranges = middle + 1;
			count -= count / 2 + 1;
		}
	}
	return false;
}

struct diff {
	char *out;
	size_t size, len;
	bool full;                      /* the first that does not fit ends the list */
	size_t added_more, removed_more;
};

enum { DIFF_TAIL = 64 };                /* room for " (+12 -3 more)" and two large numbers */

static void diff_note(struct diff *diff, char sign, const char *entry)
{
	size_t wanted = strlen(entry) + 2;      /* the blank before it and the sign */

	if (diff->full || diff->len + wanted + DIFF_TAIL >= diff->size) {
		diff->full = true;
		diff->added_more += sign == '+';
		diff->removed_more += sign == '-';
		return;
	}
	diff->len += (size_t)snprintf(diff->out + diff->len, diff->size - diff->len, "%s%c%s",
				      diff->len ? " " : "", sign, entry);
}

/* The next entry that is not the same as the one at i: duplicates count once. */
static size_t next_entry(const struct policy *policy, size_t i)
{
	const char *entry = policy->entries[i];

	while (i < policy->entry_count && strcmp(policy->entries[i], entry) == 0)
		i++;
	return i;
}

const char *policy_diff(const struct policy *from, const struct policy *to, char *out, size_t size)
{
	static const struct policy nothing;
	struct diff diff = { .out = out, .size = size };
	size_t i = 0, k = 0;

	if (size == 0)
		return out;
	out[0] = '\0';
	from = from ? from : &nothing;
	to = to ? to : &nothing;
	while (i < from->entry_count || k < to->entry_count) {
		int order = i == from->entry_count ? 1 : k == to->entry_count ? -1 :
			    strcmp(from->entries[i], to->entries[k]);

		if (order < 0)
			diff_note(&diff, '-', from->entries[i]);
		else if (order > 0)
			diff_note(&diff, '+', to->entries[k]);
		i = order <= 0 ? next_entry(from, i) : i;
		k = order >= 0 ? next_entry(to, k) : k;
	}
	if (diff.full)
		snprintf(out + diff.len, size - diff.len, "%s(+%zu -%zu more)",
			 diff.len ? " " : "", diff.added_more, diff.removed_more);
	return out;
}

const struct policy *policy_current(void)
{
	return atomic_load(&current);
}

static void free_when_quiet(struct quiet_item *item)
{
	policy_free(container_of(item, struct policy, quiet));
}

void policy_set_current(struct policy *policy)
{
	struct policy *old = atomic_exchange(&current, policy);

	if (old)
		quiet_free(&old->quiet, free_when_quiet);
}
