/* dns_ask.c - a question's way: judge, rate, look up, vet, learn, answer.
 *
 * What is cached is answered at once, from an ask that is given back before the next question is
 * looked at; what is not keeps its ask until records_lookup() has it. */
#include "forward/dns.h"

#include <errno.h>

#include "core/resolver.h"

enum {
	REFRESH_PERCENT = 80,           /* from there on records_lookup() asks anew */
	PTR_TTL_S = 60,                 /* of our own */
};
enum { RATE_LISTED, RATE_WILDCARD, RATE_OTHER };        /* a client's budgets */

static records_fn on_records, on_other_family;

struct owner *dns_ask_owner(const struct dns_ask *ask)
{
	return ask->udp ? dns_udp_owner(ask->udp) : dns_tcp_owner(ask->conn);
}

struct loop *dns_ask_loop(const struct dns_ask *ask)
{
	return &ask->dns->filter->worker->loop;
}

void dns_ask_waits(struct dns_ask *ask)
{
	struct dns_ask **first = ask->udp ? dns_udp_asks(ask->udp) : dns_tcp_asks(ask->conn);

	ask->rule = NULL;
	if (ask->link)
		return;
	ask->next = *first;
	ask->link = first;
	if (ask->next)
		ask->next->link = &ask->next;
	*first = ask;
}

bool dns_ask_listed(struct dns_ask *ask)
{
	ask->rule = policy_match_name(policy_current(), dns_query_name(&ask->query));
	return ask->rule;
}

void dns_ask_free(struct dns_ask *ask)
{
	if (ask->link) {
		*ask->link = ask->next;
		if (ask->next)
			ask->next->link = ask->link;
	}
	if (ask->hold)
		pool_give(&ask->dns->holds, ask->hold);
	pool_give(&ask->dns->asks, ask);
}

void dns_asks_drop(struct dns_ask *first)
{
	while (first) {
		struct dns_ask *next = first->next;

		dns_ask_free(first);
		first = next;
	}
}

/* From the cache or from upstream */

static bool has_addresses(const struct dns_records *records)
{
	struct dns_addr_walk walk = { 0 };
	struct dns_addr addr;

	return dns_records_next_addr(records, &walk, &addr);
}

static void fail(struct dns_ask *ask, const struct records *records, struct dns_outcome *outcome)
{
	outcome->kind = EVENT_DNS_UPSTREAM;
	outcome->records = records;
	outcome->error = records->timed_out ? ETIMEDOUT : records->shed ? EAGAIN : 0;
	dns_answer_servfail(ask, records->timed_out ? DNS_ERROR_NO_AUTHORITY : DNS_ERROR_NETWORK,
			records->timed_out ? "no resolver answered in time" :
			records->shed ? "too many questions" : "the resolvers failed", outcome);
}

/* An unlisted name whose other family decides whether it is blocked. */
static const struct records *look_at_other_family(struct dns_ask *ask)
{
	uint16_t type = ask->query.type == DNS_TYPE_AAAA ? DNS_TYPE_A : DNS_TYPE_AAAA;

	return records_lookup(ask->dns->filter->resolver, dns_query_name(&ask->query), type,
			      &ask->lookup, on_other_family);
}

static void decide_by_other_family(struct dns_ask *ask, const struct records *records)
{
	struct dns_outcome outcome = { .kind = EVENT_DNS_BLOCKED, .records = records,
				       .reason = CLOSE_NOT_ALLOWLISTED };

	if (!records->failed && dns_has_listed(records)) {
		outcome.silent = true;
		dns_answer_nothing(ask, "only listed addresses of this name", &outcome);
	} else {
		dns_answer_blocked(ask, &outcome);
	}
}

static void on_other_family(struct records_lookup *lookup, const struct records *records)
{
	struct dns_ask *ask = container_of(lookup, struct dns_ask, lookup);

	decide_by_other_family(ask, records);
	dns_ask_free(ask);
}

/* An unlisted name: addresses that the policy lists, if there are any.  True: it still waits. */
static bool finish_by_address(struct dns_ask *ask, const struct records *records)
{
	struct dns_age age = records_age(records, dns_ask_loop(ask)->now_ms);
	struct dns_outcome outcome = { .records = records };
	const struct dns_records *answer;
	bool listed = dns_has_listed(records);

	/* HTTPS and SVCB were asked as A: the name's own are not told. */
	if (listed && ask->query.type != records->block->type) {
		outcome.silent = true;
		outcome.kind = EVENT_DNS_BLOCKED;
		dns_answer_nothing(ask, "only listed addresses of this name", &outcome);
		return false;
	}
	if (listed) {
		(void)dns_judge_answer(ask, records, &answer, &outcome);
		dns_answer_records(ask, answer, age, &outcome);
		return false;
	}
	records = look_at_other_family(ask);
	if (records)
		decide_by_other_family(ask, records);
	else
		dns_ask_waits(ask);
	return !records;
}

/* Records have come.  True: the ask still waits. */
static bool finish(struct dns_ask *ask, const struct records *records)
{
	struct dns_age age = records_age(records, dns_ask_loop(ask)->now_ms);
	struct dns_outcome outcome = { .records = records };
	const struct dns_records *answer;

	if (records->failed) {
		fail(ask, records, &outcome);
		return false;
	}
	if (ask->by_address)
		return finish_by_address(ask, records);
	if (!ask->rule) {
		outcome.kind = EVENT_DNS_BLOCKED;
		outcome.reason = CLOSE_NOT_ALLOWLISTED;
		dns_answer_blocked(ask, &outcome);
		return false;
	}
	if (!dns_judge_answer(ask, records, &answer, &outcome)) {
		dns_answer_servfail(ask, DNS_ERROR_PROHIBITED, reason_slug(outcome.reason),
				    &outcome);
		return false;
	}
	if (outcome.left_out > 0 && answer->count == 0) {
		outcome.kind = EVENT_DNS_BLOCKED;
		outcome.reason = CLOSE_BAD_ADDRESS;
		outcome.answer = records->block;        /* what to list, if it is wanted */
		dns_answer_nothing(ask, "private or special addresses only", &outcome);
		return false;
	}
	if (learn_submit && has_addresses(answer))
		return dns_learn(ask, answer, age, &outcome);
	dns_answer_records(ask, answer, age, &outcome);
	return false;
}

static void on_records(struct records_lookup *lookup, const struct records *records)
{
	struct dns_ask *ask = container_of(lookup, struct dns_ask, lookup);

	/* The policy may have changed while we waited.  What was not listed is asked by address to
	 * the end. */
	if (!ask->by_address)
		(void)dns_ask_listed(ask);
	if (!finish(ask, records))
		dns_ask_free(ask);
}

void dns_ask_again(struct dns_ask *ask)
{
	const struct records *records;

	pool_give(&ask->dns->holds, ask->hold);
	ask->hold = NULL;
	records = records_lookup(ask->dns->filter->resolver, dns_query_name(&ask->query),
				 ask->query.type, &ask->lookup, on_records);
	if (records)
		on_records(&ask->lookup, records);
	else
		dns_ask_waits(ask);
}

/* The part of a name that one wildcard, or one owner, stands for: as many labels as the entry has,
 * and two at least. */
static struct str base_of(struct str name, const char *rule)
{
	unsigned labels = 1, wanted;
	size_t at = name.len;

	for (const char *c = rule; *c; c++)
		labels += *c == '.';
	wanted = labels > 2 ? labels - 1 : 2;
	while (at > 0 && wanted > 0)
		if (name.at[--at] == '.')
			wanted--;
	at += wanted == 0;
	return (struct str){ name.at + at, name.len - at };
}

/* Each name below a wildcard that is new can carry data out: fewer of them (D10). */
static bool tunnels(const struct dns_ask *ask)
{
	const struct dns_settings *settings = ask->dns->settings;
	struct str base;

	if (!settings->hardening || settings->wildcard_rate.interval_us == 0 ||
	    (ask->rule && ask->rule[0] != '*'))
		return false;
	base = base_of(dns_query_name(&ask->query), ask->rule ? ask->rule : "");
	return !dns_rates_take(settings->rates, dns_rates_name(settings->rates, base),
			       settings->wildcard_rate, dns_ask_loop(ask)->now_us);
}

static bool has_budget(const struct dns_ask *ask, unsigned kind)
{
	const struct dns_settings *settings = ask->dns->settings;

	return !settings->hardening ||
	       dns_rates_take(settings->rates,
			      dns_rates_client(settings->rates, &ask->client, kind),
			      settings->client_rate, dns_ask_loop(ask)->now_us);
}

/* Names below a wildcard can be made up without end: what asks for those leaves the names that are
 * listed themselves their due. */
static unsigned budget_of(const struct dns_ask *ask)
{
	if (ask->by_address)
		return RATE_OTHER;
	return ask->rule[0] == '*' ? RATE_WILDCARD : RATE_LISTED;
}

/* Its time is not nearly over: no need to say that it is used. */
static bool is_young(const struct records *records, uint64_t now_ms)
{
	return records_age_ms(records, now_ms) * 100 <
	       (records->fresh_until_ms - records->learned_ms) * REFRESH_PERCENT;
}

/* A question of ours has come back: Docker's resolver sends on what it does not know, from this
 * namespace.  A name without a dot is a container then that does not run, or none; with a dot it is
 * a loop, and nobody else will answer. */
static void answer_our_own(struct dns_ask *ask)
{
	struct str name = dns_query_name(&ask->query);
	struct dns_outcome outcome = { .kind = EVENT_DNS_OWN };

	outcome.silent = !memchr(name.at, '.', name.len);
	if (outcome.silent)
		dns_answer_no_name(ask, &outcome);
	else
		dns_answer_refused(ask, &outcome);
}

/* True: the ask still waits. */
static bool look_up(struct dns_ask *ask)
{
	struct resolver *resolver = ask->dns->filter->resolver;
	struct str name = dns_query_name(&ask->query);
	uint16_t type = ask->query.type;
	const struct records *records;

	if (ask->by_address && type != DNS_TYPE_AAAA)
		type = DNS_TYPE_A;
	records = records_peek(resolver, name, type);
	if (!records && records_are_asked_by(&ask->query)) {
		answer_our_own(ask);
		return false;
	}
	if (!records && tunnels(ask)) {
		dns_answer_refused(ask, &(struct dns_outcome){ .kind = EVENT_DNS_RATE_LIMITED,
							   .note = "names below a wildcard" });
		return false;
	}
	if (!has_budget(ask, budget_of(ask))) {
		dns_answer_refused(ask, &(struct dns_outcome){ .kind = EVENT_DNS_RATE_LIMITED });
		return false;
	}
	if (!records || !is_young(records, dns_ask_loop(ask)->now_ms))
		records = records_lookup(resolver, name, type, &ask->lookup, on_records);
	if (records)
		return finish(ask, records);
	dns_ask_waits(ask);
	return true;
}

/* The PTR of an address that we gave out is known here; nobody is asked. */
static bool answer_own_address(struct dns_ask *ask)
{
	struct dns *dns = ask->dns;
	struct str name = dns_query_name(&ask->query);
	uint64_t now_ms = dns_ask_loop(ask)->now_ms, until_ms;
	struct dns_outcome outcome = { 0 };
	char owner[HOSTNAME_MAX + 1];
	uint8_t wire[DNS_NAME_MAX];
	union addr addr;
	uint32_t ttl_s;

	if (ask->query.type != DNS_TYPE_PTR || !dns_reverse_addr(name, &addr) ||
	    dns_reverse_find(dns->settings->reverse, &addr, now_ms, owner, &until_ms) == 0)
		return false;
	ask->rule = policy_match_name(policy_current(), str_of(owner));
	if (!ask->rule || dns_name_from_text(name, wire) == 0)
		return false;
	ttl_s = (uint32_t)((until_ms - now_ms) / 1000);
	ttl_s = ttl_s > PTR_TTL_S ? PTR_TTL_S : ttl_s;
	dns_records_init(&dns->vetted, wire, DNS_TYPE_PTR, ttl_s);
	if (dns_name_from_text(str_of(owner), wire) == 0 ||
	    !dns_records_add_ptr(&dns->vetted, wire, ttl_s))
		return false;
	if (!has_budget(ask, RATE_OTHER))
		dns_answer_refused(ask, &(struct dns_outcome){ .kind = EVENT_DNS_RATE_LIMITED });
	else
		dns_answer_records(ask, &dns->vetted, (struct dns_age){ 0, PTR_TTL_S }, &outcome);
	return true;
}

/* A question that is one. */
static bool judge(struct dns_ask *ask)
{
	struct dns_outcome outcome = { 0 };
	enum dns_says says;

	if (answer_own_address(ask))
		return false;
	says = dns_judge(ask, &outcome);
	if (says == DNS_SAYS_ASK)
		return look_up(ask);
	if (!has_budget(ask, RATE_OTHER)) {
		outcome = (struct dns_outcome){ .kind = EVENT_DNS_RATE_LIMITED };
		says = DNS_SAYS_REFUSED;
	}
	if (says == DNS_SAYS_BLOCKED)
		dns_answer_blocked(ask, &outcome);
	else
		dns_answer_refused(ask, &outcome);
	return false;
}

void dns_ask(struct dns *dns, const struct dns_ask *from, const uint8_t *data, size_t len)
{
	struct dns_ask *ask = pool_take(&dns->asks);
	enum dns_verdict verdict;

	metric_add(&dns->inlet.metrics->dns_questions, 1);
	if (!ask) {                             /* clients ask again; TCP ones end */
		metric_add(&dns->inlet.metrics->dns_failed, 1);
		if (from->conn)
			dns_tcp_send(from->conn, NULL, 0);
		return;
	}
	memset(ask, 0, offsetof(struct dns_ask, query));
	ask->dns = dns;
	ask->udp = from->udp;
	ask->conn = from->conn;
	ask->client = from->client;
	ask->lookup.owner = dns_ask_owner(ask);
	ask->begun_us = dns->filter->worker->loop.now_us;
	verdict = dns_query_parse(data, len, &ask->query);
	if (verdict != DNS_ASK)
		dns_answer_malformed(ask, verdict);
	else if (judge(ask))
		return;
	dns_ask_free(ask);
}
