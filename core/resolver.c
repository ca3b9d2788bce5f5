/* resolver.c - the resolver itself: whom it asks, one for each worker; what it counts. */
#include "core/resolver.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/resolver_inside.h"

struct resolver_shared resolver_shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

#define shared resolver_shared

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

void resolver_note_tls_error(const char *server, const char *text)
{
	pthread_mutex_lock(&shared.lock);
	snprintf(shared.tls_error, sizeof(shared.tls_error), "%s: %s", server, text);
	pthread_mutex_unlock(&shared.lock);
}

void resolver_tls_error(char *text, size_t size)
{
	pthread_mutex_lock(&shared.lock);
	text_copy(text, size, shared.tls_error);
	pthread_mutex_unlock(&shared.lock);
}

int resolver_configure_servers(const struct upstream_sets *sets, uint64_t fresh_max_ms)
{
	int err;

	assert(shared.resolvers == NULL && shared.question_count == 0);
	record_table_finish(shared.table);
	shared.table = NULL;
	err = record_table_init(&shared.table);
	if (err == 0) {
		servers_init(&shared.dotted, &sets->dotted, 0);
		servers_init(&shared.dotless, &sets->dotless, UPSTREAMS_MAX);
		shared.past_docker = sets->past_docker;
		shared.fresh_max_ms = fresh_max_ms;
	}
	return err;
}

bool resolver_servers(char *text, size_t size)
{
	snprintf(text, size, "%s", shared.dotted.text);
	return shared.past_docker;
}

/* Its last request is over. */
static void resolver_free(struct owner *owner)
{
	struct resolver *resolver = container_of(owner, struct resolver, owner);
	struct resolver **link = &shared.resolvers;

	udp_ports_finish(resolver);
	asks_finish(resolver);
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
	int err;

	assert(shared.table != NULL);           /* resolver_configure() */
	if (!resolver)
		return -ENOMEM;
	resolver->owner = (struct owner){ .loop = loop, .free = resolver_free };
	resolver->mark = mark;
	resolver->queue_last = &resolver->queue;
	resolver->post.run = inbox_deliver;
	if ((err = random_init(&resolver->random)) < 0 || (err = asks_init(resolver)) < 0) {
		free(resolver);
		return err;
	}
	udp_ports_init(resolver);
	owner_hold(&resolver->owner);           /* until resolver_close() */
	pthread_mutex_lock(&shared.lock);
	resolver->next = shared.resolvers;
	shared.resolvers = resolver;
	pthread_mutex_unlock(&shared.lock);
	*out = resolver;
	return 0;
}

void resolver_close(struct resolver *resolver)
{
	if (!resolver || resolver->closed)
		return;
	lookups_close(resolver);
	questions_close(resolver);
	pthread_mutex_lock(&shared.lock);
	resolver->closed = true;                /* nobody puts into its inbox: no lookup is left */
	if (resolver->posted)
		owner_hold(&resolver->owner);   /* until inbox_deliver() has run */
	pthread_mutex_unlock(&shared.lock);
	asks_close(resolver);
	streams_close(resolver);
	udp_ports_close(resolver);
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
