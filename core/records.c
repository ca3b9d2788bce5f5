/* records.c - who wants to know which name and type, and telling them.
 *
 * A lookup that the cache (record_table.h) cannot answer joins the question for its name and type.
 * The worker that opens a question asks it upstream on its own loop (ask.h); the answer goes into
 * the cache and to every waiting lookup: at once to those of this worker, to those of each other by
 * one post.  The lock is for questions; what is cached takes none.
 *
 *   lookup -- fresh --> returned            asker's loop       each waiter's loop
 *     `-- old, unknown --> question --> ask_open(), on_asked() --> inbox, done() */
#include "core/records.h"

#include <assert.h>
#include <stdlib.h>

#include "core/own.h"
#include "core/resolver_inside.h"

enum { RECLAIM_AFTER = 64 };            /* answers: the old ones do not wait for a tick */

#define shared resolver_shared

struct question {
	struct question *next;          /* in its bucket */
	struct question *queue_next;    /* in its asker's queue */
	struct resolver *asker;
	struct ask *ask;                /* NULL: queued */
	struct records_lookup *waiters;
	struct record_entry *entry;     /* the answer; NULL: none, or no memory for it */
	_Atomic uint32_t references;    /* once answered: lookups still to be told, and the asker */
	struct quiet_item item;
	uint64_t deadline_ms;
	struct record_key key;          /* its name is in text */
	char text[256];
};

static const struct records nobody_answered = {
	.failed = true, .rcode = DNS_RCODE_SERVFAIL, .upstream = "",
};
static const struct records too_many_ask = {
	.failed = true, .shed = true, .rcode = DNS_RCODE_SERVFAIL, .upstream = "",
};

/* Questions */

static struct question **question_find(const struct record_key *key)
{
	struct question **link = &shared.questions[key->hash % QUESTION_BUCKETS];

	while (*link && ((*link)->key.hash != key->hash || (*link)->key.type != key->type ||
			 !str_equal((*link)->key.name, key->name)))
		link = &(*link)->next;
	return link;
}

static struct question *question_open(struct resolver *resolver, const struct record_key *key,
				      bool for_client)
{
	struct question *question, **link = &shared.questions[key->hash % QUESTION_BUCKETS];

	assert(key->name.len > 0 && key->name.len <= sizeof(question->text));
	if (shared.question_count >= (for_client ? QUESTIONS_CLIENTS_MAX : QUESTIONS_MAX))
		return NULL;
	question = malloc(sizeof(*question));
	if (!question)
		return NULL;
	memset(question, 0, offsetof(struct question, text));
	question->asker = resolver;
	question->key = *key;
	question->deadline_ms = resolver->owner.loop->now_ms + BUDGET_MS;
	memcpy(question->text, key->name.at, key->name.len);
	question->key.name.at = question->text;
	question->next = *link;
	*link = question;
	shared.question_count++;
	return question;
}

static void question_free(struct quiet_item *item)
{
	struct question *question = container_of(item, struct question, item);

	if (question->entry)
		record_release(question->entry);
	free(question);
}

/* What done() was given must outlive the worker's turn, so it goes at a quiet point. */
static void question_release(struct question *question)
{
	if (atomic_fetch_sub_explicit(&question->references, 1, memory_order_acq_rel) == 1)
		quiet_free_light(&question->item, question_free);
}

/* Under the lock, as the next two. */
static void lookup_link(struct records_lookup *lookup, struct records_lookup **list)
{
	lookup->next = *list;
	lookup->link = list;
	if (lookup->next)
		lookup->next->link = &lookup->next;
	*list = lookup;
}

static void lookup_unlink(struct records_lookup *lookup)
{
	*lookup->link = lookup->next;
	if (lookup->next)
		lookup->next->link = lookup->link;
	lookup->link = NULL;
}

/* Its worker will tell it; now: it is this one, and does so at once. */
static void inbox_put(struct records_lookup *lookup, bool now)
{
	struct resolver *resolver = lookup->resolver;

	assert(!resolver->closed);
	lookup_unlink(lookup);
	lookup->answered = true;
	lookup_link(lookup, &resolver->inbox);
	if (now || resolver->posted)
		return;
	resolver->posted = true;
	loop_post(resolver->owner.loop, &resolver->post);
}

/* news NULL: nothing to remember, those who wait are told that nobody answered.
 * here: whose inbox the caller looks at, or NULL. */
static void question_answer(struct question *question, const struct record_news *news,
			    const struct resolver *here)
{
	uint64_t now_ms = question->asker->owner.loop->now_ms;
	struct records_lookup *waiter;
	struct question **link;
	uint32_t references = 1;

	/* First the cache: who does not find the question any more then finds the answer. */
	if (news)
		question->entry = record_put(shared.table, &question->key, news, now_ms);
	pthread_mutex_lock(&shared.lock);
	link = question_find(&question->key);
	assert(*link == question);
	*link = question->next;
	shared.question_count--;
	for (waiter = question->waiters; waiter; waiter = waiter->next)
		references++;
	atomic_store_explicit(&question->references, references, memory_order_relaxed);
	while ((waiter = question->waiters))
		inbox_put(waiter, waiter->resolver == here);
	pthread_mutex_unlock(&shared.lock);
	question_release(question);
}

/* Telling */

static void tell(struct records_lookup *lookup)
{
	struct question *question = lookup->question;
	struct owner *owner = lookup->owner;
	records_fn *done = lookup->done;

	lookup->done = NULL;                    /* first: done() may look up again */
	if (!owner->closing)
		done(lookup, question->entry ? &question->entry->records : &nobody_answered);
	question_release(question);
	owner_release(owner);
}

/* One by one: done() may cancel others. */
static void inbox_run(struct resolver *resolver)
{
	struct records_lookup *lookup;

	do {
		pthread_mutex_lock(&shared.lock);
		lookup = resolver->inbox;
		if (lookup)
			lookup_unlink(lookup);
		pthread_mutex_unlock(&shared.lock);
		if (lookup)
			tell(lookup);
	} while (lookup);
}

void inbox_deliver(struct post *post)
{
	struct resolver *resolver = container_of(post, struct resolver, post);

	pthread_mutex_lock(&shared.lock);
	resolver->posted = false;
	pthread_mutex_unlock(&shared.lock);
	if (resolver->closed)
		owner_release(&resolver->owner);
	else
		inbox_run(resolver);
}

/* Asking */

static void question_ask(struct resolver *resolver, struct question *question);

/* Those that waited longest first.  Every ask in front ends within its own budget, so nothing
 * queues for longer than its budget either. */
static void queue_run(struct resolver *resolver)
{
	while (resolver->queue && resolver->asking < ASKS_MAX) {
		struct question *question = resolver->queue;

		resolver->queue = question->queue_next;
		if (!resolver->queue)
			resolver->queue_last = &resolver->queue;
		question_ask(resolver, question);
	}
}

static struct servers *servers_for(const struct question *question)
{
	bool dotted = memchr(question->text, '.', question->key.name.len) != NULL;

	return dotted ? &shared.dotted : &shared.dotless;
}

static void on_asked(void *context, const struct ask_answer *answer)
{
	struct question *question = context;
	struct resolver *resolver = question->asker;
	struct record_news news = {
		.failed = answer->failed, .timed_out = answer->timed_out, .rcode = answer->rcode,
		.block = answer->records, .took_us = answer->took_us,
		.upstream = answer->server ? answer->server->text : servers_for(question)->text,
		.fresh_max_ms = shared.fresh_max_ms,
	};

	resolver_add(resolver, RESOLVER_FAILURES, answer->failed);
	resolver_add(resolver, RESOLVER_TIMEOUTS, answer->timed_out);
	resolver->asking--;
	question->ask = NULL;
	question_answer(question, &news, resolver);
	inbox_run(resolver);
	queue_run(resolver);
	if (++resolver->answered % RECLAIM_AFTER == 0)
		quiet_reclaim_light();
}

/* Tor's names mean nothing to DNS, and must not be told to it (RFC 7686 2). */
static bool is_onion(struct str name)
{
	static const struct str onion = { ".onion", 6 };

	return str_equal(name, STR("onion")) ||
	       (name.len > onion.len &&
		memcmp(name.at + name.len - onion.len, onion.at, onion.len) == 0);
}

static void answer_no_name(struct question *question)
{
	struct dns_records block;       /* not resolver->heard, which may be in use further up */
	uint8_t wire[DNS_NAME_MAX];

	(void)dns_name_from_text(question->key.name, wire);
	dns_records_init(&block, wire, question->key.type, RECORDS_NONE_MAX_MS / 1000);
	block.rcode = DNS_RCODE_NXDOMAIN;
	question_answer(question, &(struct record_news){ .rcode = DNS_RCODE_NXDOMAIN,
							 .block = &block }, NULL);
}

static void question_ask(struct resolver *resolver, struct question *question)
{
	struct ask_how how = { .servers = servers_for(question),
			       .deadline_ms = question->deadline_ms,
			       .done = on_asked, .context = question };

	if (is_onion(question->key.name))
		return answer_no_name(question);
	if (resolver->asking >= ASKS_MAX) {
		*resolver->queue_last = question;
		resolver->queue_last = &question->queue_next;
		return;
	}
	if (resolver->owner.loop->now_ms < question->deadline_ms &&
	    ask_open(resolver, &how, question->key.name, question->key.type, &question->ask) == 0) {
		resolver_add(resolver, RESOLVER_QUESTIONS, 1);
		resolver->asking++;
		return;
	}
	resolver_add(resolver, RESOLVER_FAILURES, 1);   /* queued for too long, or nobody to ask */
	question_answer(question, &(struct record_news){ .failed = true,
							 .rcode = DNS_RCODE_SERVFAIL }, NULL);
}

/* Looking up */

enum joined question_join(struct resolver *resolver, const struct record_key *key,
			  struct records_lookup *lookup, bool for_client,
			  struct record_entry **known)
{
	uint64_t now_ms = resolver->owner.loop->now_ms;
	struct question *question = NULL, *opened = NULL;
	struct record_entry *entry = NULL;

	pthread_mutex_lock(&shared.lock);
	if (lookup)                             /* answered in the meantime? */
		entry = record_find(shared.table, key, now_ms);
	if (entry && !(for_client ? record_is_fresh(entry, now_ms) :
				    record_may_be_dialled(entry, now_ms)))
		entry = NULL;
	if (!entry)
		question = *question_find(key);
	if (!entry && !question)
		question = opened = question_open(resolver, key, for_client);
	if (question && lookup) {
		owner_hold(lookup->owner);
		lookup->resolver = resolver;
		lookup->question = question;
		lookup->answered = false;
		lookup_link(lookup, &question->waiters);
	}
	pthread_mutex_unlock(&shared.lock);

	if (opened)
		question_ask(resolver, opened);
	if (question)
		return JOINED;
	*known = entry;
	return entry ? JOIN_KNOWN : JOIN_SHED;
}

void question_refresh(struct resolver *resolver, const struct record_key *key)
{
	struct record_entry *none;

	resolver_add(resolver, RESOLVER_REFRESHES, 1);
	(void)question_join(resolver, key, NULL, false, &none);
}

const struct records *records_lookup(struct resolver *resolver, struct str name, uint16_t type,
				     struct records_lookup *lookup, records_fn *done)
{
	struct record_key key = record_key(record_hash(shared.table, name), name, type);
	uint64_t now_ms = resolver->owner.loop->now_ms;
	struct record_entry *entry = record_find(shared.table, &key, now_ms);

	assert(lookup->done == NULL && !resolver->owner.closing);
	resolver_add(resolver, RESOLVER_LOOKUPS, 1);
	if (entry && record_is_fresh(entry, now_ms)) {
		resolver_add(resolver, RESOLVER_HITS, 1);
		if (record_wants_refresh(entry, now_ms))
			question_refresh(resolver, &key);
		return &entry->records;
	}
	lookup->done = done;
	switch (question_join(resolver, &key, lookup, true, &entry)) {
	case JOINED:
		return NULL;
	case JOIN_KNOWN:
		break;
	case JOIN_SHED:
		resolver_add(resolver, RESOLVER_SHED, 1);
	}
	lookup->done = NULL;
	return entry ? &entry->records : &too_many_ask;
}

const struct records *records_peek(struct resolver *resolver, struct str name, uint16_t type)
{
	struct record_key key = record_key(record_hash(shared.table, name), name, type);
	uint64_t now_ms = resolver->owner.loop->now_ms;
	struct record_entry *entry = record_find(shared.table, &key, now_ms);

	return entry && record_is_fresh(entry, now_ms) ? &entry->records : NULL;
}

bool records_are_asked_by(const struct dns_query *query)
{
	return own_has(query->id, query->type, query->wire, query->wire_len);
}

struct str records_name(const struct records_lookup *lookup)
{
	return lookup->question->key.name;
}

/* Closing */

void records_cancel(struct records_lookup *lookup)
{
	struct question *question = lookup->question;
	struct owner *owner = lookup->owner;

	if (!lookup->done)
		return;
	pthread_mutex_lock(&shared.lock);
	lookup_unlink(lookup);
	pthread_mutex_unlock(&shared.lock);
	lookup->done = NULL;
	if (lookup->answered)
		question_release(question);
	owner_release(owner);
}

/* Any lookup of this resolver that still waits. */
static struct records_lookup *next_waiter(const struct resolver *resolver)
{
	struct records_lookup *found = NULL;

	pthread_mutex_lock(&shared.lock);
	found = resolver->inbox;
	for (unsigned i = 0; i < QUESTION_BUCKETS && !found; i++)
		for (struct question *question = shared.questions[i]; question && !found;
		     question = question->next)
			for (found = question->waiters; found && found->resolver != resolver;)
				found = found->next;
	pthread_mutex_unlock(&shared.lock);
	return found;
}

/* A question of this resolver, which others may wait for. */
static struct question *next_question(const struct resolver *resolver)
{
	struct question *found = NULL;

	pthread_mutex_lock(&shared.lock);
	for (unsigned i = 0; i < QUESTION_BUCKETS && !found; i++)
		for (found = shared.questions[i]; found && found->asker != resolver;)
			found = found->next;
	pthread_mutex_unlock(&shared.lock);
	return found;
}

void questions_close(struct resolver *resolver)
{
	struct records_lookup *lookup;
	struct question *question;

	resolver->queue = NULL;                 /* they are found without it */
	resolver->queue_last = &resolver->queue;
	while ((lookup = next_waiter(resolver)))
		records_cancel(lookup);
	while ((question = next_question(resolver))) {
		if (question->ask)
			ask_close(question->ask);
		question_answer(question, NULL, NULL);
	}
}
