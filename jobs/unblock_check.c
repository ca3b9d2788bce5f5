/* unblock_check.c - may this be unblocked from afar?  The dashboard asks itself the same; what it
 * says is not what we go by (security.md W13). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/addr.h"
#include "core/log.h"
#include "core/names.h"
#include "dashboard/psl.h"
#include "jobs/unblock.h"

enum { ONCE_MOST_S = 600 };             /* "once" that never came to it is over then */

__attribute__((format(printf, 2, 3)))
static const char *refuse(char why[UNBLOCK_ERROR_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, UNBLOCK_ERROR_MAX, format, args);
	va_end(args);
	return why;
}

/* Without the list more is let through than should be: it is said. */
static void tell_without_list(void)
{
	static bool told;

	if (!told && !psl_load())
		log_warn("remote_unblock.no_suffix_list", log_str("note", "libpsl is missing: "
			 "*.co.uk and the like are not recognised; install the package libpsl5"));
	told = true;
}

static const char *check_domain(const char *value, struct policy_note *note,
				char why[UNBLOCK_ERROR_MAX])
{
	const char *wrong = "";

	tell_without_list();
	switch (name_pattern_parse(str_of(value), note->entry, &wrong)) {
	case NAME_EXACT:
		if (psl_is_public(note->entry, true))
			return refuse(why, "%.100s is a public suffix, no name of anybody's",
				      note->entry);
		return NULL;
	case NAME_SUFFIX:
		if (!strchr(note->entry + 2, '.'))
			return refuse(why, "%.100s would let a whole top-level domain through: "
				      "name the domain", note->entry);
		if (psl_is_public(note->entry + 2, false))
			return refuse(why, "%.100s would let through what anybody registers "
				      "there: name the domain", note->entry);
		return NULL;
	case NAME_ANY:
		return refuse(why, "* would let everything through");
	case NAME_INNER_WILDCARD:
	case NAME_REGEX:
		return refuse(why, "only a name or *.name can be unblocked from afar: write "
			      "patterns into the policy file");
	case NAME_INVALID:
		break;
	}
	return refuse(why, "no domain: %.200s", wrong);
}

static const char *check_ip(const char *value, struct policy_note *note,
			    char why[UNBLOCK_ERROR_MAX])
{
	char text[ADDR_TEXT_MAX];
	union addr addr;

	if (!addr_parse(str_of(value), &addr))
		return refuse(why, "no address: only single addresses can be unblocked from afar");
	if (addr_classify(&addr) == ADDR_NEVER)
		return refuse(why, "loopback, link-local, multicast and metadata addresses are "
			      "never let through");
	snprintf(note->entry, sizeof(note->entry), "%s", addr_format_ip(&addr, text));
	note->list = POLICY_IPS;
	return NULL;
}

static bool is_id(const char *id)
{
	return id[0] && strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			       "0123456789-_") == strlen(id);
}

const char *unblock_check(const struct unblock_item *item, int64_t now, struct policy_note *note,
			  char why[UNBLOCK_ERROR_MAX])
{
	*note = (struct policy_note){ .list = POLICY_DOMAINS, .once = item->once };
	if (!is_id(item->id))
		return refuse(why, "its id is none that can be noted");
	text_copy(note->id, sizeof(note->id), item->id);
	if (item->expires_at[0]) {
		note->until = policy_edit_time(item->expires_at);
		if (note->until == 0)
			return refuse(why, "expires_at is no time like 2026-11-29T12:00:00Z");
		if (note->until <= now)
			return refuse(why, "its time is over already");
	}
	if (item->once && (note->until == 0 || note->until > now + ONCE_MOST_S))
		note->until = now + ONCE_MOST_S;
	if (strcmp(item->type, "domain") == 0)
		return check_domain(item->value, note, why);
	if (strcmp(item->type, "ip") == 0)
		return check_ip(item->value, note, why);
	return refuse(why, "its type is neither domain nor ip");
}
