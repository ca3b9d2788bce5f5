/* dns_learn.c - dns-strict: the kernel lets an answer's addresses through before the client knows
 * them.  The answer waits for that, and not for long: what is doubtful is not told. */
#include <errno.h>

#include "forward/dns.h"

/* The name was taken off the list meanwhile: it is answered as one that was never on it. */
static bool is_still_listed(struct dns_ask *ask)
{
	struct dns_outcome outcome = { .kind = EVENT_DNS_BLOCKED, .reason = CLOSE_NOT_ALLOWLISTED };

	if (dns_ask_listed(ask))
		return true;
	dns_answer_blocked(ask, &outcome);
	return false;
}

static void on_learned(struct learn *learn, int result)
{
	struct dns_hold *hold = container_of(learn, struct dns_hold, learn);
	struct dns_ask *ask = hold->ask;
	struct loop *loop = dns_ask_loop(ask);
	bool outdated = result == LEARN_OUTDATED;
	struct dns_outcome outcome = { .error = outdated ? ESTALE : -result,
				       .left_out = hold->left_out, .upstream = hold->upstream };

	if (timer_armed(&hold->timer)) {
		timer_cancel(&loop->timers, &hold->timer);
		owner_release(dns_ask_owner(ask));
	}
	if (outdated && !hold->late && loop->now_us < ask->begun_us + DNS_ANEW_MS * 1000)
		return dns_ask_again(ask);
	hold->age.age_s += (uint32_t)((loop->now_ms - hold->held_ms) / 1000);
	if (hold->late || !is_still_listed(ask)) {
		/* answered */
	} else if (result == 0) {
		metric_add(&ask->dns->inlet.metrics->dns_learned, 1);
		dns_answer_records(ask, &hold->answer, hold->age, &outcome);
	} else {
		outcome.kind = EVENT_DNS_LEARN;
		outcome.reason = CLOSE_NOT_LEARNED;
		dns_answer_servfail(ask, DNS_ERROR_OTHER, "address not opened", &outcome);
	}
	dns_ask_free(ask);
}

/* What is doubtful is not told; the ask stays until the kernel has answered. */
static void on_hold_timer(struct timer *timer)
{
	struct dns_hold *hold = container_of(timer, struct dns_hold, timer);
	struct dns_ask *ask = hold->ask;
	struct owner *owner = dns_ask_owner(ask);
	struct dns_outcome outcome = { .kind = EVENT_DNS_LEARN, .reason = CLOSE_NOT_LEARNED,
				       .error = ETIMEDOUT };

	if (!owner->closing) {
		hold->late = true;
		if (is_still_listed(ask))
			dns_answer_servfail(ask, DNS_ERROR_OTHER, "address not opened in time",
					    &outcome);
	}
	owner_release(owner);
}

/* One address, with every port that the policy opens for the name.  False: no room. */
static bool add_items(struct dns_hold *hold, const struct policy_opens *opens,
		      const struct dns_addr *addr, uint32_t ttl_s)
{
	struct learn_item item = { .ttl_s = ttl_s };

	dns_addr_plain(addr, &item.addr);
	if (hold->count + (opens->all ? 1 : opens->count) > LEARN_ITEMS_MAX)
		return false;
	if (opens->all)
		hold->items[hold->count++] = item;
	for (unsigned i = 0; i < opens->count && !opens->all; i++) {
		item.protocol = opens->ports[i].protocol;
		item.first_port = opens->ports[i].first;
		item.last_port = opens->ports[i].last;
		hold->items[hold->count++] = item;
	}
	return true;
}

struct learning {
	struct dns_hold *hold;
	const struct dns_ask *ask;
	struct policy_opens opens;
	struct dns_age age;
	unsigned addrs;
};

/* How long the client may use it. */
static uint32_t told_ttl(uint32_t ttl_s, struct dns_age age)
{
	ttl_s = ttl_s > age.age_s ? ttl_s - age.age_s : 0;
	return ttl_s < age.max_s ? ttl_s : age.max_s;
}

/* For dns_records_vet(): an address that cannot be learned is not told.  Whether it may be told was
 * judged before; what opens the kernel looks once more. */
static bool learn_one(void *context, const struct dns_addr *addr)
{
	struct learning *learning = context;

	if (learning->addrs == DNS_ADDRS_MAX || !dns_may_tell(learning->ask, addr))
		return false;
	learning->addrs++;
	return add_items(learning->hold, &learning->opens, addr,
			 told_ttl(addr->ttl_s, learning->age) + DNS_GRACE_S);
}

bool dns_learn(struct dns_ask *ask, const struct dns_records *answer, struct dns_age age,
		  struct dns_outcome *outcome)
{
	struct learning learning = { .hold = pool_take(&ask->dns->holds), .ask = ask,
				     .age = age };
	struct dns_hold *hold = learning.hold;
	struct loop *loop = dns_ask_loop(ask);
	int err = -EAGAIN;

	if (hold) {
		ask->hold = hold;
		memset(hold, 0, offsetof(struct dns_hold, items));
		hold->ask = ask;
		hold->age = age;
		hold->left_out = outcome->left_out;
		hold->upstream = outcome->records->upstream;
		hold->held_ms = loop->now_ms;
		hold->timer.fire = on_hold_timer;
		memcpy(&hold->answer, answer, dns_records_size(answer));
		(void)policy_opens(policy_current(), dns_query_name(&ask->query), &learning.opens);
		(void)dns_records_vet(&hold->answer, learn_one, &learning);
		hold->learn = (struct learn){ .owner = dns_ask_owner(ask), .items = hold->items,
					      .name = dns_query_name(&ask->query),
					      .count = hold->count };
		err = learn_submit(&hold->learn, on_learned);
	}
	if (err < 0) {
		outcome->kind = EVENT_DNS_LEARN;
		outcome->reason = CLOSE_NOT_LEARNED;
		outcome->error = -err;
		dns_answer_servfail(ask, DNS_ERROR_OTHER, "address not opened", outcome);
		return false;
	}
	owner_hold(dns_ask_owner(ask));
	timer_arm(&loop->timers, &hold->timer, loop->now_ms + DNS_LEARN_MS);
	dns_ask_waits(ask);
	return true;
}

