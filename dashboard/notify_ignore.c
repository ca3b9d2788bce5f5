/* notify_ignore.c - what is never alerted. */
#include "dashboard/notify_ignore.h"

#include <stdio.h>

enum {
	KIND_MULTICAST = 1 << 0, KIND_LOOPBACK = 1 << 1, KIND_LINK_LOCAL = 1 << 2,
	KIND_PRIVATE = 1 << 3, KIND_UNSPECIFIED = 1 << 4, KIND_PUBLIC = 1 << 5,
};

static const struct word {
	const char *text;
	unsigned kinds;
} words[] = {
	{ "multicast", KIND_MULTICAST },
	{ "loopback", KIND_LOOPBACK },
	{ "link-local", KIND_LINK_LOCAL },
	{ "private", KIND_PRIVATE },
	{ "unspecified", KIND_UNSPECIFIED },
	{ "public", KIND_PUBLIC },
	{ "local", KIND_MULTICAST | KIND_LOOPBACK | KIND_LINK_LOCAL | KIND_PRIVATE |
		   KIND_UNSPECIFIED },
};

static unsigned kind_of(const union addr *given)
{
	union addr addr = *given;

	addr_unmap(&addr);
	if (addr.sa.sa_family == AF_INET) {
		uint32_t ip = ntohl(addr.v4.sin_addr.s_addr);

		if (ip >> 28 == 0xe)
			return KIND_MULTICAST;
		if (ip >> 24 == 127)
			return KIND_LOOPBACK;
		if (ip >> 16 == 0xa9fe)
			return KIND_LINK_LOCAL;
		if (ip == 0)
			return KIND_UNSPECIFIED;
	} else if (addr.sa.sa_family == AF_INET6) {
		const struct in6_addr *ip = &addr.v6.sin6_addr;

		if (IN6_IS_ADDR_MULTICAST(ip))
			return KIND_MULTICAST;
		if (IN6_IS_ADDR_LOOPBACK(ip))
			return KIND_LOOPBACK;
		if (IN6_IS_ADDR_LINKLOCAL(ip))
			return KIND_LINK_LOCAL;
		if (IN6_IS_ADDR_UNSPECIFIED(ip))
			return KIND_UNSPECIFIED;
	} else {
		return 0;
	}
	return addr_classify(&addr) == ADDR_GLOBAL ? KIND_PUBLIC : KIND_PRIVATE;
}

static void read_entry(struct notify_ignored *entry, const char *text)
{
	*entry = (struct notify_ignored){ .what = IGNORE_NAME };
	text_copy(entry->text, sizeof(entry->text), text);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(text, words[i].text) == 0) {
			entry->what = IGNORE_ADDRESSES;
			entry->kinds = words[i].kinds;
			return;
		}
	}
	if (strcmp(text, "ip-only") == 0) {
		entry->what = IGNORE_NAMELESS;
	} else if (strncmp(text, "component:", 10) == 0) {
		entry->what = IGNORE_COMPONENT;
		snprintf(entry->text, sizeof(entry->text), "%s", text + 10);
	} else if (addr_range_parse(str_of(text), &entry->range)) {
		entry->what = IGNORE_RANGE;
	} else if (strncmp(text, "*.", 2) == 0) {
		entry->what = IGNORE_BELOW;
		text_copy(entry->text, sizeof(entry->text), text + 1);  /* with its dot */
	}
}

unsigned notify_ignore_parse(struct notify_ignore *ignore, const char *list)
{
	unsigned dropped = 0;

	*ignore = (struct notify_ignore){ 0 };
	while (*list) {
		size_t len = strcspn(list, ","), at = 0, end = len;
		char text[256];

		while (at < end && list[at] == ' ')
			at++;
		while (end > at && list[end - 1] == ' ')
			end--;
		if (end > at) {
			if (end - at >= sizeof(text) || memchr(list + at, ' ', end - at) ||
			    memchr(list + at, '\t', end - at) ||
			    ignore->count == NOTIFY_IGNORES_MAX) {
				dropped++;
			} else {
				for (size_t i = at; i < end; i++)
					text[i - at] = ascii_lower(list[i]);
				text[end - at] = '\0';
				read_entry(&ignore->entries[ignore->count++], text);
			}
		}
		list += len + (list[len] == ',');
	}
	return dropped;
}

static bool in_range(const struct addr_range *range, const union addr *given)
{
	union addr addr = *given;

	addr_unmap(&addr);
	return addr.sa.sa_family == range->first.sa.sa_family &&
	       addr_compare_ip(&range->first, &addr) <= 0 &&
	       addr_compare_ip(&addr, &range->last) <= 0;
}

static bool ends_with(const char *name, const char *end)
{
	size_t name_len = strlen(name), len = strlen(end);

	return name_len > len &&
	       str_equal_nocase((struct str){ name + name_len - len, len },
				(struct str){ end, len });
}

static bool fits(const struct notify_ignored *entry, const char *name, const union addr *addr,
		 const char *component)
{
	switch (entry->what) {
	case IGNORE_NAME:
		return str_equal_nocase(str_of(name), str_of(entry->text));
	case IGNORE_BELOW:
		return ends_with(name, entry->text);
	case IGNORE_RANGE:
		return addr->sa.sa_family != 0 && in_range(&entry->range, addr);
	case IGNORE_ADDRESSES:
		return kind_of(addr) & entry->kinds;
	case IGNORE_COMPONENT:
		return strcmp(component, entry->text) == 0;
	case IGNORE_NAMELESS:
		return name[0] == '\0';
	}
	return false;
}

bool notify_ignores(const struct notify_ignore *ignore, const char *name, const union addr *addr,
		    const char *component)
{
	for (unsigned i = 0; i < ignore->count; i++)
		if (fits(&ignore->entries[i], name, addr, component))
			return true;
	return false;
}
