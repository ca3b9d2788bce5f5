/* dns_judge.c - what may be asked, and what of an answer may be told. */
#include "forward/dial.h"
#include "forward/dns.h"

enum { QNAME_MAX = 220, LABEL_MAX = 56, TXT_MAX = 1024 };       /* the seed's hardening */
enum { TYPE_NULL = 10, TYPE_CAA = 257 };

/* Types whose records are of use to a client that may reach the name, and that the parser knows to
 * take apart or that hold nothing but text. */
static bool is_served(uint16_t type)
{
	switch (type) {
	case DNS_TYPE_A:
	case DNS_TYPE_AAAA:
	case DNS_TYPE_HTTPS:
	case DNS_TYPE_SVCB:
	case DNS_TYPE_CNAME:
	case DNS_TYPE_MX:
	case DNS_TYPE_TXT:
	case DNS_TYPE_SRV:
	case DNS_TYPE_NS:
	case DNS_TYPE_SOA:
	case DNS_TYPE_PTR:
	case TYPE_CAA:
		return true;
	}
	return false;
}

static bool gives_addresses(uint16_t type)
{
	return type == DNS_TYPE_A || type == DNS_TYPE_AAAA || type == DNS_TYPE_HTTPS ||
	       type == DNS_TYPE_SVCB;
}

static size_t longest_label(const struct dns_query *query)
{
	size_t longest = 0;

	for (const uint8_t *at = query->wire; *at; at += *at + 1)
		longest = *at > longest ? *at : longest;
	return longest;
}

static enum dns_says refuse(struct dns_outcome *outcome, enum event_kind kind,
			    enum close_reason reason)
{
	outcome->kind = kind;
	outcome->reason = reason;
	outcome->rcode = DNS_RCODE_REFUSED;
	return DNS_SAYS_REFUSED;
}

/* What carries data out rather than asks for something (spec g0efilter 7). */
static enum close_reason smells_of_a_tunnel(const struct dns_query *query)
{
	if (query->type == TYPE_NULL)
		return CLOSE_NULL_QUERY;
	if (query->wire_len > QNAME_MAX + 2)            /* its length as text, and two bytes */
		return CLOSE_QNAME_TOO_LONG;
	if (longest_label(query) > LABEL_MAX)
		return CLOSE_LABEL_TOO_LONG;
	return CLOSE_DONE;
}

enum dns_says dns_judge(struct dns_ask *ask, struct dns_outcome *outcome)
{
	const struct dns_settings *settings = ask->dns->settings;
	const struct dns_query *query = &ask->query;
	const struct policy *policy = policy_current();
	enum close_reason bad;

	outcome->kind = EVENT_DNS_BLOCKED;
	outcome->reason = CLOSE_NOT_ALLOWLISTED;
	if (query->wire_len == 1)                       /* the root is on no list */
		return DNS_SAYS_BLOCKED;
	if (query->name_len == 0)
		return refuse(outcome, EVENT_DNS_INVALID, CLOSE_DONE);
	bad = settings->hardening ? smells_of_a_tunnel(query) : CLOSE_DONE;
	if (bad != CLOSE_DONE)
		return refuse(outcome, EVENT_DNS_HARDENING, bad);
	if (!dns_ask_listed(ask)) {
		ask->by_address = settings->unlisted == DNS_UNLISTED_BY_ADDRESS && policy &&
				  policy->ip_count > 0 && gives_addresses(query->type);
		return ask->by_address ? DNS_SAYS_ASK : DNS_SAYS_BLOCKED;
	}
	if (!is_served(query->type))
		return refuse(outcome, EVENT_DNS_BLOCKED, CLOSE_TYPE_NOT_SERVED);
	return DNS_SAYS_ASK;
}

struct judging {
	const struct policy *policy;
	bool has_dot, private_answers, only_listed;
};

static bool may_tell(const struct judging *judging, const union addr *addr)
{
	if (judging->only_listed)
		return policy_has_addr(judging->policy, addr) && addr_classify(addr) != ADDR_NEVER;
	return dial_may_reach(addr, judging->has_dot, judging->policy, judging->private_answers);
}

void dns_addr_plain(const struct dns_addr *addr, union addr *plain)
{
	memset(plain, 0, sizeof(*plain));
	if (addr->len == 4) {
		plain->v4.sin_family = AF_INET;
		memcpy(&plain->v4.sin_addr, addr->bytes, 4);
	} else {
		plain->v6.sin6_family = AF_INET6;
		memcpy(&plain->v6.sin6_addr, addr->bytes, 16);
	}
}

static bool keep(void *context, const struct dns_addr *addr)
{
	union addr plain;

	dns_addr_plain(addr, &plain);
	return may_tell(context, &plain);
}

/* Hints are many more than records->addrs has room for: what is behind a full list counts too. */
static bool all_may_be_told(const struct judging *judging, const struct records *records)
{
	struct dns_addr_walk walk = { 0 };
	struct dns_addr addr;
	union addr plain;

	for (unsigned i = 0; i < records->count; i++)
		if (!may_tell(judging, &records->addrs[i]))
			return false;
	if (records->count < RECORD_ADDRS_MAX)
		return true;
	while (dns_records_next_addr(records->block, &walk, &addr)) {
		dns_addr_plain(&addr, &plain);
		if (!may_tell(judging, &plain))
			return false;
	}
	return true;
}

static struct judging judging_of(const struct dns_ask *ask)
{
	struct str name = dns_query_name(&ask->query);

	return (struct judging){
		.policy = policy_current(), .only_listed = ask->by_address,
		.has_dot = memchr(name.at, '.', name.len) != NULL,
		.private_answers = ask->dns->filter->settings->private_answers,
	};
}

static size_t txt_bytes(const struct dns_records *block)
{
	struct dns_record record;
	size_t bytes = 0;
	uint16_t at = 0;

	while (dns_records_next(block, &at, &record))
		if (record.type == DNS_TYPE_TXT)
			bytes += record.data_len;
	return bytes;
}

static bool harden(enum close_reason reason, struct dns_outcome *outcome)
{
	outcome->kind = EVENT_DNS_HARDENING;
	outcome->reason = reason;
	return false;
}

/* Any address of a name is as good as the others, so a few of very many will do; a part of its mail
 * servers or of its text is another answer than was given (RFC 2181 5.2, 9). */
static bool is_cut(const struct dns_records *block)
{
	return block->left_out > 0 && !gives_addresses(block->type);
}

bool dns_judge_answer(struct dns_ask *ask, const struct records *records,
		      const struct dns_records **answer, struct dns_outcome *outcome)
{
	struct judging judging = judging_of(ask);
	const struct dns_records *block = records->block;
	struct dns_records *vetted = &ask->dns->vetted;

	if (ask->dns->settings->hardening && block->type == DNS_TYPE_TXT &&
	    txt_bytes(block) > TXT_MAX)
		return harden(CLOSE_TXT_TOO_LARGE, outcome);
	if (is_cut(block))              /* whatever DNS_HARDENING says */
		return harden(CLOSE_RESPONSE_TOO_LARGE, outcome);
	*answer = block;
	if (all_may_be_told(&judging, records))
		return true;
	memcpy(vetted, block, dns_records_size(block));
	outcome->left_out = (uint16_t)dns_records_vet(vetted, keep, &judging);
	*answer = vetted;
	return true;
}

bool dns_may_tell(const struct dns_ask *ask, const struct dns_addr *addr)
{
	struct judging judging = judging_of(ask);

	return keep(&judging, addr);
}

bool dns_has_listed(const struct records *records)
{
	const struct judging judging = { .policy = policy_current(), .only_listed = true };

	for (unsigned i = 0; i < records->count; i++)
		if (may_tell(&judging, &records->addrs[i]))
			return true;
	return false;
}
