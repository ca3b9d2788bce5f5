/* notify_text.c - what an alert says, what it is one of, and what was suppressed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "dashboard/notify.h"

enum {
	KEY_SETS = 512, KEY_WAYS = 8,
	DIGEST_SHOWN = 10,
};

/* Texts that an attacker chose, for people and machines to read: printable ASCII. */
static void put(char *out, size_t size, struct str text)
{
	size_t len = text.len < size - 1 ? text.len : size - 1;

	for (size_t i = 0; i < len; i++)
		out[i] = text.at[i] >= ' ' && text.at[i] <= '~' ? text.at[i] : '?';
	out[len] = '\0';
}

static struct str field_text(const struct event_row *row, const char *key)
{
	const struct log_field *field = event_field(row, key);

	return field && field->type == LOG_STR ? field->text : (struct str){ "", 0 };
}

/* "1.2.3.4:80", "[2001:db8::1]:80", or the address alone; "" without one. */
static void put_endpoint(const union addr *addr, bool port, char out[ADDR_TEXT_MAX])
{
	out[0] = '\0';
	if (addr->sa.sa_family == 0)
		return;
	if (port)
		addr_format(addr, out);
	else
		addr_format_ip(addr, out);
}

struct parts {
	char component[32], name[HOSTNAME_MAX + 1], source[ADDR_TEXT_MAX];
	char source_ip[ADDR_TEXT_MAX], endpoint[ADDR_TEXT_MAX], reason[96];
	char destination[HOSTNAME_MAX + ADDR_TEXT_MAX + 8];
};

static void read_parts(const struct event *event, struct parts *parts)
{
	static const char *const names[] = { "https", "host", "qname" };
	static const char *const reasons[] = { "reason", "note" };
	bool ports = event->protocol == 0 || event->protocol == IPPROTO_TCP ||
		     event->protocol == IPPROTO_UDP;
	const char *component = event_component(event->kind);
	struct event_row row;

	event_fields(event, &row);
	put(parts->component, sizeof(parts->component),
	    str_of(strcmp(component, "filter") == 0 ? "tcp" : component));
	parts->name[0] = parts->reason[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names) && !parts->name[0]; i++)
		put(parts->name, sizeof(parts->name), field_text(&row, names[i]));
	for (size_t i = 0; i < ARRAY_LEN(reasons) && !parts->reason[0]; i++)
		put(parts->reason, sizeof(parts->reason), field_text(&row, reasons[i]));
	if (!parts->reason[0])
		text_copy(parts->reason, sizeof(parts->reason), "blocked by policy");
	put_endpoint(&event->src, ports, parts->source);
	put_endpoint(&event->src, false, parts->source_ip);
	put_endpoint(&event->dst, ports, parts->endpoint);
	if (parts->name[0] && parts->endpoint[0])
		snprintf(parts->destination, sizeof(parts->destination), "%s (%s)", parts->name,
			 parts->endpoint);
	else
		snprintf(parts->destination, sizeof(parts->destination), "%s",
			 parts->name[0] ? parts->name : parts->endpoint[0] ? parts->endpoint :
			 "unknown destination");
}

bool notify_text(const struct event *event, const char *hostname, struct alert *alert,
		 char key[NOTIFY_KEY_MAX])
{
	struct parts parts;
	char upper[32], host[256];

	if (strcmp(event_action(event->kind), "BLOCKED") != 0)
		return false;
	read_parts(event, &parts);
	put(host, sizeof(host), str_of(hostname));
	text_copy(upper, sizeof(upper), parts.component);
	for (char *c = upper; *c; c++)
		*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
	snprintf(alert->title, sizeof(alert->title), "%s - %s Connection Blocked", host, upper);
	snprintf(alert->message, sizeof(alert->message),
		 "Blocked %s connection from %s to %s. Reason: %s", parts.component,
		 parts.source[0] ? parts.source : "unknown source", parts.destination,
		 parts.reason);
	snprintf(key, NOTIFY_KEY_MAX, "%s->%s:%s", parts.source_ip,
		 strcmp(parts.component, "dns") == 0 || !parts.endpoint[0] ? parts.name :
		 parts.endpoint, parts.component);
	return true;
}

/* Keys */

struct notify_keys {
	struct { uint64_t hash, at_ms; } slots[KEY_SETS][KEY_WAYS];
};

struct notify_keys *notify_keys_make(void)
{
	return calloc(1, sizeof(struct notify_keys));
}

bool notify_keys_take(struct notify_keys *keys, const char *key, uint64_t now_ms,
		      uint64_t backoff_ms)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	unsigned set, oldest = 0;

	for (; *key; key++)
		hash = (hash ^ (uint8_t)*key) * UINT64_C(0x100000001b3);
	hash |= 1;                              /* 0: free */
	set = (unsigned)(hash >> 32) % KEY_SETS;
	for (unsigned i = 0; i < KEY_WAYS; i++) {
		if (keys->slots[set][i].hash == hash) {
			if (now_ms - keys->slots[set][i].at_ms < backoff_ms)
				return false;
			keys->slots[set][i].at_ms = now_ms;
			return true;
		}
		if (keys->slots[set][i].at_ms < keys->slots[set][oldest].at_ms)
			oldest = i;
	}
	keys->slots[set][oldest].hash = hash;
	keys->slots[set][oldest].at_ms = now_ms;
	return true;
}

/* The digest */

void notify_digest_add(struct notify_digest *digest, const char *what, uint64_t now_ms)
{
	if (digest->count++ == 0)
		digest->begun_ms = now_ms;
	for (unsigned i = 0; i < digest->lines; i++) {
		if (strcmp(digest->line[i].text, what) == 0) {
			digest->line[i].count++;
			return;
		}
	}
	if (digest->lines == DIGEST_LINES_MAX)
		return;                         /* among the others */
	text_copy(digest->line[digest->lines].text, DIGEST_LINE_MAX, what);
	digest->line[digest->lines++].count = 1;
}

/* The one that is counted most, of those left. */
static unsigned most(const struct notify_digest *digest)
{
	unsigned best = 0;

	for (unsigned i = 1; i < digest->lines; i++)
		if (digest->line[i].count > digest->line[best].count)
			best = i;
	return best;
}

void notify_digest_take(struct notify_digest *digest, const char *hostname, uint64_t now_ms,
			struct alert *alert)
{
	size_t len, room = sizeof(alert->message) - 48;
	uint64_t left = digest->count;
	char host[256];

	put(host, sizeof(host), str_of(hostname));
	snprintf(alert->title, sizeof(alert->title), "%s - %" PRIu64 " more Connections Blocked",
		 host, digest->count);
	len = (size_t)snprintf(alert->message, sizeof(alert->message), "%" PRIu64 " connections "
			       "were blocked in the last %" PRIu64 " s without an alert of their "
			       "own:", digest->count, (now_ms - digest->begun_ms) / 1000 + 1);
	for (unsigned i = 0; i < DIGEST_SHOWN; i++) {
		unsigned best = most(digest);
		uint64_t count = digest->lines > 0 ? digest->line[best].count : 0;

		if (count == 0 || len + strlen(digest->line[best].text) + 32 > room)
			break;
		len += (size_t)snprintf(alert->message + len, sizeof(alert->message) - len,
					"%s %" PRIu64 "x %s", i > 0 ? "," : "", count,
					digest->line[best].text);
		left -= count;
		digest->line[best].count = 0;
	}
	if (left > 0)
		snprintf(alert->message + len, sizeof(alert->message) - len,
			 " and %" PRIu64 " others", left);
	digest->count = digest->begun_ms = 0;
	digest->lines = 0;
}
