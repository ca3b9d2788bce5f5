/* policy_ports.c - the ports of an entry: how they are written, and whose they are.
 *
 *   [tcp/|udp/]NAME[:PORT[-PORT]]     NAME:[tcp/|udp/]PORT[-PORT]
 *
 * A port without a protocol is TCP's, a protocol without a port means all of its ports. */
#include <errno.h>
#include <stdlib.h>

#include "core/policy_build.h"

static const char *const how_to_write = "has no port from 1 to 65535 after the colon; write e.g. "
	"\"example.com:443\", \"example.com:8000-8010\" or \"udp/example.com:53\"";

/* "tcp/" or "udp/" at the beginning, in any case, is taken off; 0: there is none. */
static uint8_t take_protocol(struct str *text)
{
	static const struct { const char *word; uint8_t protocol; } protocols[] = {
		{ "tcp/", IPPROTO_TCP }, { "udp/", IPPROTO_UDP },
	};

	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		if (text->len < 4 ||
		    !str_equal_nocase((struct str){ text->at, 4 }, str_of(protocols[i].word)))
			continue;
		*text = (struct str){ text->at + 4, text->len - 4 };
		return protocols[i].protocol;
	}
	return 0;
}

/* Digits at the beginning, taken off; 0: not a port. */
static uint16_t take_number(struct str *text)
{
	uint32_t number = 0;
	size_t digits = 0;

	while (digits < text->len && digits < 6 && text->at[digits] >= '0' &&
	       text->at[digits] <= '9')
		number = number * 10 + (uint32_t)(text->at[digits++] - '0');
	*text = (struct str){ text->at + digits, text->len - digits };
	return number <= UINT16_MAX ? (uint16_t)number : 0;
}

/* "22", "8000-8010" */
static bool parse_range(struct str text, struct policy_port *port)
{
	port->first = port->last = take_number(&text);
	if (port->first > 0 && text.len > 1 && text.at[0] == '-') {
		text = (struct str){ text.at + 1, text.len - 1 };
		port->last = take_number(&text);
	}
	return text.len == 0 && port->first > 0 && port->first <= port->last;
}

/* Of what lies after the colon could be a port: digits first, a protocol, or nothing. */
static bool means_a_port(struct str text)
{
	return text.len == 0 || take_protocol(&text) != 0 ||
	       (text.at[0] >= '0' && text.at[0] <= '9') || text.at[0] == '-';
}

bool policy_port_parse(struct str *text, struct policy_port *port, const char **why)
{
	struct str rest = *text;
	struct addr_range range;
	const char *colon;
	uint8_t before = take_protocol(&rest), after;

	*port = (struct policy_port){ .protocol = before, .first = 1, .last = UINT16_MAX };
	colon = memrchr(rest.at, ':', rest.len);
	/* Of addresses and URLs name_pattern_parse() knows more to say. */
	if (colon && !addr_range_parse(rest, &range)) {
		struct str name = { rest.at, (size_t)(colon - rest.at) };
		struct str ports = { colon + 1, rest.len - name.len - 1 };

		if (means_a_port(ports)) {
			after = take_protocol(&ports);
			if (before && after) {
				*why = "names a protocol twice; write e.g. \"udp/example.com:53\"";
				return false;
			}
			if (!parse_range(ports, port)) {
				*why = how_to_write;
				return false;
			}
			port->protocol = before ? before : after ? after : IPPROTO_TCP;
			rest = name;
		} else if (!memmem(rest.at, rest.len, "://", 3)) {
			*why = how_to_write;
			return false;
		}
	}
	*text = rest;
	return true;
}

bool policy_entry_read(const char *entry, char pattern[256], struct policy_port *port)
{
	struct str name = str_of(entry);
	const char *why = "";
	enum name_pattern kind;

	if (!policy_port_parse(&name, port, &why))
		return false;
	kind = name_pattern_parse(name, pattern, &why);
	return kind == NAME_EXACT || kind == NAME_SUFFIX || kind == NAME_ANY;
}

static int compare_ports(const void *a, const void *b)
{
	const struct policy_named_port *left = a, *right = b;

	if (left->pattern != right->pattern)
		return left->pattern < right->pattern ? -1 : 1;
	if (left->port.protocol != right->port.protocol)
		return left->port.protocol - right->port.protocol;
	return left->port.first - right->port.first;
}

static struct str pattern_of(const struct policy *policy, const struct policy_named_port *named)
{
	return str_of(names_pattern(policy->domains, (long)named->pattern));
}

/* Copy the sorted ones, joining what overlaps or touches.  Returns one too many, or NULL. */
static const struct policy_named_port *fill(struct policy *policy,
					    const struct policy_named_port *named, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct policy_span *span = &policy->ports_of[named[i].pattern];
		struct policy_port *last;

		if (span->count == UINT32_MAX)          /* another line of it opens everything */
			continue;
		if (span->count == 0)
			span->at = (uint32_t)policy->port_count;
		last = span->count > 0 ? &policy->ports[policy->port_count - 1] : NULL;
		if (last && last->protocol == named[i].port.protocol &&
		    named[i].port.first <= last->last + 1) {
			if (last->last < named[i].port.last)
				last->last = named[i].port.last;
			continue;
		}
		if (span->count == POLICY_PORTS_MAX)
			return &named[i];
		policy->ports[policy->port_count++] = named[i].port;
		span->count++;
	}
	return NULL;
}

/* Names that match an entry match all wildcards above it, and these say what more is open.  Its
 * pattern stands for all of them: no name has a "*", so no other entry is for it alone. */
static const struct policy_named_port *find_full(const struct policy *policy,
						 const struct policy_named_port *named,
						 size_t count)
{
	struct policy_opens opens;

	for (size_t i = 0; i < count; i++) {
		if (i > 0 && named[i].pattern == named[i - 1].pattern)
			continue;
		(void)policy_opens(policy, pattern_of(policy, &named[i]), &opens);
		if (opens.full && !opens.all)
			return &named[i];
	}
	return NULL;
}

static int check_ports(struct policy *policy, const struct policy_named_port *named, size_t count,
		       struct policy_error *error)
{
	const struct policy_named_port *bad = fill(policy, named, count);

	if (bad)
		return policy_fail(error, &bad->place, "domain", pattern_of(policy, bad),
				   "has more than %d ports or ranges; write larger ranges, or the "
				   "name without a port", POLICY_PORTS_MAX);
	for (size_t i = 0; i < names_count(policy->domains); i++)
		if (policy->ports_of[i].count == UINT32_MAX)
			policy->ports_of[i].count = 0;
	bad = find_full(policy, named, count);
	if (bad)
		return policy_fail(error, &bad->place, "domain", pattern_of(policy, bad),
				   "and the wildcards that match it have more than %d ports or "
				   "ranges; write larger ranges, or the name without a port",
				   POLICY_OPENS_MAX);
	return 0;
}

int policy_build_ports(const struct policy_builder *builder, struct policy *policy,
		       struct policy_error *error)
{
	size_t count = builder->port_count, patterns = builder->patterns.count;
	struct policy_named_port *named;
	int err;

	if (count == 0)
		return 0;
	policy->ports = calloc(count, sizeof(*policy->ports));
	policy->ports_of = calloc(patterns, sizeof(*policy->ports_of));
	named = calloc(count, sizeof(*named));
	if (!policy->ports || !policy->ports_of || !named) {
		free(named);
		return -ENOMEM;
	}
	/* A pattern that is listed several times is known by its first. */
	for (size_t i = 0, k = 0; i < patterns; i++) {
		struct str pattern = str_of(builder->patterns.bytes + builder->patterns.offsets[i]);
		size_t first = (size_t)names_find(policy->domains, pattern);

		if (k < count && builder->ports[k].pattern == i) {
			named[k] = builder->ports[k];
			named[k++].pattern = first;
		} else {
			policy->ports_of[first].count = UINT32_MAX;
		}
	}
	qsort(named, count, sizeof(*named), compare_ports);
	err = check_ports(policy, named, count, error);
	free(named);
	return err;
}
