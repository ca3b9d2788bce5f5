/* dns_answer.c - what a client is told. */
#include "forward/dns.h"

#include <errno.h>

enum {
	ZERO_TTL_S = 60,                /* the seed's */
	BLOCKED_TTL_S = 5,              /* an edit of the policy is seen so soon */
};

static void send_answer(struct dns_ask *ask, size_t len)
{
	if (ask->udp && len > 0)
		dns_udp_send(ask->udp, &ask->client, ask->dns->answer, len);
	else if (ask->conn)
		dns_tcp_send(ask->conn, ask->dns->answer, len);
}

static void answer_refusal(struct dns_ask *ask, const struct dns_refusal *refusal,
			   struct dns_outcome *outcome)
{
	size_t len = dns_refusal_build(&ask->query, refusal, ask->dns->answer);

	outcome->rcode = refusal->rcode;
	dns_tell(ask, outcome);
	send_answer(ask, len);
}

/* As DNS_BLOCKED_ANSWER says. */
void dns_answer_blocked(struct dns_ask *ask, struct dns_outcome *outcome)
{
	struct dns_refusal refusal = { .rcode = DNS_RCODE_NXDOMAIN, .error = DNS_ERROR_BLOCKED,
				       .text = STR("not on the allow list"), .has_soa = true,
				       .ttl_s = BLOCKED_TTL_S };
	bool address = ask->query.type == DNS_TYPE_A || ask->query.type == DNS_TYPE_AAAA;

	outcome->note = "nxdomain";
	if (ask->dns->settings->blocked_answer == DNS_BLOCKED_REFUSED) {
		refusal.rcode = DNS_RCODE_REFUSED;
		refusal.has_soa = false;
		outcome->note = "refused";
	} else if (ask->dns->settings->blocked_answer == DNS_BLOCKED_ZERO) {
		refusal.zero = true;
		refusal.ttl_s = ZERO_TTL_S;
		refusal.has_soa = !address;
		if (address) {
			refusal.rcode = DNS_RCODE_NONE;
			outcome->note = "sinkholed-not-allowlisted";
		}
	}
	answer_refusal(ask, &refusal, outcome);
}

void dns_answer_refused(struct dns_ask *ask, struct dns_outcome *outcome)
{
	bool type = outcome->reason == CLOSE_TYPE_NOT_SERVED;

	answer_refusal(ask, &(struct dns_refusal){
		.rcode = DNS_RCODE_REFUSED,
		.error = type ? DNS_ERROR_NOT_SUPPORTED : DNS_ERROR_PROHIBITED,
		.text = outcome->reason == CLOSE_DONE ? STR("") :
							str_of(reason_slug(outcome->reason)),
	}, outcome);
}

void dns_answer_servfail(struct dns_ask *ask, uint16_t error, const char *text,
			    struct dns_outcome *outcome)
{
	metric_add(&ask->dns->inlet.metrics->dns_failed, 1);
	answer_refusal(ask, &(struct dns_refusal){ .rcode = DNS_RCODE_SERVFAIL, .error = error,
						   .text = str_of(text) }, outcome);
}

void dns_answer_no_name(struct dns_ask *ask, struct dns_outcome *outcome)
{
	answer_refusal(ask, &(struct dns_refusal){ .rcode = DNS_RCODE_NXDOMAIN,
						   .error = DNS_ERROR_NONE, .has_soa = true,
						   .ttl_s = BLOCKED_TTL_S }, outcome);
}

/* It exists, but not so: of an unlisted name with listed addresses, or all were left out. */
void dns_answer_nothing(struct dns_ask *ask, const char *text, struct dns_outcome *outcome)
{
	answer_refusal(ask, &(struct dns_refusal){ .rcode = DNS_RCODE_NONE,
						   .error = DNS_ERROR_FILTERED,
						   .text = str_of(text), .has_soa = true,
						   .ttl_s = BLOCKED_TTL_S }, outcome);
}

/* An address that was given out has a name (dns_reverse.h).  Once for each answer in the cache. */
static void note_names(struct dns_ask *ask, const struct dns_records *records, struct dns_age age,
		       const struct dns_outcome *outcome)
{
	/* Only what lies in the cache keeps its place for long enough to be known by it. */
	bool cached = outcome->records && outcome->records->block == records;
	uint64_t learned_ms = cached ? outcome->records->learned_ms : 0;
	struct dns_noted *noted = &ask->dns->noted[(uintptr_t)records / 64 % DNS_NOTED];
	struct dns_addr_walk walk = { 0 };
	struct dns_addr addr;

	if (!ask->rule ||
	    (cached && noted->records == records && noted->learned_ms == learned_ms))
		return;
	while (dns_records_next_addr(records, &walk, &addr)) {
		uint64_t left_s = addr.ttl_s > age.age_s ? addr.ttl_s - age.age_s : 0;
		union addr plain;

		dns_addr_plain(&addr, &plain);
		dns_reverse_note(ask->dns->settings->reverse, &plain, dns_query_name(&ask->query),
				 dns_ask_loop(ask)->now_ms + (left_s + DNS_GRACE_S) * 1000);
	}
	if (cached)
		*noted = (struct dns_noted){ records, learned_ms };
}

void dns_answer_records(struct dns_ask *ask, const struct dns_records *records,
			   struct dns_age age, struct dns_outcome *outcome)
{
	size_t limit = ask->udp ? ask->query.udp_size : UINT16_MAX;
	size_t len = dns_answer_build(&ask->query, records, age, limit, ask->dns->answer);

	outcome->kind = EVENT_DNS_ALLOWED;
	outcome->rcode = records->rcode;
	outcome->answer = records;
	note_names(ask, records, age, outcome);
	dns_tell(ask, outcome);
	send_answer(ask, len);
}

void dns_answer_malformed(struct dns_ask *ask, enum dns_verdict verdict)
{
	struct dns_outcome outcome = { .kind = EVENT_DNS_MALFORMED };

	metric_add(&ask->dns->inlet.metrics->dns_malformed, 1);
	if (verdict == DNS_DROP) {
		dns_tell(ask, &outcome);
		return send_answer(ask, 0);
	}
	answer_refusal(ask, &(struct dns_refusal){ .rcode = dns_verdict_rcode(verdict),
						   .error = DNS_ERROR_NONE }, &outcome);
}

