/* event.c - what a fact looks like in words: its flow id and its log line. */
#include "core/event.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>

static const struct kind {
	const char *text, *action, *component;
	enum log_level level;
} kinds[] = {
#define EVENT(name, text, level, action, component) \
	{ text, action, component, LOG_LEVEL_##level },
#include "core/event.def"
#undef EVENT
};

static_assert(ARRAY_LEN(kinds) == EVENT_KIND_COUNT, "every kind has its texts");

static struct {
	const char *hostname, *tenant_id;
} common = { "", "" };

void event_log_init(const char *hostname, const char *tenant_id)
{
	common.hostname = hostname ? hostname : "";
	common.tenant_id = tenant_id ? tenant_id : "";
}

static bool verbose;

void event_log_verbose(bool on)
{
	verbose = on;
}

static const struct kind *kind_of(enum event_kind kind)
{
	assert(kind < EVENT_KIND_COUNT);
	return &kinds[kind];
}

const char *event_text(enum event_kind kind)
{
	return kind_of(kind)->text;
}

const char *event_action(enum event_kind kind)
{
	return kind_of(kind)->action;
}

const char *event_component(enum event_kind kind)
{
	return kind_of(kind)->component;
}

enum log_level event_level(enum event_kind kind)
{
	bool told = kind == EVENT_FORWARD_CLOSED || kind == EVENT_FLOW_CLOSED;

	return verbose && told ? LOG_LEVEL_INFO : kind_of(kind)->level;
}

static bool is_blocked(enum event_kind kind)
{
	return strcmp(event_action(kind), "BLOCKED") == 0;
}

static bool is_allowed(enum event_kind kind)
{
	return strcmp(event_action(kind), "ALLOWED") == 0;
}

static bool is_nflog(enum event_kind kind)
{
	return strcmp(event_component(kind), "nflog") == 0;
}

static bool is_dns(enum event_kind kind)
{
	return strcmp(event_component(kind), "dns") == 0;
}

static bool known(const union addr *addr)
{
	return addr->sa.sa_family != 0;
}

/* "TCP", "UDP", otherwise the number. */
static void print_protocol(const struct event *event, char out[8])
{
	if (event->protocol == 0 || event->protocol == IPPROTO_TCP)
		snprintf(out, 8, "TCP");
	else if (event->protocol == IPPROTO_UDP)
		snprintf(out, 8, "UDP");
	else
		snprintf(out, 8, "%u", event->protocol);
}

static bool has_ports(const struct event *event)
{
	return event->protocol == 0 || event->protocol == IPPROTO_TCP ||
	       event->protocol == IPPROTO_UDP;
}

/* The seed's nflog events and flow ids have IPv6 without brackets: "2001:db8::1:443". */
static void print_bare(const union addr *addr, bool port, char out[ADDR_TEXT_MAX])
{
	char ip[ADDR_TEXT_MAX];

	addr_format_ip(addr, ip);
	if (port)
		snprintf(out, ADDR_TEXT_MAX, "%.47s:%u", ip, addr_port(addr));
	else
		snprintf(out, ADDR_TEXT_MAX, "%s", ip);
}

uint64_t event_flow_id(const struct event *event)
{
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX], protocol[8], text[2 * ADDR_TEXT_MAX + 16];
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	print_bare(&event->src, true, src);
	print_bare(&event->dst, true, dst);
	print_protocol(event, protocol);
	snprintf(text, sizeof(text), "%s->%s|%s", src, dst, protocol);
	for (const char *at = text; *at; at++)
		hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
	return hash;
}

static void add(struct event_row *row, struct log_field field)
{
	assert(row->count + 1 < ARRAY_LEN(row->fields));
	row->fields[row->count++] = field;
}

static void add_if_any(struct event_row *row, const char *key, struct str text)
{
	if (text.len > 0)
		add(row, log_text(key, text));
}

/* An array of chars in an event: ends at its NUL or with the array. */
#define str_of_array(array) ((struct str){ (array), strnlen((array), sizeof(array)) })

static void add_endpoints(struct event_row *row, const struct event *event)
{
	bool ports = has_ports(event);

	if (known(&event->src)) {
		add(row, log_str("source_ip", addr_format_ip(&event->src, row->src_ip)));
		if (ports)
			add(row, log_uint("source_port", addr_port(&event->src)));
	}
	if (!known(&event->dst))
		return;
	add(row, log_str("destination_ip", addr_format_ip(&event->dst, row->dst_ip)));
	if (ports)
		add(row, log_uint("destination_port", addr_port(&event->dst)));
	if (is_nflog(event->kind))
		print_bare(&event->dst, ports, row->dst);
	else
		addr_format(&event->dst, row->dst);
	add(row, log_str("dst", row->dst));
	if (known(&event->src))
		add(row, log_hex("flow_id", event_flow_id(event)));
}

/* https= or host=: what was asked for; on a decision even when it is empty. */
static void add_name(struct event_row *row, const struct event *event)
{
	const char *component = event_component(event->kind), *key = NULL;

	if (strcmp(component, "https") == 0)
		key = "https";
	else if (strcmp(component, "http") == 0)
		key = "host";
	else if (strcmp(component, "forward") == 0)
		key = "target";
	else if (strcmp(component, "dns") == 0)
		key = "qname";
	if (key && (event->name_len > 0 || event_action(event->kind)[0] != '\0'))
		add(row, log_text(key, ((struct str){ event->name, event->name_len })));
}

static void add_nflog(struct event_row *row, const struct event *event)
{
	print_protocol(event, row->protocol);
	add(row, log_str("protocol", row->protocol));
	add(row, log_uint("payload_len", event->payload_len));
	if (known(&event->src)) {
		print_bare(&event->src, has_ports(event), row->src);
		add(row, log_str("src", row->src));
	}
	add_if_any(row, "hostname", str_of(common.hostname));
	add_if_any(row, "tenant_id", str_of(common.tenant_id));
}

/* The seed's words: the types it knows by name, TYPE before all others. */
static void print_qtype(uint16_t type, char out[24])
{
	static const uint16_t known_types[] = {
		DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_CNAME, DNS_TYPE_MX, DNS_TYPE_TXT, DNS_TYPE_NS,
		DNS_TYPE_SRV,
	};
	char room[16];
	const char *name = dns_type_name(type, room, sizeof(room)), *prefix = "TYPE";

	for (size_t i = 0; i < ARRAY_LEN(known_types); i++)
		if (known_types[i] == type)
			prefix = "";
	if (strncmp(name, "TYPE", 4) == 0)              /* one without a name */
		prefix = "";
	snprintf(out, 24, "%s%s", prefix, name);
}

static void print_answers(const struct event *event, char *out, size_t size)
{
	char ip[ADDR_TEXT_MAX];
	size_t len = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < event->answer_count && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s", i ? "," : "",
					addr_format_ip(&event->answers[i], ip));
	if (event->answers_more > 0 && len < size)
		snprintf(out + len, size - len, ",+%u", event->answers_more);
}

static void add_answers(struct event_row *row, const struct event *event)
{
	print_answers(event, row->answers, sizeof(row->answers));
	add_if_any(row, "answers", str_of(row->answers));
}

static void add_dns(struct event_row *row, const struct event *event)
{
	bool answered = event->kind != EVENT_DNS_MALFORMED && event->kind != EVENT_DNS_OWN;

	print_protocol(event, row->protocol);
	add(row, log_str("protocol", row->protocol));
	if (event->name_len > 0) {
		print_qtype(event->qtype, row->qtype);
		add(row, log_str("qtype", row->qtype));
	}
	if (answered) {
		add(row, log_str("rcode", dns_rcode_name(event->rcode, row->rcode,
							 sizeof(row->rcode))));
		add(row, log_uint("duration_us", event->duration_us));
	}
	add_answers(row, event);
	add_if_any(row, "upstream", str_of(event->upstream));
	add_if_any(row, "note", str_of(event->kind == EVENT_DNS_HARDENING ? "dns-hardening" :
									  event->note));
}

static bool is_closed(enum event_kind kind)
{
	return kind == EVENT_HTTPS_CLOSED || kind == EVENT_HTTP_CLOSED ||
	       kind == EVENT_FORWARD_CLOSED || kind == EVENT_FLOW_CLOSED;
}

/* reason= and err=, for what went wrong. */
static void add_cause(struct event_row *row, const struct event *event)
{
	bool dial = event->kind == EVENT_HTTPS_DIAL || event->kind == EVENT_HTTP_DIAL ||
		    event->kind == EVENT_FORWARD_DIAL || event->kind == EVENT_FLOW_DIAL;
	bool closed = is_closed(event->kind);

	/* A packet has no reason but the rules, a refused connection has one if it was given. */
	if (closed || (event->reason != CLOSE_DONE && !is_allowed(event->kind)))
		add(row, log_str("reason", reason_slug(event->reason)));
	if (event->error != 0)
		add(row, log_str("err", strerror(event->error)));
	else if (dial)
		add(row, log_str("err", reason_text(event->reason)));
	else if (event->kind == EVENT_DNS_UPSTREAM)
		add(row, log_str("err", "no resolver gave a good answer"));
	else if (event->kind == EVENT_DNS_OWN)
		add(row, log_str("err", "a question of ours came back: the resolver that we ask "
				 "forwards through this namespace; set DNS_UPSTREAMS to others"));
}

static void add_closed(struct event_row *row, const struct event *event)
{
	if (!is_closed(event->kind))
		return;
	add(row, log_uint("conn", event->conn));
	add(row, log_uint("bytes_up", event->bytes_up));
	add(row, log_uint("bytes_down", event->bytes_down));
	add(row, log_uint("duration_ms", event->duration_ms));
}

static void add_dialled(struct event_row *row, const struct event *event)
{
	if (!known(&event->dialled))
		return;
	if (known(&event->dst) && addr_equal_ip(&event->dialled, &event->dst) &&
	    addr_port(&event->dialled) == addr_port(&event->dst))
		return;
	add(row, log_str("dialled", addr_format(&event->dialled, row->dialled)));
}

/* One that was left out of an answer or not dialled, and would not be if it were listed. */
static const union addr *private_answer(const struct event *event)
{
	for (unsigned i = 0; i < event->answer_count; i++)
		if (addr_classify(&event->answers[i]) == ADDR_PRIVATE)
			return &event->answers[i];
	return NULL;
}

/* The address that was judged in the place of a name; NULL: none was.  literal: room for one. */
static const union addr *judged_addr(const struct event *event, union addr *literal)
{
	if (event->kind == EVENT_NFLOG_BLOCKED)
		return known(&event->dst) ? &event->dst : NULL;
	if (!is_blocked(event->kind))
		return NULL;
	switch (event->reason) {
	case CLOSE_BAD_ADDRESS:
		return private_answer(event);
	case CLOSE_NO_SNI:
	case CLOSE_NO_HOST:
	case CLOSE_HELLO_BAD:           /* ssh over port 443: only its address can be judged */
		return event->name_len == 0 && known(&event->dst) ? &event->dst : NULL;
	case CLOSE_NOT_ALLOWLISTED:
		return !is_dns(event->kind) &&  /* Host: 192.0.2.7 */
		       addr_parse((struct str){ event->name, event->name_len }, literal) ?
			       literal : NULL;
	default:
		return NULL;
	}
}

/* Why no entry is named.  For a client such an address is not dialled, listed or not; its own
 * packets to one that is listed are let through, and that is nothing to propose in passing. */
static const char *why_not_to_allow(const struct event *event)
{
	bool goes_there = !is_dns(event->kind) && known(&event->dst) &&
			  addr_classify(&event->dst) == ADDR_NEVER;

	if (goes_there)
		return "no entry is proposed for a cloud's metadata, link-local, multicast or "
		       "broadcast: in ips it would open all of it to the workload";
	return "no entry would help: this host, link-local, multicast and a cloud's metadata are "
	       "never dialled";
}

/* What to add to the policy, and to which list, where it would have helped (decisions.md 25); or
 * that nothing is to be added. */
static void add_to_allow(struct event_row *row, const struct event *event)
{
	char name[HOSTNAME_MAX + 1], ip[ADDR_TEXT_MAX];
	union addr literal;
	const union addr *addr = judged_addr(event, &literal);
	bool never = addr ? addr_classify(addr) == ADDR_NEVER :
			    is_blocked(event->kind) && event->reason == CLOSE_BAD_ADDRESS &&
			    event->answers_more == 0;   /* of which nothing is known */

	if (never && event->detail[0] == '\0')
		add(row, log_str("detail", why_not_to_allow(event)));
	if (never)
		return;
	if (addr)
		snprintf(row->to_allow, sizeof(row->to_allow), "ips: %s",
			 addr_format_ip(addr, ip));
	else if (is_blocked(event->kind) && event->reason == CLOSE_PORT_NOT_LISTED)
		snprintf(row->to_allow, sizeof(row->to_allow), "domains: %.*s:%u",
			 (int)event->name_len, event->name, addr_port(&event->dst));
	else if (is_blocked(event->kind) && event->reason == CLOSE_NOT_ALLOWLISTED &&
		 hostname_normalise((struct str){ event->name, event->name_len }, name) > 0)
		snprintf(row->to_allow, sizeof(row->to_allow), "domains: %s", name);
	else
		return;
	add(row, log_str("to_allow", row->to_allow));
}

bool event_is_decision(enum event_kind kind)
{
	return is_blocked(kind) || strcmp(event_action(kind), "AUDIT") == 0 ||
	       (is_allowed(kind) && !is_nflog(kind));
}

bool event_is_end(enum event_kind kind)
{
	return is_closed(kind);
}

static bool listened_to;

void event_listen(bool listening)
{
	listened_to = listening;
}

bool event_wanted(enum event_kind kind)
{
	bool told = log_decisions() || listened_to;

	return log_enabled(event_level(kind)) || (event_is_decision(kind) && told) ||
	       (event_is_end(kind) && listened_to);
}

void event_fields(const struct event *event, struct event_row *row)
{
	const struct kind *kind = kind_of(event->kind);

	row->count = 0;
	add_if_any(row, "action", str_of(kind->action));
	add(row, log_str("component", kind->component));
	add_endpoints(row, event);
	add_name(row, event);
	if (is_nflog(event->kind))
		add_nflog(row, event);
	if (is_dns(event->kind))
		add_dns(row, event);
	else
		add_answers(row, event);
	add_cause(row, event);
	add_closed(row, event);
	add_dialled(row, event);
	add_if_any(row, "rule", str_of_array(event->rule));
	add_if_any(row, "detail", str_of_array(event->detail));
	if (event->count > 1)
		add(row, log_uint("count", event->count));
	add_to_allow(row, event);
	row->fields[row->count].type = LOG_END;
}

const struct log_field *event_field(const struct event_row *row, const char *key)
{
	for (unsigned i = 0; i < row->count; i++)
		if (strcmp(row->fields[i].key, key) == 0)
			return &row->fields[i];
	return NULL;
}

void event_log(const struct event *event)
{
	enum log_level level = event_level(event->kind);
	bool decision = event_is_decision(event->kind);
	struct event_row row;

	if (!log_enabled(level) && !(decision && log_decisions()))
		return;
	event_fields(event, &row);
	log_line(level, event->time_ns, event_text(event->kind), decision, row.fields);
}
