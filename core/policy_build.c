/* policy_build.c - from entries, one at a time, to a snapshot.
 * Every entry is checked here, and here alone; the error names it and says what to write. */
#include "core/policy_build.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/siphash.h"

enum { VALUE_SHOWN = 80 };              /* bytes of a bad value in the sentence about it */

/* Printable ASCII for a terminal and a log: the rest as \xNN, what does not fit as "...". */
static void escape(struct str text, char *out, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];
		bool plain = c >= 0x20 && c < 0x7f;

		if (len + (plain ? 1 : 4) + sizeof("...") > size) {
			memcpy(out + len, "...", 3);
			len += 3;
			break;
		}
		if (plain)
			out[len] = (char)c;
		else
			snprintf(out + len, 5, "\\x%02x", c);
		len += plain ? 1 : 4;
	}
	out[len] = '\0';
}

int policy_fail(struct policy_error *error, const struct policy_place *place, const char *field,
		struct str value, const char *what, ...)
{
	char shown[VALUE_SHOWN];
	va_list args;
	int len;

	*error = (struct policy_error){ .line = place->line, .column = place->column };
	snprintf(error->field, sizeof(error->field), "%s", field);
	if (value.at)
		escape(value, error->value, sizeof(error->value));
	escape(value, shown, sizeof(shown));
	len = snprintf(error->text, sizeof(error->text), value.at ? "%s: '%s' " : "%s: ",
		       place->list, shown);
	assert(len > 0 && (size_t)len < sizeof(error->text));
	va_start(args, what);
	vsnprintf(error->text + len, sizeof(error->text) - (size_t)len, what, args);
	va_end(args);
	return -EINVAL;
}

/* Make room for one more element; returns the array or NULL. */
static void *grow(void *array, size_t count, size_t *cap, size_t element)
{
	size_t wanted = *cap ? *cap * 2 : 64;
	void *grown;

	if (count < *cap)
		return array;
	grown = reallocarray(array, wanted, element);
	if (grown)
		*cap = wanted;
	return grown;
}

static int text_list_add(struct text_list *list, struct str text)
{
	void *grown = grow(list->offsets, list->count, &list->offsets_cap, sizeof(*list->offsets));

	if (!grown)
		return -ENOMEM;
	list->offsets = grown;
	if (list->len + text.len + 1 > list->cap) {
		size_t wanted = 2 * (list->cap + text.len + 1);

		grown = realloc(list->bytes, wanted);
		if (!grown)
			return -ENOMEM;
		list->bytes = grown;
		list->cap = wanted;
	}
	list->offsets[list->count++] = list->len;
	memcpy(list->bytes + list->len, text.at, text.len);
	list->bytes[list->len + text.len] = '\0';
	list->len += text.len + 1;
	return 0;
}

/* Pointers to the texts, which must not grow any more. */
static char **text_list_pointers(const struct text_list *list)
{
	char **pointers = calloc(list->count + 1, sizeof(*pointers));

	for (size_t i = 0; pointers && i < list->count; i++)
		pointers[i] = list->bytes + list->offsets[i];
	return pointers;
}

static struct str trimmed(struct str text)
{
	while (text.len > 0 && strchr(" \t\r\n", text.at[0]) && text.at[0])
		text = (struct str){ text.at + 1, text.len - 1 };
	while (text.len > 0 && strchr(" \t\r\n", text.at[text.len - 1]) && text.at[text.len - 1])
		text.len--;
	return text;
}

static bool has(struct str text, char c)
{
	return memchr(text.at, c, text.len) != NULL;
}

/* Why addr_range_parse() refused this text, and what to write instead. */
static const char *what_is_wrong_with_ip(struct str text)
{
	const char *slash = memchr(text.at, '/', text.len);
	struct str ip = { text.at, slash ? (size_t)(slash - text.at) : text.len };
	char name[256];
	union addr addr;

	if (addr_parse_with_port(text, 0, &addr))
		return "has a port; drop it, an address is allowed on every port";
	if (has(text, '['))
		return "has brackets; write the IPv6 address without them";
	if (has(text, '%'))
		return "has a zone; write the address without it";
	if (slash && addr_parse(ip, &addr))
		return addr.sa.sa_family == AF_INET ?
		       "has no prefix length from 0 to 32 after the slash" :
		       "has no prefix length from 0 to 128 after the slash";
	if (name_pattern_parse(text, name, NULL) != NAME_INVALID)
		return "is a name; names go into the list of domains";
	if (has(text, '-'))
		return "is not an address; ranges are written as prefixes, e.g. 10.0.0.0/8";
	return "is not an address; write e.g. 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32";
}

int policy_add_ip(struct policy_builder *builder, struct str text,
		  const struct policy_place *place, struct policy_error *error)
{
	struct addr_range *range;
	void *grown;

	text = trimmed(text);
	if (text.len == 0)
		return 0;
	grown = grow(builder->ranges, builder->range_count, &builder->ranges_cap, sizeof(*range));
	if (!grown)
		return -ENOMEM;
	builder->ranges = grown;
	range = &builder->ranges[builder->range_count];
	if (!addr_range_parse(text, range))
		return policy_fail(error, place, "ip", text, "%s", what_is_wrong_with_ip(text));
	builder->range_count++;
	return text_list_add(&builder->entries, text);
}

/* Of the pattern that is added next. */
static int add_port(struct policy_builder *builder, const struct policy_port *port,
		    const struct policy_place *place)
{
	void *grown;

	if (port->protocol == 0)
		return 0;
	grown = grow(builder->ports, builder->port_count, &builder->ports_cap,
		     sizeof(*builder->ports));
	if (!grown)
		return -ENOMEM;
	builder->ports = grown;
	builder->ports[builder->port_count++] = (struct policy_named_port){
		.pattern = builder->patterns.count, .port = *port, .place = *place,
	};
	return 0;
}

int policy_add_domain(struct policy_builder *builder, struct str text,
		      const struct policy_place *place, struct policy_error *error)
{
	const char *why = "";
	struct policy_port port;
	struct str name_text;
	char name[256];
	int err;

	name_text = text = trimmed(text);
	if (text.len == 0)
		return 0;
	if (!policy_port_parse(&name_text, &port, &why))
		return policy_fail(error, place, "domain", text, "%s", why);
	switch (name_pattern_parse(name_text, name, &why)) {
	case NAME_EXACT:
	case NAME_SUFFIX:
	case NAME_ANY:
		if ((err = add_port(builder, &port, place)) < 0 ||
		    (err = text_list_add(&builder->patterns, str_of(name))) < 0)
			return err;
		return text_list_add(&builder->entries, text);
	case NAME_INNER_WILDCARD:
		return policy_fail(error, place, "domain", text,
				   "has a wildcard inside the name, which this version does not "
				   "support yet; write e.g. \"*.example.com\"");
	case NAME_REGEX:
		return policy_fail(error, place, "domain", text,
				   "is a regular expression, which this version does not support "
				   "yet; list the names, or e.g. \"*.example.com\"");
	case NAME_INVALID:
		break;
	}
	return policy_fail(error, place, "domain", text,
			   "is not a host name: %s; write e.g. \"example.com\" or "
			   "\"*.example.com\"", why);
}

static int compare_ranges(const void *a, const void *b)
{
	const struct addr_range *left = a, *right = b;

	return addr_compare_ip(&left->first, &right->first);
}

/* Does `next`, which begins no earlier, overlap with `range` or touch it? */
static bool joins(const struct addr_range *range, const struct addr_range *next)
{
	union addr beyond;

	if (range->last.sa.sa_family != next->first.sa.sa_family)
		return false;
	return !addr_next(&range->last, &beyond) || addr_compare_ip(&next->first, &beyond) <= 0;
}

/* Sort and join in place; returns how many are left. */
static size_t merge_ranges(struct addr_range *ranges, size_t count)
{
	size_t merged = 0;

	if (count > 0)
		qsort(ranges, count, sizeof(*ranges), compare_ranges);
	for (size_t i = 0; i < count; i++) {
		struct addr_range *range = &ranges[merged > 0 ? merged - 1 : 0];

		if (merged == 0 || !joins(range, &ranges[i]))
			ranges[merged++] = ranges[i];
		else if (addr_compare_ip(&ranges[i].last, &range->last) > 0)
			range->last = ranges[i].last;
	}
	return merged;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* 256 bits from four keys that never change: the same text has the same hash after a restart. */
void policy_hash(const char *text, size_t len, uint64_t hash[4])
{
	for (uint64_t i = 0; i < 4; i++)
		hash[i] = siphash(&(struct siphash_key){ i, ~i }, text, len);
}

static int build_names(const struct text_list *list, struct names **names)
{
	char **patterns = text_list_pointers(list);
	int err = -ENOMEM;

	if (patterns)
		err = names_build((const char *const *)patterns, list->count, names);

	free(patterns);
	return err;
}

int policy_build(struct policy_builder *builder, struct str source, struct policy **out,
		 struct policy_error *error)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	int err = -ENOMEM;
	size_t ranges;

	if (!policy)
		goto fail;
	policy->domain_count = builder->patterns.count;
	policy->ip_count = builder->range_count;
	if ((err = build_names(&builder->patterns, &policy->domains)) < 0 ||
	    (err = policy_build_ports(builder, policy, error)) < 0)
		goto fail;

	policy->entries = text_list_pointers(&builder->entries);
	if (!policy->entries) {
		err = -ENOMEM;
		goto fail;
	}
	policy->entry_count = builder->entries.count;
	policy->entry_text = builder->entries.bytes;
	builder->entries = (struct text_list){ .offsets = builder->entries.offsets };
	qsort(policy->entries, policy->entry_count, sizeof(*policy->entries), compare_texts);

	policy->ranges = builder->ranges;
	ranges = merge_ranges(policy->ranges, builder->range_count);
	builder->ranges = NULL;
	while (policy->ranges_v4 < ranges &&
	       policy->ranges[policy->ranges_v4].first.sa.sa_family == AF_INET)
		policy->ranges_v4++;
	policy->ranges_v6 = ranges - policy->ranges_v4;
	policy_hash(source.at, source.len, policy->hash);
	memcpy(policy->file_hash, policy->hash, sizeof(policy->file_hash));
	*out = policy;
	return 0;
fail:
	policy_free(policy);
	return err;
}

/* Hand each part of a comma list to add(). */
static int add_list(struct policy_builder *builder, const char *list, const char *name,
		    int (*add)(struct policy_builder *, struct str, const struct policy_place *,
			       struct policy_error *),
		    struct policy_error *error)
{
	const struct policy_place place = { .list = name };
	int err = 0;

	while (list && err == 0) {
		size_t len = strcspn(list, ",");

		err = add(builder, (struct str){ list, len }, &place, error);
		list = list[len] ? list + len + 1 : NULL;
	}
	return err;
}

int policy_from_lists(const char *ips, const char *domains, struct policy **policy,
		      struct policy_error *error)
{
	struct policy_builder builder = { 0 };
	char *source = NULL;
	int err, len;

	*error = (struct policy_error){ 0 };
	len = asprintf(&source, "%s\n%s", ips ? ips : "", domains ? domains : "");
	if (len < 0)
		return -ENOMEM;
	err = add_list(&builder, ips, "ALLOWLIST_IPS", policy_add_ip, error);
	if (err == 0)
		err = add_list(&builder, domains, "ALLOWLIST_DOMAINS", policy_add_domain, error);
	if (err == 0)
		err = policy_build(&builder, (struct str){ source, (size_t)len }, policy,
				   error);
	policy_builder_finish(&builder);
	free(source);
	return err;
}

void policy_builder_finish(struct policy_builder *builder)
{
	free(builder->entries.bytes);
	free(builder->entries.offsets);
	free(builder->patterns.bytes);
	free(builder->patterns.offsets);
	free(builder->ranges);
	free(builder->ports);
	*builder = (struct policy_builder){ 0 };
}
