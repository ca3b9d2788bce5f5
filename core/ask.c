/* ask.c - one name and type asked upstream: tries at one server after another. */
#include "core/ask.h"

#include <assert.h>
#include <errno.h>

#include "core/own.h"
#include "core/resolver_inside.h"

enum {
	DOUBLED_MAX = 3,                /* times that a try's time is doubled */
	CASE_WAIT_MS = 50,              /* for the right one, behind an answer in another case */
	UNSENT_WAIT_MS = 50,            /* until there may be room again */
	PROBE_MS = 1000,
	CLOSED_MAX = ASK_TRIES_MAX / 2, /* tries, then a closed connection is an answer too */
	DRAWS_MAX = 16,                 /* of an id that no other try at the same place has */
};

/* What a try at a server is made of. */
enum { BY_STREAM = 1, IN_LOWER_CASE = 2, WITHOUT_EDNS = 4 };

struct ask {
	struct resolver *resolver;
	bool open;                      /* false: in the pool, for who walks all */
	struct timer timer;             /* the newest try's time is over, or the deadline */
	ask_fn *done;
	void *context;
	struct servers *servers;
	uint64_t began_us, deadline_ms;
	struct server *case_lost_by;    /* when the timer fires, ask it without random case */
	bool asked_in_lower_case;
	uint16_t type, rcode;
	uint8_t order[UPSTREAMS_MAX];
	uint8_t no;                     /* a bit for each server that fails or refuses */
	uint8_t turn;                   /* whose turn it is, counting on */
	uint8_t tried;
	struct try *tries[ASK_TRIES_MAX];       /* NULL: over */
	uint8_t name_len;
	uint8_t name[DNS_NAME_MAX];     /* on the wire, in lower case */
};

static_assert(UPSTREAMS_MAX <= 8, "a bit for each server");

/* Tries */

void try_join(struct try *try, struct try **list)
{
	assert(!try->link);
	try->next = *list;
	try->link = list;
	if (try->next)
		try->next->link = &try->next;
	*list = try;
}

void try_leave(struct try *try)
{
	assert(try->link);
	*try->link = try->next;
	if (try->next)
		try->next->link = try->link;
	try->next = NULL;
	try->link = NULL;
}

void try_sent(struct try *try)
{
	if (try->ask || !op_idle(&try->send))
		return;
	try->taken = false;
	pool_give(&resolver_of(&try->send)->tries, try);
}

/* It is on no list. */
static void try_drop(struct try *try)
{
	struct ask *ask = try->ask;

	for (unsigned i = 0; i < ask->tried; i++)
		if (ask->tries[i] == try)
			ask->tries[i] = NULL;
	own_remove(&try->question);
	try->ask = NULL;
	try_sent(try);
}

static void try_forget(struct try *try)
{
	if (try->stream)
		stream_forget(try);
	else
		udp_forget(try);
	assert(!try->link);
	try_drop(try);
}

/* A forgery, or a server that changes the case of names: after a moment it is asked without. */
static void case_lost(struct try *try)
{
	struct loop *loop = try->ask->resolver->owner.loop;
	struct ask *ask = try->ask;

	if (try->lower || ask->case_lost_by || !server_may_lose_case(try->server))
		return;
	ask->case_lost_by = try->server;
	timer_arm(&loop->timers, &ask->timer, loop->now_ms + CASE_WAIT_MS);
}

struct try *try_match(struct resolver *resolver, struct try *list, const uint8_t *data, size_t len,
		      enum try_end *end)
{
	enum dns_match match = DNS_MATCH_NO;
	struct try *try = list;

	while (try && (len < 2 || try->question.id != (data[0] << 8 | data[1])))
		try = try->next;
	if (try)
		match = dns_response_match(data, len, &try->question);
	if (match != DNS_MATCH_YES) {
		resolver_add(resolver, RESOLVER_FORGED, 1);
		if (match == DNS_MATCH_CASE)
			case_lost(try);
		return NULL;
	}
	*end = dns_response_parse(data, len, &try->question, &resolver->heard) == PARSED_OK ?
	       TRY_HEARD : TRY_GARBLED;
	try_leave(try);
	return try;
}

static bool has_upper(const uint8_t *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			return true;
	return false;
}

static void question_fill(struct try *try, struct ask *ask, unsigned how)
{
	struct random *random = &ask->resolver->random;
	struct dns_question *question = &try->question;

	question->id = (uint16_t)random_u64(random);
	question->type = ask->type;
	question->name_len = ask->name_len;
	memcpy(question->name, ask->name, ask->name_len);
	try->lower = (how & IN_LOWER_CASE) || !server_takes_case(try->server);
	if (!try->lower) {
		uint64_t bits[4];               /* a bit for each byte */

		for (unsigned i = 0; i * 64 < question->name_len; i++)
			bits[i] = random_u64(random);
		dns_name_set_case(question->name, question->name_len, (const uint8_t *)bits);
	}
	try->edns = !(how & WITHOUT_EDNS) && server_takes_edns(try->server, try->sent_ms);
	try->len = (uint16_t)dns_question_build(question, try->edns, try->wire + 2);
	try->wire[0] = (uint8_t)(try->len >> 8);
	try->wire[1] = (uint8_t)try->len;
}

static struct try *try_new(struct ask *ask, struct server *server)
{
	struct try *try = pool_take(&ask->resolver->tries);

	if (!try)
		return NULL;
	memset(try, 0, offsetof(struct try, wire));
	try->send.owner = &ask->resolver->owner;
	try->ask = ask;
	try->taken = true;
	try->server = server;
	try->sent_ms = ask->resolver->owner.loop->now_ms;
	return try;
}

/* 0 or -errno: the server could not even be asked. */
static int ask_try(struct ask *ask, struct server *server, unsigned how)
{
	bool by_stream = server->tls.on || (how & BY_STREAM);
	struct resolver *resolver = ask->resolver;
	struct try *try;
	int err = -EEXIST;

	if (by_stream)
		how |= IN_LOWER_CASE;           /* nobody forges into a connection */
	try = ask->tried < ASK_TRIES_MAX ? try_new(ask, server) : NULL;
	if (!try)
		return -ENOBUFS;
	for (unsigned draws = 0; err == -EEXIST && draws < DRAWS_MAX; draws++) {
		question_fill(try, ask, how);
		err = by_stream ? stream_try(resolver, try) : udp_try(resolver, try);
	}
	if (err < 0) {
		if (err == -ENETUNREACH || err == -EHOSTUNREACH || err == -ECONNREFUSED)
			server_refused(server, resolver->owner.loop->now_ms);
		try_drop(try);
		return err;
	}
	own_add(&try->question);
	resolver_add(resolver, RESOLVER_TRIES, 1);
	ask->tries[ask->tried++] = try;
	return 0;
}

/* The end */

static void ask_free(struct ask *ask)
{
	struct resolver *resolver = ask->resolver;

	ask->open = false;
	timer_cancel(&resolver->owner.loop->timers, &ask->timer);
	for (unsigned i = 0; i < ask->tried; i++)
		if (ask->tries[i])
			try_forget(ask->tries[i]);
	pool_give(&resolver->asks, ask);
}

void ask_close(struct ask *ask)
{
	ask_free(ask);
}

int asks_init(struct resolver *resolver)
{
	int err = pool_init(&resolver->asks, sizeof(struct ask), ASKS_MAX + PROBES_MAX);

	if (err == 0)
		err = pool_init(&resolver->tries, sizeof(struct try), TRIES_MAX);
	if (err < 0)
		pool_finish(&resolver->asks);
	return err;
}

void asks_close(struct resolver *resolver)
{
	for (uint32_t i = 0; i < resolver->asks.fresh; i++) {
		struct ask *ask = pool_item(&resolver->asks, i);

		if (ask->open)
			ask_free(ask);
	}
}

void asks_finish(struct resolver *resolver)
{
	for (uint32_t i = 0; i < resolver->tries.fresh; i++) {
		struct try *try = pool_item(&resolver->tries, i);

		if (try->taken)
			try_sent(try);
	}
	pool_finish(&resolver->tries);
	pool_finish(&resolver->asks);
}

static void ask_done(struct ask *ask, struct ask_answer *answer)
{
	ask_fn *done = ask->done;
	void *context = ask->context;

	answer->took_us = (uint32_t)(ask->resolver->owner.loop->now_us - ask->began_us);
	ask_free(ask);
	done(context, answer);
}

static void ask_fail(struct ask *ask, bool timed_out)
{
	struct ask_answer answer = { .failed = true, .timed_out = timed_out };

	answer.rcode = ask->rcode ? ask->rcode : DNS_RCODE_SERVFAIL;
	ask_done(ask, &answer);
}

/* Going on */

static bool is_waiting(const struct ask *ask)
{
	for (unsigned i = 0; i < ask->tried; i++)
		if (ask->tries[i])
			return true;
	return false;
}

static unsigned all_servers(const struct ask *ask)
{
	return (1U << ask->servers->count) - 1;
}

static void timer_set(struct ask *ask, uint64_t wait_ms)
{
	struct loop *loop = ask->resolver->owner.loop;
	uint64_t at_ms = loop->now_ms + wait_ms;

	if (at_ms > ask->deadline_ms)
		at_ms = ask->deadline_ms;
	timer_arm(&loop->timers, &ask->timer, at_ms);
}

static uint64_t patience_ms(const struct ask *ask, const struct server *server, bool by_stream)
{
	unsigned round = (unsigned)ask->turn / ask->servers->count;
	uint64_t first_ms = by_stream || server->tls.on ? ASK_STREAM_TRY_MS : ASK_TRY_MS;

	return first_ms << (round < DOUBLED_MAX ? round : DOUBLED_MAX);
}

/* Ask whose turn it is; those that said no are passed over.  false: there is nobody to ask, the
 * timer has not been set. */
static bool ask_next(struct ask *ask)
{
	while (ask->no != all_servers(ask) && ask->tried < ASK_TRIES_MAX) {
		unsigned place = ask->order[ask->turn % ask->servers->count];
		struct server *server = &ask->servers->all[place];
		uint64_t wait_ms = patience_ms(ask, server, false);

		ask->turn++;
		if (ask->no & 1U << place)
			continue;
		if (ask_try(ask, server, 0) == 0) {
			timer_set(ask, wait_ms);
			return true;
		}
		ask->no |= (uint8_t)(1U << place);
	}
	return false;
}

/* Nothing new could be asked: wait for what is under way, or give up. */
static void ask_go_on(struct ask *ask)
{
	if (ask_next(ask))
		return;
	if (is_waiting(ask))
		timer_set(ask, BUDGET_MS);
	else
		ask_fail(ask, false);
}

static struct try *newest(const struct ask *ask)
{
	return ask->tried > 0 ? ask->tries[ask->tried - 1] : NULL;
}

static void on_time(struct timer *timer)
{
	struct ask *ask = container_of(timer, struct ask, timer);
	uint64_t now_ms = ask->resolver->owner.loop->now_ms;
	struct try *try = newest(ask);

	if (ask->case_lost_by && !ask->asked_in_lower_case) {
		ask->asked_in_lower_case = true;
		if (ask_try(ask, ask->case_lost_by, IN_LOWER_CASE) == 0)
			return timer_set(ask, ASK_TRY_MS);
	}
	if (try)
		server_silent(try->server, try->sent_ms, now_ms);
	if (now_ms >= ask->deadline_ms)
		return ask_fail(ask, true);
	ask_go_on(ask);
}

static unsigned place_of(const struct ask *ask, const struct server *server)
{
	return (unsigned)(server - ask->servers->all);
}

/* Another way to the same server; false: not possible. */
static bool ask_same(struct ask *ask, struct server *server, unsigned how)
{
	if (ask_try(ask, server, how) < 0)
		return false;
	timer_set(ask, patience_ms(ask, server, how & BY_STREAM));
	return true;
}

/* What a server's echo of the name tells about it. */
static void learn_case(const struct try *try)
{
	if (try->lower && !try->stream && try->ask->asked_in_lower_case)
		server_loses_case(try->server);
	else if (has_upper(try->question.name, try->question.name_len))
		server_keeps_case(try->server);
}

void try_ended(struct try *try, enum try_end end)
{
	struct ask *ask = try->ask;
	struct resolver *resolver = ask->resolver;
	const struct dns_records *heard = &resolver->heard;
	uint64_t now_ms = resolver->owner.loop->now_ms;
	struct server *server = try->server;
	bool was_newest = try == newest(ask), by_stream = try->stream != NULL, edns = try->edns;
	bool good = end == TRY_HEARD && (heard->rcode == DNS_RCODE_NONE ||
					 heard->rcode == DNS_RCODE_NXDOMAIN);

	if (end == TRY_HEARD || end == TRY_GARBLED) {
		server_heard(server, now_ms);
		learn_case(try);
	} else if (end == TRY_REFUSED) {
		server_refused(server, now_ms);
	}
	if (good)
		server_answered(server, edns, now_ms);
	try_drop(try);
	if (!ask->open)                         /* it is just being closed */
		return;
	if (good && !heard->cut)
		return ask_done(ask, &(struct ask_answer){
			.rcode = heard->rcode, .records = heard, .server = server });
	if (end == TRY_HEARD && heard->cut && !by_stream && ask_same(ask, server, BY_STREAM))
		return;
	if (end == TRY_HEARD && edns && (heard->rcode == DNS_RCODE_FORMERR ||
					 heard->rcode == DNS_RCODE_NOTIMP) &&
	    ask_same(ask, server, WITHOUT_EDNS | (by_stream ? BY_STREAM : 0)))
		return;
	if (end == TRY_CLOSED && ask->tried < CLOSED_MAX &&
	    ask_same(ask, server, by_stream ? BY_STREAM : 0))
		return;
	/* No fault of the server's, so it may be asked again when its turn comes round. */
	if (end == TRY_UNSENT && (was_newest || !is_waiting(ask)))
		timer_set(ask, UNSENT_WAIT_MS);
	if (end == TRY_UNSENT)
		return;
	if (end == TRY_HEARD && !heard->cut)
		ask->rcode = heard->rcode;
	ask->no |= (uint8_t)(1U << place_of(ask, server));
	if (was_newest || !is_waiting(ask))
		ask_go_on(ask);
}

/* Opening */

static void on_probed(void *context, const struct ask_answer *answer)
{
	(void)context;                          /* the server knows whether it was heard */
	(void)answer;
}

static struct ask *ask_new(struct resolver *resolver, const struct ask_how *how)
{
	struct ask *ask = pool_take(&resolver->asks);

	if (!ask)
		return NULL;
	memset(ask, 0, sizeof(*ask));
	ask->resolver = resolver;
	ask->timer.fire = on_time;
	ask->done = how->done;
	ask->context = how->context;
	ask->servers = how->servers;
	ask->deadline_ms = how->deadline_ms;
	ask->began_us = resolver->owner.loop->now_us;
	ask->open = true;
	return ask;
}

/* A dead server is asked the same beside the others, by an ask of its own that nobody waits for. */
static void probe(const struct ask *like, unsigned place)
{
	struct resolver *resolver = like->resolver;
	struct ask *ask = ask_new(resolver, &(struct ask_how){
		.servers = like->servers, .done = on_probed,
		.deadline_ms = resolver->owner.loop->now_ms + PROBE_MS });

	if (!ask)
		return;
	ask->type = like->type;
	ask->name_len = like->name_len;
	memcpy(ask->name, like->name, like->name_len);
	ask->no = (uint8_t)(all_servers(ask) & ~(1U << place));
	memset(ask->order, (int)place, sizeof(ask->order));
	if (!ask_next(ask))
		ask_free(ask);
}

int ask_open(struct resolver *resolver, const struct ask_how *how, struct str name, uint16_t type,
	     struct ask **out)
{
	struct ask *ask = how->servers->count > 0 ? ask_new(resolver, how) : NULL;

	if (!ask)
		return how->servers->count > 0 ? -ENOBUFS : -EINVAL;
	ask->type = type;
	ask->name_len = (uint8_t)dns_name_from_text(name, ask->name);
	if (ask->name_len == 0) {
		ask_free(ask);
		return -EINVAL;
	}
	servers_order(ask->servers, ask->order);
	if (!ask_next(ask))                     /* nobody can be asked: told from the loop */
		timer_set(ask, 0);
	for (unsigned i = 1; i < ask->servers->count; i++)
		if (server_wants_probe(&ask->servers->all[ask->order[i]],
				       resolver->owner.loop->now_ms))
			probe(ask, ask->order[i]);
	*out = ask;
	return 0;
}
