/* dns_tell.c - what is told of a question: one event, and the counters. */
#include <netinet/in.h>

#include "forward/dns.h"

static void count(const struct dns_ask *ask, const struct dns_outcome *outcome)
{
	struct metrics *metrics = ask->dns->inlet.metrics;

	switch (outcome->kind) {
	case EVENT_DNS_ALLOWED:
		return metric_add(&metrics->dns_allowed, 1);
	case EVENT_DNS_BLOCKED:
	case EVENT_DNS_HARDENING:
	case EVENT_DNS_INVALID:
		return metric_add(&metrics->dns_blocked, 1);
	case EVENT_DNS_RATE_LIMITED:
		return metric_add(&metrics->dns_limited, 1);
	default:
		return;
	}
}

/* Those that anybody can cause thousands of times a second, or that say the same again and again,
 * are told once a second with how many there were. */
static struct flood *flood_of(struct dns *dns, enum event_kind kind)
{
	switch (kind) {
	case EVENT_DNS_RATE_LIMITED:
		return &dns->limited;
	case EVENT_DNS_INVALID:
		return &dns->invalid;
	case EVENT_DNS_MALFORMED:
		return &dns->malformed;
	case EVENT_DNS_UPSTREAM:
		return &dns->failures;
	case EVENT_DNS_LEARN:
		return &dns->learn_failures;
	default:
		return NULL;
	}
}

static void add_name(struct event *event, const struct dns_query *query)
{
	char text[DNS_TEXT_MAX];
	size_t len;

	if (query->wire_len == 0)
		return;
	len = dns_name_to_text(query->wire, text);
	event->name_len = (uint16_t)(len < HOSTNAME_MAX ? len : HOSTNAME_MAX);
	memcpy(event->name, text, event->name_len);
}

static void add_answers(struct event *event, const struct dns_records *records)
{
	struct dns_addr_walk walk = { 0 };
	struct dns_addr addr;

	while (dns_records_next_addr(records, &walk, &addr)) {
		if (event->answer_count < EVENT_ANSWERS_MAX)
			dns_addr_plain(&addr, &event->answers[event->answer_count++]);
		else
			event->answers_more++;
	}
}

/* Where the chain of aliases led, and what was left out. */
static void add_detail(struct event *event, const struct dns_outcome *outcome)
{
	const struct dns_records *answer = outcome->answer;
	char text[DNS_TEXT_MAX];
	struct dns_record record;
	uint16_t at = 0;
	size_t len = 0;

	if (outcome->left_out > 0) {
		snprintf(event->detail, sizeof(event->detail), "%u not told: private or special",
			 outcome->left_out);
		return;
	}
	for (unsigned i = 0; answer && i < answer->links; i++)
		if (dns_records_next(answer, &at, &record))
			len = dns_records_name(answer, record.data_at, text);
	if (len > 0)
		snprintf(event->detail, sizeof(event->detail), "alias of %.54s", text);
}

static void emit(const struct dns_ask *ask, const struct dns_outcome *outcome, uint32_t count_)
{
	struct loop *loop = &ask->dns->filter->worker->loop;
	const struct records *records = outcome->records;
	struct event event = {
		.kind = outcome->kind, .reason = outcome->reason, .count = count_,
		.src = ask->client, .protocol = ask->udp ? IPPROTO_UDP : IPPROTO_TCP,
		.dst = ask->udp ? *dns_udp_addr(ask->udp) : *dns_tcp_dst(ask->conn),
		.redirected = ask->udp != NULL,
		.error = outcome->error, .note = outcome->note,
		.qtype = ask->query.type, .rcode = outcome->rcode,
		.duration_us = loop->now_us - ask->begun_us,
	};

	add_name(&event, &ask->query);
	if (ask->rule)
		text_copy(event.rule, sizeof(event.rule), ask->rule);
	event.upstream = outcome->upstream;
	if (records)
		event.upstream = records->upstream;
	if (outcome->answer)
		add_answers(&event, outcome->answer);
	add_detail(&event, outcome);
	event_emit(ask->dns->filter->worker->events, &event);
}

void dns_tell(const struct dns_ask *ask, const struct dns_outcome *outcome)
{
	struct dns *dns = ask->dns;
	struct flood *flood = flood_of(dns, outcome->kind);
	uint32_t count_ = 1;

	count(ask, outcome);
	if (outcome->silent || !event_wanted(outcome->kind))
		return;
	if (outcome->kind == EVENT_DNS_OWN && dns->own_told)
		return;
	dns->own_told |= outcome->kind == EVENT_DNS_OWN;
	if (flood)
		count_ = flood_count(flood, dns->filter->worker->loop.now_ms);
	if (count_ > 0)
		emit(ask, outcome, count_);
}
