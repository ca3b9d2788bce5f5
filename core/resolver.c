/* resolver.c - who wants to know which name, and telling them.
 *
 * A lookup that the cache (answers.h) cannot answer joins the name's question.  The worker that
 * opens a question asks it upstream on its own loop (ask.h); the answer goes into the cache and to
 * every waiting lookup, each on its own loop, by one post a worker.  The lock is for questions; a
 * cached name takes none.
 *
 *   lookup -- fresh --> returned            asker's loop       each waiter's loop
 *     `-- old, unknown --> question --> ask_open(), on_asked() --post--> deliver(), done() */
#include "core/resolver.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <ares.h>

#include "core/answers.h"
#include "core/ask.h"
#include "core/quiet.h"

enum {
	BUDGET_MS = 2500,               /* for a lookup, over all servers and tries */
	ASKS_MAX = 256,                 /* a worker's questions upstream at once; others queue */
	QUESTIONS_MAX = 4096,           /* of all workers; what is beyond is refused */
	BUCKETS = 256,
	PREFER_MS = 30 * 1000,          /* then the first server gets another chance */
};

struct question {
	struct question *next;          /* in its bucket */
	struct question *queue_next;    /* in its asker's queue */
	struct resolver *asker;
	struct ask *ask;                /* NULL: queued */
	struct lookup *waiters;
	struct answer_entry *entry;     /* the answer; NULL: none, or no memory for it */
	_Atomic uint32_t references;    /* once answered: lookups still to be told, and the asker */
	struct quiet_item item;
	uint64_t hash, deadline_ms;
	unsigned first;                 /* the upstream it began with */
	struct str name;                /* in text */
	char text[256];
};

/* The server that answered last time when those before it did not. */
struct preference {
	unsigned first;
	uint64_t until_ms;
};

struct resolver {
	struct owner owner;             /* held while open, by its asks, by a pending post */
	struct resolver *next;
	uint32_t mark;
	unsigned asking;
	struct question *queue, **queue_last;
	struct preference dotted, dotless;
	_Atomic uint64_t counts[RESOLVER_COUNTS];       /* written by this worker alone */

	struct lookup *inbox;           /* answered, to be told; shared.lock, as the next two */
	bool posted, closed;
	struct post post;
};

static struct {
	struct upstream_sets upstreams;
	uint64_t fresh_max_ms;          /* 0: what the TTL says */
	struct answers *answers;
	pthread_mutex_t lock;           /* what follows, waiters and inboxes */
	struct question *questions[BUCKETS];
	unsigned question_count;
	struct resolver *resolvers;     /* all that have not ended */
	uint64_t ended_counts[RESOLVER_COUNTS];
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const struct answer nobody_answered = { .failed = true };

static void count(struct resolver *resolver, enum resolver_count which, uint64_t n)
{
	uint64_t now = atomic_load_explicit(&resolver->counts[which], memory_order_relaxed);

	atomic_store_explicit(&resolver->counts[which], now + n, memory_order_relaxed);
}

uint64_t resolver_count(enum resolver_count which)
{
	uint64_t sum;

	pthread_mutex_lock(&shared.lock);
	sum = shared.ended_counts[which];
	for (struct resolver *resolver = shared.resolvers; resolver; resolver = resolver->next)
		sum += atomic_load_explicit(&resolver->counts[which], memory_order_relaxed);
	pthread_mutex_unlock(&shared.lock);
	return sum;
}

int resolver_configure_servers(const struct upstream_sets *servers, uint64_t fresh_max_ms)
{
	int err;

	assert(shared.resolvers == NULL && shared.question_count == 0);
	if (!shared.answers && ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return -ENOMEM;
	answers_finish(shared.answers);
	shared.answers = NULL;
	err = answers_init(&shared.answers);
	if (err == 0) {
		shared.upstreams = *servers;
		shared.fresh_max_ms = fresh_max_ms;
	}
	return err;
}

/* Questions */

static struct question **question_find(uint64_t hash, struct str name)
{
	struct question **link = &shared.questions[hash % BUCKETS];

	while (*link && ((*link)->hash != hash || !str_equal((*link)->name, name)))
		link = &(*link)->next;
	return link;
}

static struct question *question_open(struct resolver *resolver, uint64_t hash, struct str name)
{
	struct question *question, **link = &shared.questions[hash % BUCKETS];

	assert(name.len > 0 && name.len <= sizeof(question->text));
	if (shared.question_count >= QUESTIONS_MAX)
		return NULL;
	question = calloc(1, sizeof(*question));
	if (!question)
		return NULL;
	question->asker = resolver;
	question->hash = hash;
	question->deadline_ms = resolver->owner.loop->now_ms + BUDGET_MS;
	memcpy(question->text, name.at, name.len);
	question->name = (struct str){ question->text, name.len };
	question->next = *link;
	*link = question;
	shared.question_count++;
	return question;
}

static void question_free(struct quiet_item *item)
{
	struct question *question = container_of(item, struct question, item);

	if (question->entry)
		answers_release(question->entry);
	free(question);
}

/* What done() was given must outlive the worker's turn, so it goes at a quiet point. */
static void question_release(struct question *question)
{
	if (atomic_fetch_sub_explicit(&question->references, 1, memory_order_acq_rel) == 1)
		quiet_free(&question->item, question_free);
}

/* Under the lock: the lookup's worker will tell it. */
static void inbox_put(struct lookup *lookup)
{
	struct resolver *resolver = lookup->resolver;

	assert(!resolver->closed);
	lookup->next = resolver->inbox;
	resolver->inbox = lookup;
	if (!resolver->posted)
		loop_post(resolver->owner.loop, &resolver->post);
	resolver->posted = true;
}

/* news NULL: nothing to remember, those who wait are told that nobody answered. */
static void question_answer(struct question *question, const struct answer_news *news)
{
	uint64_t now_ms = question->asker->owner.loop->now_ms;
	struct lookup *waiter, *next;
	uint32_t references = 1;
	struct question **link;

	/* First the cache: who does not find the question any more then finds the answer. */
	if (news)
		question->entry = answers_put(shared.answers, question->hash,
					      question->name, news, now_ms);
	pthread_mutex_lock(&shared.lock);
	link = question_find(question->hash, question->name);
	assert(*link == question);
	*link = question->next;
	shared.question_count--;
	for (waiter = question->waiters; waiter; waiter = next, references++) {
		next = waiter->next;
		inbox_put(waiter);
	}
	question->waiters = NULL;
	atomic_store_explicit(&question->references, references, memory_order_relaxed);
	pthread_mutex_unlock(&shared.lock);
	question_release(question);
}

/* Asking */

static struct preference *preference_of(struct resolver *resolver, const struct question *question,
					const struct upstreams **upstreams)
{
	bool dotted = memchr(question->text, '.', question->name.len) != NULL;

	*upstreams = dotted ? &shared.upstreams.dotted : &shared.upstreams.dotless;
	return dotted ? &resolver->dotted : &resolver->dotless;
}

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

static void on_asked(void *context, const struct ask_answer *answer)
{
	struct question *question = context;
	struct resolver *resolver = question->asker;
	const struct upstreams *upstreams;
	struct preference *preference = preference_of(resolver, question, &upstreams);
	struct answer_news news = { .count = answer->count, .failed = answer->failed,
				    .addrs = answer->addrs, .ttl_ms = answer->ttl_ms };

	count(resolver, RESOLVER_FAILURES, answer->failed);
	count(resolver, RESOLVER_TIMEOUTS, answer->timed_out);
	count(resolver, RESOLVER_FORGED, answer->forged);
	count(resolver, RESOLVER_SOCKETS_REFUSED, answer->sockets_refused);
	if (!answer->failed && answer->skipped > 0) {
		preference->first = (question->first + answer->skipped) % upstreams->count;
		preference->until_ms = resolver->owner.loop->now_ms + PREFER_MS;
	}
	if (shared.fresh_max_ms != 0 && news.ttl_ms > shared.fresh_max_ms)
		news.ttl_ms = shared.fresh_max_ms;
	resolver->asking--;
	question->ask = NULL;
	question_answer(question, &news);
	queue_run(resolver);
}

static void question_ask(struct resolver *resolver, struct question *question)
{
	const struct upstreams *upstreams;
	struct preference *preference = preference_of(resolver, question, &upstreams);
	struct ask_how how = { .parent = &resolver->owner, .mark = resolver->mark,
			       .upstreams = upstreams, .deadline_ms = question->deadline_ms,
			       .done = on_asked, .context = question };
	uint64_t now_ms = resolver->owner.loop->now_ms;

	if (resolver->asking >= ASKS_MAX) {
		*resolver->queue_last = question;
		resolver->queue_last = &question->queue_next;
		return;
	}
	if (now_ms >= preference->until_ms)
		preference->first = 0;
	how.first = question->first = preference->first;
	if (now_ms < question->deadline_ms &&
	    ask_open(&how, question->name, &question->ask) == 0) {
		count(resolver, RESOLVER_QUESTIONS, 1);
		resolver->asking++;
		return;
	}
	count(resolver, RESOLVER_FAILURES, 1);  /* queued for too long, or no memory */
	question_answer(question, &(struct answer_news){ .failed = true });
}

/* Looking up */

/* lookup NULL: a refresh, nobody waits. */
static const struct answer *question_join(struct resolver *resolver, uint64_t hash,
					  struct str name, struct lookup *lookup)
{
	struct answer_entry *entry = NULL;
	struct question *question = NULL, *opened = NULL;

	pthread_mutex_lock(&shared.lock);
	if (lookup)                             /* answered in the meantime? */
		entry = answers_find(shared.answers, hash, name, resolver->owner.loop->now_ms);
	if (!entry)
		question = *question_find(hash, name);
	if (!entry && !question)
		question = opened = question_open(resolver, hash, name);
	if (question && lookup) {
		owner_hold(lookup->owner);
		lookup->question = question;
		lookup->next = question->waiters;
		question->waiters = lookup;
	}
	pthread_mutex_unlock(&shared.lock);

	if (opened)
		question_ask(resolver, opened);
	if (question)
		return NULL;
	return entry ? &entry->answer : &nobody_answered;
}

const struct answer *resolver_lookup(struct resolver *resolver, struct str name,
				     struct lookup *lookup, lookup_fn *done)
{
	uint64_t hash = answers_hash(shared.answers, name);
	uint64_t now_ms = resolver->owner.loop->now_ms;
	struct answer_entry *entry = answers_find(shared.answers, hash, name, now_ms);
	const struct answer *answer;

	assert(lookup->done == NULL && !resolver->owner.closing);
	count(resolver, RESOLVER_LOOKUPS, 1);
	if (entry) {
		count(resolver, RESOLVER_HITS, 1);
		if (answers_refresh(entry, now_ms)) {
			count(resolver, RESOLVER_REFRESHES, 1);
			(void)question_join(resolver, hash, name, NULL);
		}
		return &entry->answer;
	}
	lookup->done = done;
	lookup->resolver = resolver;
	answer = question_join(resolver, hash, name, lookup);
	if (answer)
		lookup->done = NULL;
	if (answer == &nobody_answered)
		count(resolver, RESOLVER_SHED, 1);
	return answer;
}

/* Telling */

static void tell(struct lookup *lookup)
{
	struct question *question = lookup->question;
	struct owner *owner = lookup->owner;
	lookup_fn *done = lookup->done;

	lookup->done = NULL;                    /* first: done() may look up again */
	if (!owner->closing)
		done(lookup, question->entry ? &question->entry->answer : &nobody_answered);
	question_release(question);
	owner_release(owner);
}

static void deliver(struct post *post)
{
	struct resolver *resolver = container_of(post, struct resolver, post);
	struct lookup *lookup, *next;

	pthread_mutex_lock(&shared.lock);
	lookup = resolver->inbox;
	resolver->inbox = NULL;
	resolver->posted = false;
	pthread_mutex_unlock(&shared.lock);
	if (resolver->closed) {
		owner_release(&resolver->owner);
		return;
	}
	for (; lookup; lookup = next) {
		next = lookup->next;
		tell(lookup);
	}
}

/* Opening and closing */

static void resolver_free(struct owner *owner)
{
	struct resolver *resolver = container_of(owner, struct resolver, owner);
	struct resolver **link = &shared.resolvers;

	pthread_mutex_lock(&shared.lock);
	while (*link != resolver)
		link = &(*link)->next;
	*link = resolver->next;
	for (unsigned i = 0; i < RESOLVER_COUNTS; i++)
		shared.ended_counts[i] += resolver->counts[i];
	pthread_mutex_unlock(&shared.lock);
	free(resolver);
}

int resolver_open(struct loop *loop, uint32_t mark, struct resolver **out)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	assert(shared.answers != NULL);         /* resolver_configure() */
	if (!resolver)
		return -ENOMEM;
	resolver->owner = (struct owner){ .loop = loop, .free = resolver_free };
	resolver->mark = mark;
	resolver->queue_last = &resolver->queue;
	resolver->post.run = deliver;
	owner_hold(&resolver->owner);           /* until resolver_close() */
	pthread_mutex_lock(&shared.lock);
	resolver->next = shared.resolvers;
	shared.resolvers = resolver;
	pthread_mutex_unlock(&shared.lock);
	*out = resolver;
	return 0;
}

/* Take this resolver's lookups off every question; returns them. */
static struct lookup *take_waiters(struct resolver *resolver)
{
	struct lookup *taken = NULL;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct question *question = shared.questions[i]; question;
		     question = question->next)
			for (struct lookup **link = &question->waiters; *link;) {
				struct lookup *lookup = *link;

				if (lookup->resolver != resolver) {
					link = &lookup->next;
					continue;
				}
				*link = lookup->next;
				lookup->next = taken;
				taken = lookup;
			}
	return taken;
}

/* A question of this resolver, which others may wait for. */
static struct question *next_question(const struct resolver *resolver)
{
	struct question *found = NULL;

	pthread_mutex_lock(&shared.lock);
	for (unsigned i = 0; i < BUCKETS && !found; i++)
		for (found = shared.questions[i]; found && found->asker != resolver;)
			found = found->next;
	pthread_mutex_unlock(&shared.lock);
	return found;
}

static void drop_lookups(struct lookup *lookup, bool answered)
{
	struct lookup *next;

	for (; lookup; lookup = next) {
		next = lookup->next;
		lookup->done = NULL;
		if (answered)
			question_release(lookup->question);
		owner_release(lookup->owner);
	}
}

void resolver_close(struct resolver *resolver)
{
	struct lookup *waiting, *answered;
	struct question *question;

	if (!resolver || resolver->closed)
		return;
	pthread_mutex_lock(&shared.lock);
	resolver->closed = true;
	waiting = take_waiters(resolver);
	answered = resolver->inbox;
	resolver->inbox = NULL;
	if (resolver->posted)
		owner_hold(&resolver->owner);   /* until deliver() has run */
	pthread_mutex_unlock(&shared.lock);

	drop_lookups(waiting, false);
	drop_lookups(answered, true);
	while ((question = next_question(resolver))) {
		if (question->ask)
			ask_close(question->ask);
		question_answer(question, NULL);
	}
	resolver->owner.closing = true;
	owner_release(&resolver->owner);
}

bool resolver_ended(const struct loop *loop)
{
	struct resolver *resolver;

	pthread_mutex_lock(&shared.lock);
	for (resolver = shared.resolvers; resolver && resolver->owner.loop != loop;)
		resolver = resolver->next;
	pthread_mutex_unlock(&shared.lock);
	return resolver == NULL;
}
